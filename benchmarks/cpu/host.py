"""What the host can do: `semask predict` on a folder with a network that answers at once, beside another revision.

    git worktree add ../before d970d86
    python -m benchmarks.cpu.host --beside ../before --record benchmarks/records/host.csv

JPEGs of 1500 x 1000 (rendered streets) are read, decoded and resized, their masks encoded and written; the network's
answer is one that was computed before. With merging on the CPU the class maps are resized to labels as always. With
merging on a GPU the labels too are there at once, as from a GPU that is infinitely fast: the host's part is left.
Both revisions run in turns, each run in a process of its own; the best of the turns counts.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL = "swin-t-fpn"
SCENES, WIDTH, HEIGHT = 8, 1500, 1000
TURNS = 3
MERGING = ("cpu", "gpu")


def main() -> None:
    from benchmarks.cpu.record import record_parser, write_record

    parser = record_parser(__doc__)
    parser.add_argument("--beside", type=Path, help="a checkout of the revision to compare with")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--merging", nargs="+", choices=MERGING, default=MERGING)
    arguments = parser.parse_args()
    here = Path(__file__).resolve().parents[2]
    revisions = {"here": here} | ({"beside": arguments.beside.resolve()} if arguments.beside else {})
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_scenes(folder / "in", arguments.images)
        for merging in arguments.merging:
            best = dict.fromkeys(revisions, 0.0)
            for turn in range(TURNS):
                for revision, root in revisions.items():
                    seconds = _timed(root, folder, folder / f"{merging}-{revision}-{turn}", merging)
                    best[revision] = max(best[revision], arguments.images / seconds)
            row: dict[str, Any] = {
                "merging": merging,
                "images": arguments.images,
                "size": f"{WIDTH} x {HEIGHT}",
                "cores": len(os.sched_getaffinity(0)),
                "per_second": f"{best['here']:.1f}",
            }
            if "beside" in best:
                row |= {"beside_per_second": f"{best['beside']:.1f}", "ratio": f"{best['here'] / best['beside']:.2f}"}
            print(row, flush=True)
            rows.append(row)
    write_record(arguments.record, rows)


def _write_scenes(folder: Path, count: int) -> None:
    import cv2

    from toy_street import TEST_SEEDS, render

    folder.mkdir()
    for number, seed in enumerate(TEST_SEEDS[:SCENES]):
        scene = cv2.resize(render(seed).image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        encoded = cv2.imencode(".jpg", scene[..., ::-1])[1].tobytes()
        for copy in range(number, count, SCENES):
            (folder / f"{copy:05d}.jpg").write_bytes(encoded)


def _timed(root: Path, folder: Path, output: Path, merging: str) -> float:
    """Seconds from a loaded model to the end of `semask predict`, as the revision in `root` does it."""
    from benchmarks.cpu.turns import run_in

    return float(run_in(root, __file__, "run", folder / "in", output, merging))


def _run(images: str, output: str, merging: str) -> None:
    """In the process that is measured: knows only what both revisions have."""
    import torch

    import semask_cli
    from semask_cli.cli import app
    from semask_cli.cli.model_options import ModelOptions
    from semask_cli.inference import segmenter as segmenter_module
    from semask_cli.inference.merge import Merge
    from semask_cli.models.prediction import DenseLogits

    segmenter = semask_cli.load(MODEL, device="cpu", random_weights=True)
    generator = torch.Generator().manual_seed(0)
    # As a trained network's: regions of a class each, which is sure but at their borders, and noise in all others.
    regions = torch.nn.functional.one_hot(torch.randint(0, 150, (6, 8), generator=generator), 150).permute(2, 0, 1)
    noise = torch.randn(1, 150, 16, 24, generator=generator)
    logits = torch.nn.functional.interpolate(10.0 * regions[None], (128, 192), mode="bilinear")[0]
    logits += torch.nn.functional.interpolate(noise, (128, 192), mode="bicubic")[0]
    at_image = torch.nn.functional.interpolate(logits[None], (HEIGHT, WIDTH), mode="bilinear")
    labels = at_image[0].argmax(0).to(torch.uint8)

    def answer(images: list[Any]) -> list[Any]:
        return [DenseLogits(logits, image.shape[:2]) for image in images]

    batches = getattr(segmenter, "_batches", segmenter)
    for name in ("predict",) if batches is not segmenter else ("_predict_batch", "_look"):  # of older revisions
        setattr(batches, name, answer)
    if merging == "gpu":
        batches.size = segmenter._batch_size = 8
        if hasattr(segmenter_module, "pool_threads"):  # all cores are the host's
            threads = segmenter_module.pool_threads(network_on_cpu=False)
            segmenter_module.pool_threads = lambda **options: threads
        Merge.labels = lambda self: labels  # type: ignore[method-assign]
    began = 0.0

    def load(self: ModelOptions, **options: Any) -> Any:
        nonlocal began
        began = time.perf_counter()
        return segmenter

    ModelOptions.load = load  # type: ignore[method-assign]
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
    app(["predict", images, "-o", output], standalone_mode=False)
    print(json.dumps(time.perf_counter() - began), file=stdout)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(*sys.argv[2:])
    else:
        main()
