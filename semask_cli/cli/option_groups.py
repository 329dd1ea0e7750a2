"""Options shared by several commands: one by one, or as a frozen dataclass that is a parameter of each command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from typing import Annotated, Any, TypeGuard

import typer

from semask_cli.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each dataclass parameter of a command by one option per field.

    Fields of the same name in several dataclasses become one option, whose value all of them get.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    annotations = {name: parameter.annotation for name, parameter in parameters.items()}
    groups = {name: annotation for name, annotation in annotations.items() if _is_group(annotation)}
    fields = {name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()}

    def spread(*arguments: Any, **values: Any) -> None:
        options = {
            name: group(**{field: values[field] for field in fields[name] if field in values})
            for name, group in groups.items()
        }
        command(*arguments, **options, **{name: value for name, value in values.items() if name in parameters})

    flat = {p.name: p for name, given in parameters.items() for p in fields.get(name, {name: given}).values()}
    # Typer reads the signature and the annotations.
    spread.__name__, spread.__doc__ = command.__name__, command.__doc__
    spread.__signature__ = inspect.Signature(list(flat.values()))  # type: ignore[attr-defined]
    spread.__annotations__ = {name: parameter.annotation for name, parameter in flat.items()}
    return spread


def _is_group(annotation: Any) -> TypeGuard[type]:
    return isinstance(annotation, type) and is_dataclass(annotation)


def refuse_options(context: typer.Context, run: str, names: Collection[str], suggestion: str = "") -> None:
    """Refuse options that this kind of `run` would ignore; `names` are those of their parameters.

    Raises:
        UsageError: one of them was given on the command line.
    """
    for parameter in context.command.params:
        given = parameter.name and context.get_parameter_source(parameter.name)
        if given and given.name == "COMMANDLINE" and parameter.name in names:
            raise UsageError(f"{run} takes no {parameter.opts[0]}", suggestion)
