"""A video of the toy street, segmented into an overlay video, beside the network alone; and the memory that it takes.

    python -m benchmarks.cpu.video --record benchmarks/records/video.csv

The network alone is what a pass took within the same run, so that reading, merging, drawing and encoding are the rest.
"""

from __future__ import annotations

import resource
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.video.reading import FrameRange, av
from semask_cli.video.run import segment_to_video
from toy_street import render

FRAMES, RATE = 300, 25
SCENE_FRAMES, SPEED = 60, 2  # of each rendered scene, and by how many pixels it moves from each to the next


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--model", default="toy-street-fpn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = semask_cli.load(arguments.model, device="cpu", precision="fp32")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "drive.mp4", Path(folder) / "out.mp4"
        write_drive(source)
        network, peaks = 0.0, {}
        began = time.perf_counter()
        run = segment_to_video(segmenter, str(source), target, chosen=FrameRange(), settings={})
        for number, done in enumerate(run, start=1):
            network += done.segmentation.info.milliseconds["network"] / 1000
            peaks[number] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds = time.perf_counter() - began
    row = {
        "model": arguments.model,
        "frames": FRAMES,
        "threads": arguments.threads,
        "frames_per_second": f"{FRAMES / seconds:.2f}",
        "network_alone": f"{FRAMES / network:.2f}",
        "ratio": f"{network / seconds:.3f}",
        "peak_mib_at_50": f"{peaks[50]:.0f}",
        "peak_mib_at_300": f"{peaks[FRAMES]:.0f}",
    }
    print(row)
    write_record(arguments.record, [row])


def write_drive(path: Path, *, speed: int = SPEED, noise: float = 0) -> None:
    """Scenes that move by `speed` pixels a frame, with a sensor's `noise` (a standard deviation, of 255)."""
    generator = np.random.default_rng(0)
    scenes = [render(seed).image for seed in range(FRAMES // SCENE_FRAMES)]
    library = av()
    with library.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "18"})
        stream.height, stream.width = scenes[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            pixels = moved(scenes, number, speed=speed)
            pixels = (pixels + generator.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)
            frame = library.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def moved(scenes: list[NDArray[np.uint8]], number: int, *, speed: int) -> NDArray[np.uint8]:
    """What frame `number` shows of the scenes' images, or labels."""
    return np.roll(scenes[number // SCENE_FRAMES], -speed * (number % SCENE_FRAMES), axis=1)


if __name__ == "__main__":
    main()
