"""`semask doctor`: what this machine has, which kernels run, and why not."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.errors import DamagedCheckpointError, UsageError

if TYPE_CHECKING:
    from semask_cli.machine.doctor import CacheFolder, Diagnosis


def doctor(
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every checkpoint in the cache and say which are damaged.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed runs and broken downloads left in the cache.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show versions, devices, which operators run as kernels and why others do not, and what the cache holds."""
    if verify and clean:
        raise UsageError("--verify and --clean are two runs")
    if verify:
        return _verify(as_json=as_json)
    if clean:
        return _clean(as_json=as_json)
    from semask_cli.machine.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print(json.dumps({"schema_version": 1, **dataclasses.asdict(diagnosis)}, indent=2))
    else:
        _print_table(diagnosis)
    return None


def _verify(*, as_json: bool) -> None:
    from semask_cli.checkpoints.store import verify_all

    states = verify_all()
    if as_json:
        files = [{"path": str(path), "state": state} for path, state in states.items()]
        print(json.dumps({"schema_version": 1, "files": files}, indent=2))
    else:
        for path, state in states.items():
            print(f"{state:10}  {path}")
    if damaged := [path for path, state in states.items() if state in ("damaged", "unreadable")]:
        raise DamagedCheckpointError(
            f"{len(damaged)} of {len(states)} files in the cache are damaged",
            "Fetch them again: " + "; ".join(f"semask download {path.stem}" for path in damaged),
        )


def _clean(*, as_json: bool) -> None:
    from semask_cli.checkpoints.leftovers import remove

    removed = remove(transfers=True)
    freed = sum(leftover.bytes for leftover in removed)
    if as_json:
        files = [dataclasses.asdict(leftover) for leftover in removed]
        print(json.dumps({"schema_version": 1, "removed": files, "freed_bytes": freed}, indent=2))
        return
    for leftover in removed:
        print(f"{_size(leftover.bytes)}  {leftover.path}")
    print(f"{len(removed)} removed, {_size(freed)} freed")


def _print_table(found: Diagnosis) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")

    def section(**lines: str) -> None:
        for name, text in lines.items():
            table.add_row(name, Text(text))
        table.add_section()

    section(**found.versions, platform=found.platform)
    section(
        cuda=f"torch was built for {found.cuda}" if found.cuda else "torch was built without it",
        driver=f"runs CUDA up to {found.driver}" if found.driver else "none found",
        nvrtc=found.nvrtc or "none found: it comes with torch's CUDA builds",
    )
    for device in found.devices:
        memory = f", {_size(device.memory_bytes)}" if device.memory_bytes else ""
        table.add_row(device.name, Text(f"{device.description}{memory}"))
        for line in (line for line in found.operators if line.device == device.name):
            style = "green" if line.path == "kernel" else "yellow" if device.name.startswith("cuda") else ""
            table.add_row(f"  {line.operator}", Text.assemble((line.path, style), f"  {line.reason}"))
    table.add_section()
    section(
        checkpoints=_contents(found.checkpoints),
        kernels=_contents(found.kernels),
        disk=f"{_size(found.free_bytes)} free",
        network="off (SEMASK_OFFLINE)" if found.offline else "used to download checkpoints",
    )
    Console().print(table)


def _contents(folder: CacheFolder) -> str:
    return f"{folder.path}  {folder.files} files, {_size(folder.bytes)}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
