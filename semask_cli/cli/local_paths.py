"""Options that name a file or folder of this machine refuse the address of a store."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from semask_cli.io.files import refuse_address


class Command(TyperCommand):
    """A command whose parameters of type `Path` take no URL: of s3://bucket/a they would make a folder called "s3:"."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            UsageError: a URL is given for a path.
        """
        for parameter in self.params:
            given = ctx.params.get(parameter.name or "") if parameter.type.name == "path" else None
            for value in given if isinstance(given, list | tuple) else [given]:
                refuse_address(str(value), parameter.opts[0])
        return super().invoke(ctx)
