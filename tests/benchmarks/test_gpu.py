"""benchmarks/gpu without a GPU: it runs, its checks hold, and what it compares with computes the same."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu_main
from benchmarks.gpu import dispatch, sections
from benchmarks.gpu import rivals as gpu_rivals
from benchmarks.gpu.bench import WRONG, Bench, Cases, Line, Measured
from benchmarks.gpu.second_device import second_device
from semask_cli.io.resources import project_file
from semask_cli.ops import deform_conv2d, ms_deform_attn
from tests.support.kernel_inputs import attention_inputs, convolution_inputs

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_it_runs_through_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--device", "cpu", "--tiny", "--only", "checks", "--out", str(tmp_path / "record"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with pytest.raises(SystemExit) as ended:
        gpu_main.main()
    assert ended.value.code == 0, capfd.readouterr()
    with (tmp_path / "record" / "checks.csv").open() as file:
        checks = [line for line in csv.DictReader(file) if line["section"] == "check"]
    assert len(checks) > 30
    assert all("right, plain formulation" in line["note"] for line in checks)
    with pytest.raises(SystemExit) as ended:
        gpu_main.main()
    assert ended.value.code == 1
    assert "checks.csv is there already" in capfd.readouterr().err


def test_without_a_gpu_nothing_is_measured_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", "--out", str(tmp_path / "record")])
    with pytest.raises(SystemExit) as ended:
        gpu_main.main()
    assert ended.value.code == "no GPU: nothing was measured"  # on stderr, with exit code 1
    assert not (tmp_path / "record").exists()


def test_a_second_gpu_is_checked_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(torch.device("cuda"), tiny=False, folder=tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    ((_, measure),) = second_device(bench)
    assert measure()["note"] == "not measured: torch sees 1 GPU, and cuda:1 is the second"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    lines, measures = zip(*second_device(bench), strict=True)
    assert {measure.args[0].device for measure in measures} == {torch.device("cuda", 1)}
    assert {line.section for line in lines} == {"second"}
    assert {"window_attention", "add_layer_norm", "toy-street-m2f"} < {line.name for line in lines}


def cases(bench: Bench) -> Cases:
    def broken() -> Measured:
        raise RuntimeError("an illegal memory access was encountered\nand more")

    def absent() -> Measured:
        raise ModuleNotFoundError(name="transformers")

    yield Line(section="check", name="first"), lambda: {"relative_error": 1e-6, "note": "right, kernel"}
    yield Line(section="check", name="second"), broken
    yield Line(section="check", name="third"), absent
    yield Line(section="check", name="fourth"), lambda: {"note": f"{WRONG}, kernel"}


def test_what_fails_is_written_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sections.SECTIONS, "checks", cases)
    deadline = time.monotonic() + 60
    sections.run_section("checks", torch.device("cpu"), tiny=True, folder=tmp_path, deadline=deadline)
    with (tmp_path / "checks.csv").open() as file:
        notes = {line["name"]: line["note"] for line in csv.DictReader(file) if line["section"] == "check"}
    assert notes == {
        "first": "right, kernel",
        "second": "failed: an illegal memory access was encountered",
        "third": "not measured: transformers is not installed",
        "fourth": "WRONG, kernel",
    }
    assert [sections.failure(note) for note in notes.values()] == [False, True, False, True]


def test_a_section_that_dies_is_a_failure_and_leaves_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def die(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        (tmp_path / "checks.csv").write_text("name,case,precision,note\nresize,,fp32,failed: no room\n")
        return subprocess.CompletedProcess(command, -11)

    monkeypatch.setattr(subprocess, "run", die)
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--only", "checks", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        gpu_main.main()
    assert capsys.readouterr().err.splitlines() == [
        "checks: ended with code -11",
        "checks: resize  fp32 failed: no room",
    ]


@pytest.mark.slow
def test_the_networks_need_no_library_of_downloads_and_folders() -> None:
    """Machines with a GPU often have torch, and no way to install more."""
    blocked = (
        "import sys; sys.modules.update(dict.fromkeys(('gdown', 'platformdirs', 'simplejpeg', 'typer', 'zlib_ng')))"
    )
    code = f"{blocked}; import semask_cli; semask_cli.build_model('toy-street-fpn')"
    code += "; from semask_cli.io.images import read_image; read_image(sys.argv[1])"
    environment = {**os.environ, "SEMASK_ZOO": str(ROOT / "weights.toml")}
    [scene, *_] = (project_file("demo") / "images").iterdir()
    subprocess.run([sys.executable, "-c", code, scene], check=True, env=environment)


def test_what_the_record_of_launches_promises() -> None:
    """A pass in steady state waits for nothing and copies nothing; of a prediction, the labels alone are waited for."""
    with dispatch.RECORD.open() as file:
        now = [line for line in csv.DictReader(file) if line["code"] == "now"]
    passes = [line for line in now if line["what"].startswith("pass")]
    assert len(passes) == 2 * len(dispatch.PASSES)
    assert {line[name] for line in passes for name in ("to_device", "to_host", "syncs", "padded")} == {"0"}
    whole = [line for line in now if line["what"].endswith("whole")]
    assert [(line["to_device"], line["to_host"], line["syncs"]) for line in whole] == [("1", "1", "1")] * 2


@pytest.mark.slow
def test_the_record_of_launches_is_true() -> None:
    with dispatch.RECORD.open() as file:
        recorded = list(csv.DictReader(file))
    lines = []
    for precision in ("fp32", "bf16"):
        counted = dispatch.count_pass("swin-t-fpn", 512, 683, precision=precision)
        lines.append(counted.line(network="swin-t-fpn", what="pass 512 x 683", precision=precision))
    counted = dispatch.count_predict("swin-t-fpn", mode="whole", precision="bf16")
    lines.append(counted.line(network="swin-t-fpn", what="predict 1000 x 1500, whole", precision="bf16"))
    for line in lines:
        assert {name: str(value) for name, value in asdict(line).items()} in recorded


@pytest.mark.usefixtures("on_host")
def test_the_usual_formulations_compute_the_same() -> None:
    inputs = attention_inputs()
    expected = ms_deform_attn(*inputs)
    torch.testing.assert_close(gpu_rivals.attention_by_grid_sample(*inputs), expected, atol=1e-5, rtol=1e-5)
    ready = gpu_rivals.locations_and_weights(inputs.level_sizes, inputs.reference, inputs.offsets, inputs.logits)
    by_thread = gpu_rivals.attention_by_thread_per_channel(inputs.value, inputs.level_sizes, *ready)
    torch.testing.assert_close(by_thread, expected, atol=1e-5, rtol=1e-5)
    inputs = convolution_inputs()
    by_torchvision = gpu_rivals.convolution_by_torchvision(*inputs)
    torch.testing.assert_close(by_torchvision, deform_conv2d(*inputs), atol=1e-4, rtol=1e-4)
