"""`semask predict` for a video: another video, or files of each frame."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.reporting import counting
from semask_cli.errors import UsageError, printable

if TYPE_CHECKING:
    from semask_cli.distributed.answers import Outputs
    from semask_cli.video.run import FrameDone

TARGET = ".mp4"


def predict_video(
    inputs: list[str],
    *,
    options: ModelOptions,
    outputs: Outputs,
    output: Path,
    frames: str | None,
    smooth: float,
    fresh: bool,
) -> None:
    """Segment one video; `output` ends in .mp4 or is a folder.

    Raises:
        SemaskError: an option is invalid; otherwise as `video.run`.
    """
    from semask_cli.distributed.run_journal import RunJournal
    from semask_cli.distributed.shards import Shard
    from semask_cli.io.overwriting import refuse_replacing
    from semask_cli.video.reading import FrameRange, av, is_live, is_video, state
    from semask_cli.video.run import segment_to_files, segment_to_video
    from semask_cli.video.writing import is_finished

    if len(inputs) > 1:
        raise UsageError("a run takes one video", "Name only the video, with its own -o.")
    [name] = inputs
    into_video = output.suffix.lower() == TARGET
    if not into_video and is_video(str(output)):
        raise UsageError(f"{output}: videos are written as {TARGET}")
    if into_video and len(outputs.kinds) > 1:
        raise UsageError("a video shows one kind of output", "Name one with --save, or a folder with -o.")
    chosen = FrameRange() if frames is None else FrameRange.parse(frames)
    av()  # a missing package is reported before the model is loaded
    refuse_replacing([output] if into_video else [], [Path(name)])
    source = state(name)
    segmenter = options.load()
    settings = {**segmenter.settings, **outputs.settings, "video": name, "smooth": smooth}
    if into_video:
        settings |= {"source": source, "frames": [chosen.start, chosen.stop, chosen.step]}
        if not (fresh or is_live(name)) and is_finished(output, settings):
            print(f"{printable(str(output))} was done before; --fresh redoes it", file=sys.stderr)
            return
        run = segment_to_video(
            segmenter,
            name,
            output,
            kind=outputs.kinds[0],
            opacity=outputs.opacity,
            chosen=chosen,
            settings=settings,
            smooth=smooth,
            fresh=fresh,
        )
    else:
        run = segment_to_files(
            segmenter,
            name,
            output,
            outputs=outputs,
            chosen=chosen,
            smooth=smooth,
            journal=None if is_live(name) else RunJournal(output, settings, shard=Shard(), fresh=fresh),
        )
    _segment(run)
    print(f"{printable(name)} -> {printable(str(output))}")


def _segment(run: Generator[FrameDone, None, None]) -> None:
    """Segment all frames; shows their time in the video as progress, and in the end their number and rate."""
    began, count = time.monotonic(), 0
    try:
        with counting() as show, closing(run) as frames:
            for count, done in enumerate(frames, start=1):
                minutes, seconds = divmod(int(done.seconds), 60)
                show(count, f"{minutes}:{seconds:02d}")
    finally:  # also after an error or Ctrl-C
        if count:
            rate = count / (time.monotonic() - began)
            print(f"{count} {'frame' if count == 1 else 'frames'}, {rate:.2f} per second", file=sys.stderr)
