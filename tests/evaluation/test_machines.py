"""An evaluation over machines that share nothing, and over jobs that do not know each other: the same figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from semask_cli.errors import OutputError, UsageError, WorldError
from semask_cli.io.resources import project_file
from tests.support.command_line import Run, free_port, journal_lines, start_rank, wait_for_lines
from tests.support.written import written_files

SAMPLES = 40


@pytest.fixture
def command(planted: Any, tmp_path: Path) -> tuple[Any, ...]:
    root, masks = planted("cityscapes", "labelTrainIds", count=SAMPLES)
    return ("eval", "-d", "cityscapes", "--root", root, "--pred", masks, "--json")


def figures(document: str) -> dict[str, Any]:
    """Without what is said of the run itself."""
    return {key: value for key, value in json.loads(document).items() if key != "run"}


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where two machines meet: the `address` of the first, what starts a process `within` each, and its variables."""

    address: str = "127.0.0.1"
    within: tuple[tuple[str, ...], ...] = ((), ())
    variables: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture
def network() -> Iterator[Network]:
    """Two network namespaces with a cable between them, where they may be made; else this machine's own loopback."""
    names = [f"semask-{os.getpid()}-{rank}" for rank in range(2)]
    cable = [f"sm{os.getpid()}{end}" for end in "ab"]
    lines = [f"netns add {name}" for name in names]
    lines += [f"link add {cable[0]} type veth peer name {cable[1]}"]
    for rank, (name, end) in enumerate(zip(names, cable, strict=True)):
        lines += [f"link set {end} netns {name} name cable", f"-n {name} link set lo up"]
        lines += [f"-n {name} addr add 10.83.0.{rank + 1}/24 dev cable", f"-n {name} link set cable up"]
    try:
        made = all(
            subprocess.run(["ip", *line.split()], check=False, capture_output=True).returncode == 0 for line in lines
        )
        within = tuple(("ip", "netns", "exec", name) for name in names)
        yield (
            Network(address="10.83.0.1", within=within, variables={"GLOO_SOCKET_IFNAME": "cable"})
            if made
            else Network()
        )
    except FileNotFoundError:  # no such program
        yield Network()
    finally:
        for name in names:
            with suppress(FileNotFoundError):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Machine:
    """One agent of torchrun with its own cache, folder and network: a process of a run over two machines."""

    def __init__(self, folder: Path, rank: int, port: int, network: Network, *arguments: Any) -> None:
        launcher = ["--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
        launcher += ["--master-addr", network.address, "--master-port", str(port)]
        line = [*network.within[rank], sys.executable, "-m", "torch.distributed.run", *launcher, "-m", "semask_cli"]
        variables = {"SEMASK_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", **network.variables}
        self.agent = subprocess.Popen(
            [*line, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> tuple[str, str]:
        return self.agent.communicate(timeout=120)


@pytest.mark.slow
def test_machines_that_share_no_disk_count_together(
    semask: Run, command: tuple[Any, ...], network: Network, tmp_path: Path
) -> None:
    alone = semask(*command, "--save-pred", tmp_path / "alone").stdout
    run = (*command, "--journal", "journal", "--save-pred", "masks")
    folders = [tmp_path / f"machine-{rank}" for rank in range(2)]
    for folder in folders:
        folder.mkdir()
    port = free_port()
    with (tmp_path / "said").open("w+") as said_to:
        processes = [start_rank(rank, port, *run, cwd=folders[rank], said=said_to) for rank in range(2)]
        wait_for_lines(processes[0], tmp_path / "machine-0/journal", 3)
        processes[1].kill()  # as when its power fails
        assert processes[0].wait() == WorldError.exit_code
    assert "process 1 of 2, on" in (tmp_path / "said").read_text()
    before = journal_lines(tmp_path / "machine-0/journal")
    assert 3 <= before < SAMPLES + 1
    port = free_port()
    machines = [Machine(folders[rank], rank, port, network, *run) for rank in range(2)]
    (document, said), (nothing, _) = [machine.finish() for machine in machines]
    assert figures(document) == figures(alone)
    assert nothing == ""
    assert f"{before - 1} of {SAMPLES} images are already in the journal" in said
    assert written_files(tmp_path / "machine-0/masks") == written_files(tmp_path / "alone", ".png")
    assert not (tmp_path / "machine-1/journal").exists()
    taken_up = semask(*command, "--journal", tmp_path / "machine-0/journal")
    assert f"{SAMPLES} of {SAMPLES} images are already in the journal" in taken_up.stderr
    assert figures(taken_up.stdout) == figures(alone)


@pytest.mark.slow
def test_jobs_that_do_not_know_each_other_are_merged(semask: Run, command: tuple[Any, ...], tmp_path: Path) -> None:
    alone = semask(*command).stdout
    for index in (2, 0):
        semask(*command, "--shard", f"{index}/3", "--journal", tmp_path / f"jobs/{index}")
    lacking = semask(*command, "--merge", tmp_path / "jobs", check=OutputError.exit_code)
    assert "the journals lack" in lacking.stderr
    part = json.loads(semask(*command, "--shard", "1/3", "--journal", tmp_path / "jobs/1").stdout)
    assert f"shard 1/3 of {SAMPLES} images" in part["partial"]
    assert figures(semask(*command, "--merge", tmp_path / "jobs").stdout) == figures(alone)
    named = [word for index in range(3) for word in ("--merge", tmp_path / f"jobs/{index}")]
    assert figures(semask(*command, *named).stdout) == figures(alone)
    nothing = semask(*command, "--merge", tmp_path, check=UsageError.exit_code)
    assert "there is no journal" in nothing.stderr


@pytest.mark.slow
def test_journals_are_merged_without_their_model_which_a_report_runs_to_show_images(
    semask: Run, tmp_path: Path
) -> None:
    demo = project_file("demo")
    images = ("--images", demo / "images", "--labels", demo / "labels", "--classes", demo / "toy-street.txt")
    model = ("--model", "toy-street-fpn", "--threads", "1")
    alone = semask("eval", *images, *model, "--json").stdout
    for index in range(2):
        semask("eval", *images, *model, "--shard", f"{index}/2", "--journal", "jobs")
    assert figures(semask("eval", *images, "--json", "--merge", "jobs").stdout) == figures(alone)
    other = semask("eval", *images, "--merge", "jobs", "--model", "toy-street-m2f", check=UsageError.exit_code)
    assert "is of toy-street-fpn, not of toy-street-m2f" in other.stderr
    more = semask("eval", *images, "--merge", "jobs", "--boundaries", check=UsageError.exit_code)
    assert "boundaries was None, is True" in more.stderr
    assert "--boundaries and --calibration as the runs did" in more.stderr
    page = tmp_path / "report/report.html"
    report = ("eval", *images, "--json", "--merge", "jobs", "--report", "report", "--threads", "1")
    otherwise = semask(*report, "--flip", check=UsageError.exit_code)
    assert "not be predicted as they were counted: flip was False, is True" in otherwise.stderr
    assert not page.parent.exists()
    assert figures(semask(*report).stdout) == figures(alone)
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 4 * len(json.loads(alone)["picture_results"])
