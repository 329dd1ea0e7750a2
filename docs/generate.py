"""Write the tables of README.md and docs/ that repeat what stands elsewhere: `python docs/generate.py [--check]`.

And the JSON Schema of an evaluation, for the wheel and for docs/.

A page holds a table between <!-- NAME:begin --> and <!-- NAME:end -->. NAME is a key of BLOCKS.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

import semask_cli
from semask_cli import errors
from semask_cli.cli import app
from semask_cli.errors import INTERRUPTED, SemaskError
from semask_cli.evaluation.schema import evaluation_schema
from semask_cli.zoo import ModelSpec, load_zoo

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RECORDS = ROOT / "benchmarks" / "records"


def models() -> str:
    """The published rows of weights.toml."""
    zoo = load_zoo()
    published = [spec for spec in zoo.models.values() if any(file.drive_id for file in spec.checkpoints)]
    defaults = set(zoo.defaults.values())
    rows = (
        (f"{spec.name}{' *' if spec.name in defaults else ''}", spec.dataset, *_figures(spec), f"{spec.params_m:g} M")
        for spec in published
    )
    return _table(("model", "dataset", "mIoU", "ms+flip", "parameters"), rows, right=(2, 3, 4))


def exit_codes() -> str:
    """The classes of errors.py, by exit code."""
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, SemaskError)]
    rows = [(c.exit_code, f"`{c.__name__}`", _first_line(c)) for c in classes if c is not SemaskError]
    fixed = [
        (0, "", "All done."),
        (1, "`SemaskError`", "Anything not listed here."),
        (INTERRUPTED, "", "Interrupted."),
    ]
    return _table(("code", "exception", "meaning"), sorted(rows + fixed))


def commands() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    group = typer.main.get_command(app)
    return "\n\n".join(_command(name, command) for name, command in group.commands.items())  # type: ignore[attr-defined]


def rivals() -> str:
    """Seconds for one image beside other code, on each processor measured."""
    records = _records("rivals")
    seconds = {(row["contender"], row["cpu"]): row["seconds"] for row in records}
    rows = (
        (
            row["contender"].removeprefix("semask "),
            row["times_as_fast_as"],
            row["cpu"],
            row["seconds"],
            seconds[row["times_as_fast_as"], row["cpu"]],
            f"{float(row['ratio']):.1f} x",
        )
        for row in records
        if row["ratio"] and not row["times_as_fast_as"].startswith("semask")
    )
    header = ("model", "beside", "processor", "semask, s", "other, s", "as fast")
    return _table(header, ((_short(cell) for cell in row) for row in rows), right=(3, 4, 5))


def networks() -> str:
    """Seconds of the networks alone, and the share of the matrix peak that they reach, on each processor measured."""
    records = _records("networks")
    models = list(dict.fromkeys(row["model"] for row in records))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in records:
        cell = f"{float(row['seconds']):.2f} s, {100 * float(row['share_of_peak']):.0f} %"
        cells.setdefault((_short(row["cpu"]), row["precision"]), {})[row["model"]] = cell
    rows = ((*key, *(found.get(model, "") for model in models)) for key, found in sorted(cells.items()))
    return _table(("processor", "precision", *models), rows)


def engines() -> str:
    """Seconds of a network in other engines beside ours."""
    rows = (
        tuple(_short(row[key]) for key in ("model", "size", "precision", "engine", "cpu", "seconds", "ours_takes"))
        for row in _records("engines")
    )
    header = ("model", "size", "precision", "engine", "processor", "seconds", "semask takes, times")
    return _table(header, rows, right=(5, 6))


def rasters() -> str:
    """Memory of georeferenced rasters."""
    rows = (
        tuple(_short(row[key]) for key in ("raster", "gigabytes_unpacked", "cpu", "megapixels_per_second", "peak_mib"))
        for row in _records("raster")
    )
    header = ("raster", "GB unpacked", "processor", "megapixels a second", "peak, MiB")
    return _table(header, rows, right=(1, 3, 4))


def memory() -> str:
    """Time and memory of very large images."""
    rows = (
        (
            row["case"],
            row["cpu"],
            row["seconds"],
            row["beyond_libraries_and_weights_gib"],
            row["full_size_logits_would_be_gib"],
        )
        for row in _records("memory")
    )
    header = ("image", "processor", "seconds", "GiB beyond libraries and weights", "GiB of full-size logits")
    return _table(header, ((_short(cell) for cell in row) for row in rows), right=(2, 3, 4))


def coverage() -> str:
    """How often intervals hold the truth, on simulated datasets."""
    header = ("figure", "images", "percentile", "BCa")
    kept = [
        row for row in _records("coverage") if row["figure"] in ("mIoU", "aAcc") or row["figure"].startswith("IoU, 8")
    ]
    rows = (
        (row["figure"], row["images"], *(f"{100 * float(row[key]):.1f} %" for key in ("percentile", "bca")))
        for row in kept
    )
    return _table(header, rows, right=(1, 2, 3))


def formulas() -> str:
    """Figures by other tools beside ours."""
    rows = (
        (row["tool"], row["figure"], row["theirs"], row["ours"], "" if row["same_definition"] == "yes" else "another")
        for row in _records("formulas")
    )
    return _table(("tool", "figure", "theirs, %", "ours, %", "definition"), rows, right=(2, 3))


def evaluation() -> str:
    """Time and memory of evaluations."""
    rows = (
        (
            row["case"],
            row["images"],
            row["size"],
            row["cpu"],
            f"{100 * float(row['network_share']):.0f} %" if row["network_share"] else "",
            row["peak_mib"],
        )
        for row in _records("evaluation")
    )
    header = ("case", "images", "size", "processor", "network's share", "peak, MiB")
    return _table(header, ((_short(cell) for cell in row) for row in rows), right=(1, 2, 4, 5))


def api() -> str:
    """A directive of mkdocstrings for each name that semask_cli exports: functions, then classes."""
    exported = [getattr(semask_cli, name) for name in semask_cli.__all__]
    return "\n\n".join(f"::: {item.__module__}.{item.__name__}" for item in sorted(exported, key=inspect.isclass))


BLOCKS: dict[str, Callable[[], str]] = {
    "models": models,
    "exit-codes": exit_codes,
    "commands": commands,
    "rivals": rivals,
    "networks": networks,
    "memory": memory,
    "coverage": coverage,
    "formulas": formulas,
    "evaluation": evaluation,
    "engines": engines,
    "rasters": rasters,
    "api": api,
}


def schema() -> str:
    """The JSON Schema of an evaluation."""
    return json.dumps(evaluation_schema(), indent=1, ensure_ascii=False) + "\n"


FILES: dict[Path, Callable[[], str]] = {
    ROOT / "semask_cli" / "evaluation" / "evaluation.schema.json": schema,
    ROOT / "docs" / "evaluation.schema.json": schema,
}
"""Files that are generated as a whole."""


def _command(name: str, command: Any) -> str:
    """A section of Markdown for one command."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["semask", name, *command.collect_usage_pieces(context)])
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(context):
        if parameter.name != "help":
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or kind
            panels.setdefault(panel, []).append((_spelling(parameter, context), _meaning(parameter)))
    tables = (f"{_table((panel, ''), rows)}\n" for panel, rows in panels.items() if rows)
    return "\n".join([f"## semask {name}\n", f"{inspect.cleandoc(command.help)}\n", f"    {usage}\n", *tables]).rstrip()


