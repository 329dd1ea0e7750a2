"""A dataclass of options is a parameter of several commands."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.testing import CliRunner

from semask_cli.cli.option_groups import with_option_groups

Name = Annotated[str, typer.Option("--name", "-n")]


@dataclass(frozen=True, kw_only=True)
class First:
    name: Name = "nobody"
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Second:
    name: Name = "nobody"
    flag: bool = False


GIVEN: list[Any] = []


@with_option_groups
def command(path: str, *, first: First, second: Second, limit: int = 0) -> None:
    """What it does."""
    GIVEN[:] = [path, first, second, limit]


def test_each_field_is_an_option_and_shared_ones_reach_both_groups() -> None:
    app = typer.Typer()
    app.command()(command)
    finished = CliRunner().invoke(app, ["here", "-n", "somebody", "--flag", "--limit", "3"])
    assert finished.exit_code == 0, finished.output
    assert ["here", First(name="somebody"), Second(name="somebody", flag=True), 3] == GIVEN
    assert list(inspect.signature(command).parameters) == ["path", "name", "size", "flag", "limit"]
    assert command.__doc__ == "What it does."


def test_the_command_is_called_from_python_with_the_same_names() -> None:
    command("here", size=2)
    assert ["here", First(size=2), Second(), 0] == GIVEN
