"""Writing a video in parts: a killed run loses only its unfinished part."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from semask_cli.errors import OutputError
from semask_cli.io.files import locked_folder, whole_file, write_atomically, writing
from semask_cli.io.images import RGB
from semask_cli.io.journal import settings_digest
from semask_cli.video.reading import av

PART_FRAMES = 250
CLOCK = 90_000  # ticks per second, as in MPEG
_QUALITY = "20"  # x264's constant rate factor: visually lossless in motion
_SETTINGS = "settings.json"


class VideoParts:
    """The folder FILE.parts with the finished parts of the video FILE: INDEX-TICKS-DIGEST.mp4, of its first frame.

    A part that does not match its digest is removed, with those after it. Every `step`-th frame of the source is used.
    `settings` are all that the frames depend on; parts with other settings are removed. The folder is locked until
    `close`.

    Raises:
        OutputError: the folder cannot be written, or another process is writing the video.
    """

    def __init__(self, target: Path, settings: dict[str, Any], *, step: int, fresh: bool = False) -> None:
        self.target, self._settings, self._step = target, settings, step
        self._folder = target.with_name(f"{target.name}.parts")
        document = json.dumps(settings, sort_keys=True, indent=2).encode()
        self._unfinished: _Part | None = None
        with writing(self._folder), ExitStack() as stack:
            try:
                stack.callback(os.close, locked_folder(self._folder))
            except BlockingIOError as error:
                raise OutputError(f"another process is writing {target}", "Wait, or name another file.") from error
            kept = [] if fresh or not self._has(document) else list(takewhile(_is_sound, self._finished()))
            for part in set(self._finished()).difference(kept):
                part.unlink()
            write_atomically(self._folder / _SETTINGS, document)
            self._lock = stack.pop_all()

    def _has(self, document: bytes) -> bool:
        try:
            return (self._folder / _SETTINGS).read_bytes() == document
        except OSError:
            return False

    def _finished(self) -> list[Path]:
        return sorted(self._folder.glob("*-*-*.mp4"))

    @property
    def next_index(self) -> int:
        """The index of the first source frame that is in no part; 0 if there are no parts."""
        if not (finished := self._finished()):
            return 0
        return int(finished[-1].stem.split("-")[0]) + self._step * _frames(finished[-1])

    def add(self, index: int, seconds: float, pixels: RGB) -> None:
        """Add a frame, uint8 RGB (H, W, 3), at a time in seconds; all frames have one size.

        Raises:
            OutputError: the part cannot be written.
        """
        if self._unfinished is None:
            path = self._folder / f"{index:09d}-{round(seconds * CLOCK)}.mp4"
            self._unfinished = _Part(path, height=pixels.shape[0], width=pixels.shape[1])
        try:
            self._unfinished.add(seconds, pixels)
        except OutputError:
            self._unfinished = None
            raise
        if self._unfinished.frames == PART_FRAMES:
            self.end_part()

    def end_part(self) -> None:
        """Publish the unfinished part."""
        if self._unfinished is not None:
            part, self._unfinished = self._unfinished, None
            part.end()
            with writing(part.path):
                part.path.rename(part.path.with_stem(f"{part.path.stem}-{_digest(part.path)}"))

    def finish(self) -> None:
        """Join the parts into the video and remove them; without parts no video is written.

        Raises:
            OutputError: it cannot be written; the parts stay.
        """
        self.end_part()
        if finished := self._finished():
            with whole_file(self.target) as unfinished:
                _join(unfinished, finished, settings=self._settings)
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let other processes write the video."""
        self._lock.close()


def is_finished(target: Path, settings: dict[str, Any]) -> bool:
    """Whether `target` is a video made with these `settings`, with as many frames as it then had."""
    if not target.is_file():
        return False
    library = av()
    try:
        with library.open(target) as container:
            frames = sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
            return bool(container.metadata.get("comment") == _mark(settings, frames))
    except (library.FFmpegError, IndexError):
        return False


def _mark(settings: dict[str, Any], frames: int) -> str:
    return f"semask {settings_digest(settings)} {frames}"


def _frames(part: Path) -> int:
    with av().open(part) as container:
        return int(container.streams.video[0].frames)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _is_sound(part: Path) -> bool:
    return part.stem.rpartition("-")[2] == _digest(part)


class _Part:
    """A part that is being written: H.264 in an mp4 file, which browsers play. It is at `path` once it has ended."""

    def __init__(self, path: Path, *, height: int, width: int) -> None:
        self.path, self.frames = path, 0
        self._last, self._interval = 0, 0  # in ticks
        self._odd = ((0, height % 2), (0, width % 2), (0, 0))
        with ExitStack() as stack:
            unfinished = stack.enter_context(whole_file(path))
            self._container = stack.enter_context(av().open(unfinished, "w", format="mp4"))
            self._closing = stack.pop_all()
        self._stream = self._container.add_stream("libx264", options={"crf": _QUALITY, "preset": "veryfast", "bf": "0"})
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, CLOCK)

    def add(self, seconds: float, pixels: RGB) -> None:
        # Players need even sides: repeat the last column or row.
        frame = av().VideoFrame.from_ndarray(np.pad(pixels, self._odd, mode="edge"), format="rgb24")
        frame.pts, frame.time_base = round(seconds * CLOCK), self._stream.time_base
        self._last, self._interval = frame.pts, frame.pts - self._last if self.frames else 0
        try:
            with writing(self.path):
                self._container.mux(self._stream.encode(frame))
        except OutputError:
            with suppress(OutputError), self._closing:
                raise  # nothing of the part is kept: libav would crash if it got another packet
            raise
        self.frames += 1

    def end(self) -> None:
        with self._closing:
            packets = self._stream.encode()
            if packets and self._interval:
                packets[-1].duration = self._interval  # else 1/24 s, whatever the frame rate
            self._container.mux(packets)


def _join(path: Path, parts: Sequence[Path], *, settings: dict[str, Any]) -> None:
    """Copy the packets of all parts into one file, without encoding again. It says by which `settings` it was made."""
    library = av()
    with library.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as joined:
        joined.metadata["comment"] = _mark(settings, sum(map(_frames, parts)))
        stream = None
        for part in parts:
            with library.open(part) as container:
                source = container.streams.video[0]
                stream = stream or joined.add_stream_from_template(source)
                # mp4 rounds a file's start to a millisecond; the part's name has the exact tick.
                late = None
                for packet in container.demux(source):
                    if packet.dts is None:  # an empty one ends the stream
                        continue
                    ticks = Fraction(int(part.stem.split("-")[1]), CLOCK) / packet.time_base
                    late = packet.pts - round(ticks) if late is None else late
                    packet.pts, packet.dts, packet.stream = packet.pts - late, packet.dts - late, stream
                    joined.mux(packet)
