"""The program as a whole: whatever goes wrong, one or two lines for a person and the documented exit code."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from semask_cli.cli import main
from tests.support.command_line import Run

MODEL = ("-m", "toy-street-fpn", "--threads", "1")


def save_image(path: Path | str, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", [("models",), ("classes", "ade20k"), ("models", "--json")])
def test_a_full_disk_behind_stdout_is_said_in_words(semask: Run, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        finished = semask(*command, check=4, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert "cannot write to standard output: No space left on device" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_stdin_that_is_closed(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m semask_cli predict - {' '.join(MODEL)} <&-"
    finished = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 3
    assert "there is no standard input" in finished.stderr


@pytest.mark.slow
def test_file_names_that_are_no_text_are_predicted_and_printed(semask: Run, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    save_image(os.fsencode(tmp_path) + b"/caf\xe9.png")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "1"}
    [row] = json.loads(semask("predict", name, *MODEL, "--json", env=strict).stdout)["pictures"]
    assert row["input"] == name
    assert "caf" in semask("predict", name, *MODEL, env=strict).stdout
    assert os.path.exists(os.fsencode(tmp_path) + b"/masks/caf\xe9.png")


@pytest.mark.parametrize("megabytes", [350, 900])
def test_an_address_space_without_room_for_libraries_is_said_in_words(
    semask: Run, tmp_path: Path, megabytes: int
) -> None:
    save_image(tmp_path / "a.png")
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (megabytes * 2**20, megabytes * 2**20))
    finished = semask("predict", "a.png", *MODEL, check=40, preexec_fn=limit)
    assert finished.stderr.startswith("error: a library cannot be loaded")
    assert finished.stderr.count("\n") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="torch is built with libgomp on Linux")
@pytest.mark.parametrize(
    ("chosen", "spins"),
    [({}, "10000"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_that_wait_give_their_core_to_other_programs(semask: Run, chosen: dict[str, str], spins: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    finished = semask("doctor", env={**inherited, **chosen, "OMP_DISPLAY_ENV": "verbose"})
    assert f"GOMP_SPINCOUNT = '{spins}'" in finished.stderr


@pytest.mark.slow
def test_a_file_name_cannot_speak_to_the_terminal(semask: Run, tmp_path: Path) -> None:
    good, bad = "\x1b[2Jgood.png", "bad\nerror: all is well\x1b]0;title\x07.png"
    save_image(tmp_path / good)
    (tmp_path / bad).write_bytes(b"no image")
    finished = semask("predict", good, bad, *MODEL, check=3)
    shown = finished.stdout + finished.stderr
    assert "good.png" in finished.stdout
    assert not set(shown) & {"\x1b", "\x07"}
    assert not any(line.startswith("error: all is well") for line in shown.splitlines())


@pytest.mark.slow
def test_a_result_that_cannot_be_written_is_a_row(semask: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / name)
    (tmp_path / "masks" / "b.png").mkdir(parents=True)  # in the way of b's mask
    finished = semask("predict", "a.png", "b.png", "c.png", *MODEL, "--json", check=4)
    rows = json.loads(finished.stdout)["pictures"]
    assert ["error" in row for row in rows] == [False, True, False]
    assert "1 of 3 images could not be segmented" in finished.stderr
    assert (tmp_path / "masks" / "c.png").is_file()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--scales", "nan", "scales"),
        ("--scales", "inf", "scales"),
        ("--scales", "1e308", "scale"),
        ("--scales", "200", "scale"),
        ("--memory-budget", "1e400", "--memory-budget"),
        ("--memory-budget", "9999999999G", "--memory-budget"),
        ("--threads", "100000", "--threads"),
        ("--threads", str(2**40), "--threads"),
        ("--crop", "0", "--crop"),
    ],
)
def test_options_out_of_range_are_refused_by_name(
    option: str,
    value: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_image(tmp_path / "a.png")
    slide = ("--mode", "slide") if option == "--crop" else ()
    line = ("predict", str(tmp_path / "a.png"), "-o", str(tmp_path / "masks"), *MODEL[:2], *slide, option, value)
    monkeypatch.setattr(sys, "argv", ["semask", *line])
    assert main() == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_warnings_of_libraries_stay_off_the_terminal(semask: Run, tmp_path: Path) -> None:
    """A TIFF whose EXIF block is damaged: Pillow warns, and shows a line of its own source."""
    tags = Image.Exif()
    tags[271] = "maker" * 9
    image = Image.new("RGB", (40, 56))
    image.save(tmp_path / "whole.tif", exif=tags)
    whole = (tmp_path / "whole.tif").read_bytes()
    at = whole.index(b"\x0f\x01\x02\x00")  # the tag 271 of text, whose length follows
    (tmp_path / "a.tif").write_bytes(whole[: at + 4] + b"\xff\xff\xff\x7f" + whole[at + 8 :])
    loud = subprocess.run(
        [sys.executable, "-c", "from PIL import Image; Image.open('a.tif').load()"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert "Warning" in loud.stderr
    finished = semask("predict", "a.tif", *MODEL, check=None)
    assert finished.returncode == (0 if int(PIL.__version__.partition(".")[0]) >= 13 else 3)  # whether Pillow reads it
    assert "Warning" not in finished.stderr


@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_at_any_moment_is_one_line_and_130(seed: int, tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    arguments = (("models",), ("predict", *["a.png"] * 20, *MODEL))[seed % 2]
    command = [sys.executable, "-m", "semask_cli", *arguments]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until_ours(running.pid)
    time.sleep(random.Random(seed).uniform(0.0, 2.0))
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    if running.returncode != 0:  # it was done before
        assert running.returncode == 130, said
        assert said.splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "moment",
    [
        "import caught",  # as C++ that imports does: it goes on, or ends the process
        "class Ends:\n    def __del__(self): import caught\nEnds()",
        "class Ends:\n    def __del__(self): os.kill(os.getpid(), signal.SIGINT); str(self)\nEnds()",
    ],
)
def test_an_interrupt_that_would_be_swallowed_is_not(moment: str, tmp_path: Path) -> None:
    (tmp_path / "caught.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    str(0)\n"
        "except BaseException:\n    pass\n"
    )
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"def run():\n    exec({moment!r}, globals())\n    return 0\n"
        "import semask_cli.cli\nsemask_cli.cli.main = run\nfrom semask_cli.__main__ import main\nmain()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (130, "interrupted\n")


def wait_until_ours(pid: int) -> None:
    """Until Python itself has started and answers Ctrl-C: its handler is among the caught signals."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(0.5)
        return
    for _ in range(1000):
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGINT - 1) & 1:
            time.sleep(0.15)  # the interpreter finds __main__
            return
        time.sleep(0.01)
