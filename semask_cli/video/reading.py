"""Reading the frames of a video file, a camera or a stream."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from semask_cli.errors import ImageError, UsageError
from semask_cli.io.extras import import_extra
from semask_cli.io.images import RGB
from semask_cli.io.regular import open_regular

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv"))
"""Lower-case suffixes of videos."""

_STREAM = re.compile(r"(rtsps?|rtmps?|udp|srt)://[!-~]+")
_CAMERA = re.compile(r"camera:(\d+)")
_TIMEOUT = 10  # seconds without a byte from a stream


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame number `index` of a video, `seconds` after its start, upright."""

    index: int
    seconds: float
    image: RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRange:
    """Every `step`-th frame from `start` on, before `stop` (None: to the end)."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    def holds(self, index: int) -> bool:
        """Whether a frame matches `start` and `step`."""
        return index >= self.start and (index - self.start) % self.step == 0

    @classmethod
    def parse(cls, text: str) -> FrameRange:
        """Parse START:STOP:STEP; each may be omitted.

        Raises:
            UsageError: the text is not such a range.
        """
        match = re.fullmatch(r"(\d*):(\d*)(?::(\d*))?", text)
        start, stop, step = match.groups() if match else ("", "", "0")
        if not match or step == "0" or (stop and int(stop) <= int(start or 0)):
            raise UsageError(f"--frames {text!r} is not a range of frames", "Write 100:200, or ::5 for every fifth.")
        return cls(start=int(start or 0), stop=int(stop) if stop else None, step=int(step or 1))


def is_video(name: str) -> bool:
    """Whether an input is a video: by its suffix, camera:N, or the URL of a stream."""
    if _STREAM.fullmatch(name) or _CAMERA.fullmatch(name):
        return True
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and "*" not in name


def av() -> ModuleType:
    """Import PyAV.

    Raises:
        UsageError: it is not installed.
    """
    return import_extra("av", extra="video", purpose="a video")


def is_live(name: str) -> bool:
    """Whether a video is a camera or a stream, whose frames cannot be read again."""
    return bool(_STREAM.fullmatch(name) or _CAMERA.fullmatch(name))


def state(name: str) -> list[float]:
    """Values that change when a video does: the file's size and time; for a live one, the current time.

    Raises:
        ImageError: there is no such file.
    """
    if is_live(name):
        return [time.time()]
    with _file(name) as file:
        status = os.fstat(file.fileno())
    return [status.st_size, status.st_mtime_ns]


def _file(name: str) -> BinaryIO:
    try:
        return open_regular(name)
    except OSError as error:
        raise ImageError(f"cannot read the video {name}: {error.strerror}") from error


def frames(name: str, chosen: FrameRange) -> Iterator[Frame]:
    """The chosen frames of a video: a path, camera:N, or the URL of a stream (rtsp://…).

    Raises:
        ImageError: it cannot be opened, contains no video, ends before the first chosen frame, or is damaged; frames
            before the damage have been yielded.
    """
    library = av()
    try:
        with library.open(**_opening(name)) as container:
            if not container.streams.video:
                raise ImageError(f"{name} contains no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            index = -1
            for index, frame in enumerate(container.decode(stream)):
                if chosen.stop is not None and index >= chosen.stop:
                    return
                if chosen.holds(index):
                    seconds = index / (stream.average_rate or Fraction(25)) if frame.time is None else frame.time
                    yield Frame(index, float(seconds), _upright(frame))
            if index < chosen.start:
                raise ImageError(f"{name} has only {index + 1} frames, none with index {chosen.start}")
    except library.error.FFmpegError as error:
        live = "Check that another program can show it; camera:0 is /dev/video0."
        advice = live if is_live(name) else "If it is truncated, `ffmpeg -i` may repair it."
        raise ImageError(f"cannot read the video {name}: {error.strerror}", advice) from error


def _opening(name: str) -> dict[str, object]:
    if camera := _CAMERA.fullmatch(name):
        return {"file": f"/dev/video{camera[1]}", "format": "v4l2"}
    if _STREAM.fullmatch(name):
        return {"file": name, "timeout": _TIMEOUT}
    _file(name).close()  # fails if it does not exist, or is a pipe
    # A playlist could refer to other files and URLs, which a user's own video never needs.
    return {"file": name, "options": {"protocol_whitelist": "file"}}


def _upright(frame: object) -> RGB:
    """uint8 RGB (H, W, 3), with the stored rotation applied."""
    pixels = frame.to_ndarray(format="rgb24")  # type: ignore[attr-defined]
    turns = round(frame.rotation / 90) % 4  # type: ignore[attr-defined]
    return np.ascontiguousarray(np.rot90(pixels, turns))
