"""The states of files from before they were read: a file that changes meanwhile is not taken for the new one."""

from __future__ import annotations

from semask_cli.io.storage import Place, state


class SourceStates:
    """`storage.state` of each image's source, by the image's id; for several threads."""

    def __init__(self) -> None:
        self._states: dict[str, str | None] = {}

    def record(self, id: str, source: Place) -> None:
        """Record the state of `source`, which is about to be read."""
        self._states[id] = state(source)

    def take(self, id: str) -> str | None:
        """The recorded state, which is forgotten; None if there is none."""
        return self._states.pop(id, None)
