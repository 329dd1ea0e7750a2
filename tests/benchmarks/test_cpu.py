"""The benchmarks' scripts start from the root of the repository, and the light ones run at tiny sizes."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.cpu import coverage, folder, formulas, networks, ops, record, startup

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    *(
        f"benchmarks.cpu.{path.stem}"
        for path in (ROOT / "benchmarks/cpu").glob("[!_]*.py")
        if path.stem not in ("record", "turns")
    ),
    *("benchmarks.gpu", "benchmarks.gpu.machine_code"),
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_how_it_is_run(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.delitem(sys.modules, script, raising=False)
    with pytest.raises(SystemExit) as left:
        runpy.run_module(script, run_name="__main__")
    assert not left.value.code
    assert f"python -m {script}" in capsys.readouterr().out
    assert f"`{script}`" in (ROOT / "benchmarks/README.md").read_text()


def test_startup_in_processes_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ["python", "semask models"]
    monkeypatch.setattr(startup, "COMMANDS", {name: startup.COMMANDS[name] for name in quick})
    monkeypatch.setattr(sys, "argv", ["startup", "--repeats", "1", "--record", str(tmp_path / "startup.csv")])
    startup.main()
    rows = list(csv.DictReader((tmp_path / "startup.csv").open()))
    assert [row["command"] for row in rows] == quick
    assert all(float(row["seconds"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("script", "small", "rows"),
    [
        (ops, {"IMAGES": ((64, 96),), "ROUNDS": 1}, 4),
        (networks, {"PUBLISHED": {"toy-street-fpn": 1}, "REPEATS": 1, "WARM_UPS": 0, "peak_gflops": lambda *_: 1.0}, 1),
        (folder, {"MODEL": "toy-street-fpn", "IMAGES": 2, "WIDTH": 60, "HEIGHT": 40}, 1),
    ],
)
def test_light_scripts_measure_and_record(
    script: ModuleType, small: dict[str, object], rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in small.items():
        monkeypatch.setattr(script, name, value)
    monkeypatch.setattr(sys, "argv", ["script", "--record", str(tmp_path / "record.csv")])
    script.main()
    assert len(list(csv.DictReader((tmp_path / "record.csv").open()))) == rows


def test_other_tools_formulas_give_our_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--scenes", "2", "--record", str(tmp_path / "record.csv")])
    formulas.main()
    rows = list(csv.DictReader((tmp_path / "record.csv").open()))
    assert {"MMSegmentation's formula", "detectron2's formula", "Boundary IoU's definition"} <= {
        r["tool"] for r in rows
    }
    for row in rows:
        if row["same_definition"] == "yes":
            # torchmetrics computes in float32.
            assert float(row["ours"]) == pytest.approx(float(row["theirs"]), abs=2e-5)


def test_how_often_intervals_hold_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "TRUTH", 10_000)
    options = ["--datasets", "5", "--images", "40", "--record", str(tmp_path / "record.csv")]
    monkeypatch.setattr(sys, "argv", ["script", *options])
    coverage.main()
    rows = list(csv.DictReader((tmp_path / "record.csv").open()))
    assert len(rows) == len(coverage.FIGURES)
    assert all(0 <= float(row[kind]) <= 1 for row in rows for kind in ("percentile", "bca"))


def test_a_record_keeps_what_other_processors_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.csv"
    for processor, seconds in (("one", 1), ("other", 2), ("one", 3)):
        monkeypatch.setattr(record, "processor", lambda processor=processor: processor)
        record.write_record(path, [{"seconds": seconds}])
    assert [(row["cpu"], row["seconds"]) for row in csv.DictReader(path.open())] == [("other", "2"), ("one", "3")]
    record.write_record(path, [{"seconds": 4}], keys=["seconds"])
    assert [row["seconds"] for row in csv.DictReader(path.open())] == ["2", "3", "4"]
