"""The script beside an exported file, which runs it without semask."""

from __future__ import annotations

from semask_cli.export.formats import Engine

_SCRIPT = '''"""Segment an image with {file}: python {file}.py photo.jpg mask.png

Needs {packages}, numpy and pillow, and {file}.json in the same folder. The image is resized to the size that the
network was exported for. The published test sizes keep the aspect ratio: to measure mIoU, use semask.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
PATH = HERE / "{file}"
{load}

if len(sys.argv) != 3:
    sys.exit(__doc__)
about = json.loads((HERE / "{file}.json").read_text(encoding="utf-8"))
photo = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")
resized = photo.resize((about["width"], about["height"]), Image.Resampling.BILINEAR)
pixels = np.asarray(resized, np.float32).transpose(2, 0, 1)[None]  # RGB, 0 to 255: (1, 3, height, width)
labels = run(np.ascontiguousarray(pixels))[0].argmax(0)  # (classes, height, width) -> class indices (height, width)
mask = Image.fromarray(labels.astype(np.uint8)).resize(photo.size, Image.Resampling.NEAREST)
mask.putpalette(np.array(about["palette"], np.uint8).tobytes())
mask.save(sys.argv[2])
for index in np.unique(labels):
    print(f"{{(labels == index).mean():7.2%}}  {{about['classes'][index]}}")
'''


def script(engine: Engine, *, file: str) -> str:
    """Python that runs a file of that name on an image, and writes a palette PNG."""
    return _SCRIPT.format(file=file, packages=engine.packages, load=engine.load)