def _spelling(parameter: Any, context: Any) -> str:
    """As in `--output DIR`, `-o`."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.make_metavar(context)}`"
    long, *short = sorted(parameter.opts, key=len, reverse=True)
    metavar = parameter.metavar or ("" if parameter.is_flag else parameter.type.name.removesuffix(" range").upper())
    value = "" if _choices(parameter) else metavar.replace("|", " or ")
    return ", ".join([f"`{long} {value}`".replace(" `", "`"), *(f"`{name}`" for name in short)])


def _meaning(parameter: Any) -> str:
    choices = _choices(parameter)
    parts = [parameter.help or "", f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""]
    if parameter.default not in (None, False) and not parameter.required:
        parts.append(f"Default: `{parameter.default}`.")
    return " ".join(filter(None, parts))


def _choices(parameter: Any) -> Sequence[str]:
    return () if parameter.metavar else getattr(parameter.type, "choices", ())


def _figures(spec: ModelSpec) -> tuple[str, str]:
    return f"{spec.miou:.2f}", f"{spec.miou_ms_flip:.2f}"


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0]


def _records(name: str) -> list[dict[str, str]]:
    with (RECORDS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _short(cell: str) -> str:
    return cell.replace("Intel(R) Xeon(R) Processor", "Intel Xeon").replace("Mask2Former Swin-L", "Mask2Former, Swin-L")


def _table(header: Sequence[str], rows: Iterable[Iterable[object]], *, right: Sequence[int] = ()) -> str:
    rule = ("---:" if column in right else "---" for column in range(len(header)))
    lines = (header, rule, *rows)
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def filled(text: str) -> str:
    """The page with the text between its markers written anew.

    Raises:
        KeyError: a marker names no block.
    """
    pattern = re.compile(r"(<!-- ([\w-]+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n\n{match[3]}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is out of date")
    check = parser.parse_args().check
    stale = {page: new for page in PAGES if (new := filled(old := page.read_text())) != old}
    stale |= {file: new for file, made in FILES.items() if (new := made()) != (file.exists() and file.read_text())}
    for page, text in stale.items():
        name = page.relative_to(ROOT)
        if check:
            print(f"{name} is out of date: python docs/generate.py writes it anew", file=sys.stderr)
        else:
            page.write_text(text)
            print(f"{name} written")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
