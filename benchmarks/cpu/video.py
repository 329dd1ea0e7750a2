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

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.video.reading import FrameRange, av
from semask_cli.video.run import segment_to_video
from toy_street import render

FRAMES, RATE = 300, 25
SCENE_FRAMES = 60  # of each rendered scene, which moves by two pixels a frame


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--model", default="toy-street-fpn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    segmenter = semask_cli.load(arguments.model, device="cpu", precision="fp32")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "drive.mp4", Path(folder) / "out.mp4"
        _write_drive(source)
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


def _write_drive(path: Path) -> None:
    scenes = [render(seed).image for seed in range(FRAMES // SCENE_FRAMES)]
    library = av()
    with library.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE), options={"crf": "18"})
        stream.height, stream.width = scenes[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number in range(FRAMES):
            moved = np.roll(scenes[number // SCENE_FRAMES], -2 * (number % SCENE_FRAMES), axis=1)
            container.mux(stream.encode(library.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
