"""The errors that a user can meet: one class and one exit code for each kind.

The command line prints `message` and `suggestion` and exits with `exit_code`; docs/exit-codes.md lists the codes.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def printable(text: str, *, limit: int = 200) -> str:
    """Untrusted text, such as a file name, made safe for a line on a terminal: shortened, no control characters.

    Escape sequences and line breaks could clear the screen or forge a message.
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)


class SemaskError(Exception):
    """An error that a user can act on.

    `message` says what happened, and to which file; `suggestion`, which may be empty, what to do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, suggestion: str = "") -> None:
        # Messages hold file names; the line breaks are ours.
        self.message = "\n".join(printable(line, limit=2000) for line in message.split("\n"))
        self.suggestion = "\n".join(printable(line, limit=2000) for line in suggestion.split("\n"))
        super().__init__(self.message)


class UsageError(SemaskError):
    """Invalid arguments, or arguments that exclude each other."""

    exit_code = 2


class UnknownModelError(UsageError):
    """No model of the zoo has this name."""


class ZooError(UsageError):
    """A zoo file (weights.toml or the user's own) is invalid."""


class ImageError(SemaskError):
    """An image cannot be read."""

    exit_code = 3


class OutputError(SemaskError):
    """A result cannot be written: a full disk, a missing permission, or two inputs with the same output."""

    exit_code = 4


class CheckpointError(SemaskError):
    """A checkpoint cannot be used."""

    exit_code = 10


class MissingTensorsError(CheckpointError):
    """The names of a checkpoint's tensors do not match the model."""

    exit_code = 11


class TensorShapeError(CheckpointError):
    """The names match, but a shape or dtype does not."""

    exit_code = 12


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is truncated or corrupt."""

    exit_code = 13


class UnsafeCheckpointError(CheckpointError):
    """A pickle refers to more than tensors. Nothing in it was executed."""

    exit_code = 14


class NotACheckpointError(CheckpointError):
    """A file is no checkpoint: text, a web page, an empty file."""

    exit_code = 15


class DigestError(CheckpointError):
    """The SHA-256 of a file is not the expected one."""

    exit_code = 16


class DownloadError(SemaskError):
    """A file could not be downloaded."""

    exit_code = 20


class OfflineError(DownloadError):
    """The checkpoint is not on disk, and SEMASK_OFFLINE forbids downloading it."""

    exit_code = 21


class DatasetError(SemaskError):
    """A dataset folder is incomplete, or not laid out as expected."""

    exit_code = 30


class VerificationError(SemaskError):
    """A result does not match its journal or its files."""

    exit_code = 31


class DeviceError(SemaskError):
    """This machine lacks a device, a precision, memory or a library."""

    exit_code = 40


class ExportError(SemaskError):
    """An exported network differs from the original. It was not kept."""

    exit_code = 41


class QuantizationError(SemaskError):
    """A model gives too many other labels in int8, or was not calibrated for it."""

    exit_code = 42


class WorldError(SemaskError):
    """A process of a distributed run ended before the others."""

    exit_code = 50
