"""Memory of `semask predict ortho.tif -o labels.tif`, for ever larger rasters.

    python -m benchmarks.cpu.raster --record benchmarks/records/raster.csv

Rasters are written of one rendered scene, as tiles of JPEG. A network that answers at once stands in for the real one,
whose memory does not depend on the raster: reading, windows, merging and writing are what is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

import semask_cli
from benchmarks.cpu.evaluation import peak_mebibytes
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.geo.raster import rasterio, segment_raster
from semask_cli.models.prediction import DenseLogits, Prediction
from toy_street import TEST_SEEDS, render

MODEL = "toy-street-fpn"
TILE = 512
SIDES = (2_000, 10_000, 50_000)


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--folder", type=Path, help="where the rasters go; a temporary folder unless given")
    parser.add_argument("--segment", nargs=2, type=Path, help="in a process of its own: a raster into another")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.segment:
        return segment(*arguments.segment)
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for side in arguments.sides:
            source, target = Path(name) / f"{side}.tif", Path(name) / f"{side}-labels.tif"
            write(source, side)
            command = [sys.executable, "-m", "benchmarks.cpu.raster", "--segment", source, target]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, mebibytes = done.stdout.split()
            row = {
                "raster": f"{side} x {side}",
                "gigabytes_unpacked": f"{3 * side**2 / 1e9:.2f}",
                "seconds": seconds,
                "megapixels_per_second": f"{side**2 / 1e6 / float(seconds):.1f}",
                "peak_mib": mebibytes,
            }
            print(row, flush=True)
            rows.append(row)
            source.unlink()
            target.unlink()
            write_record(arguments.record, rows)
    return None


def write(path: Path, side: int) -> None:
    """A georeferenced raster of `side` x `side` pixels, the scene again and again."""
    scene = cv2.resize(render(TEST_SEEDS[0]).image, (TILE, TILE), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": side, "width": side, "crs": "EPSG:32631"}
    profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "jpeg", "photometric": "ycbcr"}
    library = rasterio()
    profile["transform"] = library.transform.from_origin(500_000, 5_000_000, 0.1, 0.1)
    with library.open(path, "w", BIGTIFF="IF_SAFER", **profile) as raster:
        for y in range(0, side, TILE):
            band = np.tile(scene, (1, 1, -(-side // TILE)))[:, : min(TILE, side - y), :side]
            raster.write(band, window=((y, y + band.shape[1]), (0, side)))


def segment(source: Path, target: Path) -> None:
    """Segment with a network that answers at once, and print the seconds and the peak in MiB."""
    segmenter = semask_cli.load(MODEL, device="cpu", mode="slide", scales="native")
    regions = torch.randint(0, 19, (8, 16), generator=torch.Generator().manual_seed(0))
    regions = regions.repeat_interleave(8, 0).repeat_interleave(8, 1)
    answer = torch.full((19, 64, 128), -10.0).scatter_(0, regions[None], 10.0)  # as sure as a trained network's

    def predict(pixels: Tensor) -> list[Prediction]:
        height, width = pixels.shape[2:]
        return [DenseLogits(answer[:, : -(-height // 4), : -(-width // 4)], (height, width)) for _ in pixels]

    segmenter.network.predict = predict  # type: ignore[assignment]
    began = time.perf_counter()
    for _ in segment_raster(segmenter, source, target):
        pass
    print(f"{time.perf_counter() - began:.1f} {peak_mebibytes():.0f}")


if __name__ == "__main__":
    main()
