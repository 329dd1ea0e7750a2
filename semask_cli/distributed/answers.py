"""The results of one image, in a form that can be sent between processes and machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semask_cli import errors
from semask_cli.errors import OutputError, SemaskError
from semask_cli.inference.config import Keep
from semask_cli.output.class_shares import ClassShare
from semask_cli.output.kinds import Kind, check_kind, needs
from semask_cli.output.segmentation import Segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The output files of an image, with the options of `Segmentation.save`.

    Raises:
        UsageError: an unknown kind.
    """

    kinds: tuple[Kind, ...] = ("mask",)
    opacity: float = 0.5
    tolerance: float = 0
    top: int = 5

    def __post_init__(self) -> None:
        for kind in self.kinds:
            check_kind(kind)

    @property
    def settings(self) -> dict[str, Any]:
        """All that the files depend on, as JSON values."""
        return {"outputs": sorted(self.kinds), "opacity": self.opacity, "tolerance": self.tolerance, "top": self.top}

    @property
    def keep(self) -> Keep:
        """The parts of the scores that the files need."""
        needed = needs(self.kinds)
        return Keep(
            confidence="json" in self.kinds or "confidence" in needed,
            entropy="entropy" in needed,
            top=self.top if "scores" in needed else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An image's size, its encoded output `files`, and the classes present, largest first; or only an `error`."""

    width: int = 0
    height: int = 0
    files: Mapping[Kind, bytes] = field(default_factory=dict)
    classes: tuple[ClassShare, ...] = ()
    error: SemaskError | None = None
    milliseconds: float = 0.0

    @classmethod
    def of(cls, result: Segmentation | SemaskError, outputs: Outputs, *, name: str) -> Answer:
        """The answer for the image called `name`; a failure to encode becomes its error."""
        if isinstance(result, SemaskError):
            return cls(error=result)
        named = replace(result, name=Path(name).name)
        try:
            files = {
                kind: named.encoded(kind, opacity=outputs.opacity, tolerance=outputs.tolerance)
                for kind in outputs.kinds
            }
        except OutputError as error:
            return cls(error=error)
        height, width = result.labels.shape
        return cls(
            width=width,
            height=height,
            files=files,
            classes=result.shares(),
            milliseconds=sum(result.info.milliseconds.values()),
        )

    def to_row(self) -> dict[str, Any]:
        """A row of plain values, None where there is nothing. Classes have no colour."""
        failed = self.error is not None
        return {
            "width": None if failed else self.width,
            "height": None if failed else self.height,
            **{str(kind): content for kind, content in self.files.items()},
            "classes": [_class_row(share) for share in self.classes],
            "error": error_row(self.error) if self.error else None,
            "milliseconds": None if failed else round(self.milliseconds, 3),
        }


def _class_row(share: ClassShare) -> dict[str, Any]:
    row = dataclasses.asdict(share)
    del row["colour"]
    return row


def as_text(name: str) -> str:
    """A file name as valid text for Arrow: bytes that are not UTF-8 become \\udc.., as in JSON."""
    return name.encode("utf-8", "backslashreplace").decode()


def error_row(error: SemaskError) -> dict[str, str]:
    """An error as the values of a row."""
    return {"kind": type(error).__name__, "message": error.message, "suggestion": error.suggestion}


def shares_of(rows: Sequence[Mapping[str, Any]], palette: NDArray[np.uint8]) -> tuple[ClassShare, ...]:
    """The classes in a row, with the colours of `palette` (K, 3)."""
    return tuple(ClassShare(colour=tuple(map(int, palette[row["index"]])), **row) for row in rows)  # type: ignore[arg-type]


def error_of(row: Mapping[str, str]) -> SemaskError:
    """The error in a row."""
    kind = getattr(errors, row["kind"], SemaskError)
    return kind(row["message"], row["suggestion"])
