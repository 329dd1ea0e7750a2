"""`semask doctor`: what this machine has, and which kernels run on it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from semask_cli.cli.option_groups import AsJson
from semask_cli.cli.printing import print_json, print_table
from semask_cli.errors import DamagedCheckpointError, UsageError

if TYPE_CHECKING:
    from semask_cli.machine.doctor import CacheFolder, Diagnosis


def doctor(
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every checkpoint in the cache and list the damaged ones.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove leftovers of killed runs and broken downloads from the cache.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show versions, devices, which operators run as kernels (and why others do not), and the contents of the cache."""
    if verify and clean:
        raise UsageError("--verify and --clean exclude each other", "Run them one after the other.")
    if verify:
        return _verify(as_json=as_json)
    if clean:
        return _clean(as_json=as_json)
    from semask_cli.machine.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(dataclasses.asdict(diagnosis))
    else:
        _print_table(diagnosis)
    return None


def _verify(*, as_json: bool) -> None:
    from semask_cli.checkpoints.store import verify_all

    states = verify_all()
    if as_json:
        files = [{"path": str(path), "state": state} for path, state in states.items()]
        print_json({"files": files})
    else:
        for path, state in states.items():
            print(f"{state:10}  {path}")
    if damaged := [path for path, state in states.items() if state in ("damaged", "unreadable")]:
        raise DamagedCheckpointError(
            f"{len(damaged)} of {len(states)} files in the cache are damaged",
            "Download them again: " + "; ".join(f"semask download {path.stem}" for path in damaged),
        )


def _clean(*, as_json: bool) -> None:
    from semask_cli.checkpoints.leftovers import remove

    removed = remove(transfers=True)
    freed = sum(leftover.bytes for leftover in removed)
    if as_json:
        files = [dataclasses.asdict(leftover) for leftover in removed]
        print_json({"removed": files, "freed_bytes": freed})
        return
    for leftover in removed:
        print(f"{_size(leftover.bytes)}  {leftover.path}")
    print(f"{len(removed)} removed, {_size(freed)} freed")


def _print_table(found: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)

    def section(**lines: str) -> None:
        for name, text in lines.items():
            table.add_row(name, Text(text))
        table.add_section()

    section(**found.versions, platform=found.platform)
    section(
        cuda=f"torch is built for {found.cuda}" if found.cuda else "torch is built without it",
        driver=f"supports CUDA up to {found.driver}" if found.driver else "none found",
        nvrtc=found.nvrtc or "none found; torch's CUDA builds include it",
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
    print_table(table)


def _contents(folder: CacheFolder) -> str:
    return f"{folder.path}  {folder.files} files, {_size(folder.bytes)}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
