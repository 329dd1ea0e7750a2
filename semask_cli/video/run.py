"""From the frames of a video to an overlay video, or to files of each frame."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from semask_cli.distributed.answers import Outputs
from semask_cli.distributed.run_journal import RunJournal
from semask_cli.errors import ImageError, SemaskError, UsageError
from semask_cli.inference.config import LABELS_ALONE, Keep
from semask_cli.inference.segmenter import Segmenter
from semask_cli.inference.smoothing import BLOCK, Smoothing
from semask_cli.io.images import RGB
from semask_cli.io.storage import state
from semask_cli.output import render
from semask_cli.output.kinds import Kind, file_name
from semask_cli.output.segmentation import Segmentation
from semask_cli.video.reading import FrameRange, frames, is_live
from semask_cli.video.writing import VideoParts


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameDone:
    """A segmented frame and its place in the video."""

    index: int
    seconds: float
    segmentation: Segmentation


def segment_to_video(
    segmenter: Segmenter,
    name: str,
    target: Path,
    *,
    kind: Kind = "overlay",
    opacity: float = 0.5,
    chosen: FrameRange,
    settings: dict[str, Any],
    smooth: float = 0,
    fresh: bool = False,
) -> Generator[FrameDone, None, None]:
    """Write the chosen frames as the video `target`, as overlay, color, contour or side; yields the frames done.

    Parts finished by an earlier run with the same `settings` are kept, unless `fresh`. `smooth` is the weight of
    earlier frames, see `Smoothing`.

    Raises:
        UsageError: another kind.
        ImageError, OutputError: a video cannot be read or written; finished parts stay.
    """
    draw = _drawing(kind, opacity)
    with closing(VideoParts(target, settings, step=chosen.step, fresh=fresh)) as parts:
        begin = parts.next_index
        shape = None
        try:
            for done in _segmented(segmenter, name, chosen, is_done=lambda index: index < begin, smooth=smooth):
                pixels = draw(done.segmentation)
                if pixels.shape != (shape := shape or pixels.shape):
                    raise ImageError(f"{name} changes its size at frame {done.index}", "Choose --frames before it.")
                parts.add(done.index, done.seconds, pixels)
                yield done
        except (SemaskError, KeyboardInterrupt, GeneratorExit):
            parts.end_part()  # keep the frames so far
            if is_live(name) or not parts.next_index:  # a stream ends only so; without frames nothing is left
                parts.finish()
            raise
        parts.finish()


def segment_to_files(
    segmenter: Segmenter,
    name: str,
    folder: Path,
    *,
    outputs: Outputs,
    chosen: FrameRange,
    smooth: float = 0,
    journal: RunJournal | None = None,
) -> Generator[FrameDone, None, None]:
    """Write the files of each chosen frame into `folder`, named by its index; yields the frames done.

    Frames in the `journal` are skipped. `smooth` is the weight of earlier frames, see `Smoothing`.

    Raises:
        UsageError: smoothed frames have no scores, which a kind needs.
        ImageError, OutputError: the video cannot be read, or a file cannot be written.
    """

    def files(index: int) -> dict[Kind, Path]:
        return {kind: folder / file_name(f"{index:09d}", kind) for kind in outputs.kinds}

    def is_done(index: int) -> bool:
        return journal is not None and journal.is_done(str(index), Path(name), files(index).values())

    if smooth and outputs.keep:
        raise UsageError("smoothed frames have no scores", "Leave out --smooth, or --save other kinds.")
    source = state(Path(name))
    for done in _segmented(segmenter, name, chosen, is_done=is_done, keep=outputs.keep, smooth=smooth):
        for kind, path in files(done.index).items():
            done.segmentation.save(path, kind=kind, opacity=outputs.opacity, tolerance=outputs.tolerance)
        if journal:
            journal.note(str(done.index), source, files(done.index).values())
        yield done


def _segmented(
    segmenter: Segmenter,
    name: str,
    chosen: FrameRange,
    *,
    is_done: Callable[[int], bool],
    keep: Keep = LABELS_ALONE,
    smooth: float,
) -> Iterator[FrameDone]:
    """The chosen frames that are not done, in order; the next ones are decoded while the network runs.

    With smoothing, frames before the first one that is not done are predicted again, from the start of their block.
    """
    places: deque[tuple[int, float, bool]] = deque()
    smoothing, replayed_from = None, sys.maxsize
    if smooth:
        smoothing = Smoothing(smooth)
        first = next(index for index in count(chosen.start, chosen.step) if not is_done(index))
        replayed_from = first - (first - chosen.start) % (BLOCK * chosen.step)

    def images() -> Iterator[RGB]:
        for frame in frames(name, chosen):
            done = is_done(frame.index)
            if not done or frame.index >= replayed_from:
                places.append((frame.index, frame.seconds, done))
                yield frame.image

    for result in segmenter.predict_each(images(), keep=keep, smoothing=smoothing):
        index, seconds, done = places.popleft()
        if isinstance(result, SemaskError):
            raise result
        if not done:
            yield FrameDone(index=index, seconds=seconds, segmentation=result)


def _drawing(kind: Kind, opacity: float) -> Callable[[Segmentation], RGB]:
    """The function that renders a frame of the video."""

    def image(result: Segmentation) -> RGB:
        assert result.image is not None
        return result.image

    def overlay(result: Segmentation) -> RGB:
        return render.overlay(image(result), result.labels, result.palette, opacity=opacity)

    drawings: dict[Kind, Callable[[Segmentation], RGB]] = {
        "overlay": overlay,
        "color": lambda result: render.colorize(result.labels, result.palette),
        "contour": lambda result: render.outlined(image(result), result.labels, result.palette),
        "side": lambda result: render.side_by_side(image(result), overlay(result)),
    }
    if kind not in drawings:
        raise UsageError(f"a video can show {', '.join(drawings)}, not {kind}", "Name a folder with -o instead.")
    return drawings[kind]
