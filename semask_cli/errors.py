"""Everything that can go wrong for a user: one class, one exit code and one suggestion for each kind of failure.

The command line prints `message` and `suggestion` and leaves with `exit_code`; docs/exit-codes.md lists the codes.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130
"""The exit code of a run that Ctrl-C has ended."""


def printable(text: str, *, limit: int = 200) -> str:
    """Text of a file, or a file's name, as it may stand in a line on a terminal: short, without control characters.

    Escape sequences and line breaks in it could clear the screen, or forge a message.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


class SemaskError(Exception):
    """A failure that a user can act on.

    `message` says what happened and to which file, `suggestion` what to do next (may be empty).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, suggestion: str = "") -> None:
        # Names of files stand in messages; the lines are ours.
        self.message = "\n".join(printable(line, limit=2000) for line in message.split("\n"))
        self.suggestion = "\n".join(printable(line, limit=2000) for line in suggestion.split("\n"))
        super().__init__(self.message)


class UsageError(SemaskError):
    """Arguments that do not go together. The same code as an option that does not exist."""

    exit_code = 2


class UnknownModelError(UsageError):
    """No row of the zoo has this name."""


class ZooError(UsageError):
    """A zoo file (weights.toml or the user's own) that cannot be used."""


class ImageError(SemaskError):
    """An image that cannot be read."""

    exit_code = 3


class OutputError(SemaskError):
    """A result that cannot be written: a full disk, a folder without permission, two inputs with one output."""

    exit_code = 4


class CheckpointError(SemaskError):
    """A checkpoint that cannot be used."""

    exit_code = 10


class MissingTensorsError(CheckpointError):
    """The names in the file are not the names of the model."""

    exit_code = 11


class TensorShapeError(CheckpointError):
    """The names are right, a shape or a kind of number is not."""

    exit_code = 12


class DamagedCheckpointError(CheckpointError):
    """A file that begins like a checkpoint and cannot be read to its end."""

    exit_code = 13


class UnsafeCheckpointError(CheckpointError):
    """A pickle that asks for more than tensors. Nothing of it was executed."""

    exit_code = 14


class NotACheckpointError(CheckpointError):
    """A file of another kind: text, a web page, an empty file."""

    exit_code = 15


class DigestError(CheckpointError):
    """A file whose SHA-256 is not the expected one."""

    exit_code = 16


class DownloadError(SemaskError):
    """The network, or the server behind it, did not give the file."""

    exit_code = 20


class OfflineError(DownloadError):
    """The checkpoint is not on disk and SEMASK_OFFLINE forbids fetching it."""

    exit_code = 21


class DatasetError(SemaskError):
    """A dataset folder that is incomplete or not laid out as expected."""

    exit_code = 30


class VerificationError(SemaskError):
    """A result that its journal, or the files that it names, do not bear out."""

    exit_code = 31


class DeviceError(SemaskError):
    """A device, a precision, memory or a library that this machine does not have."""

    exit_code = 40


class ExportError(SemaskError):
    """A network that computes something else in another engine. It was not kept."""

    exit_code = 41


class QuantizationError(SemaskError):
    """A model that gives other labels in int8, or that was not prepared for it."""

    exit_code = 42


class WorldError(SemaskError):
    """A process of a run that several share has ended before the others."""

    exit_code = 50
