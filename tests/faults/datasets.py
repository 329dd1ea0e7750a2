"""Damaged labels, masks, instance ids and lists: refused, or the figures of the whole ones; and `check` sees it first.

A set of images is evaluated from masks. Where nothing is checked by a format itself (a .mat that is not compressed, an
image), damage may change figures, but it never ends in a traceback.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from semask_cli.datasets import Dataset, find_dataset, folder_dataset, read_classes
from semask_cli.datasets.check import check
from semask_cli.errors import SemaskError
from semask_cli.evaluation.evaluate import evaluate
from semask_cli.evaluation.results import Evaluation
from tests.faults.case import Fault, mutate
from tests.support import miniature

_IMAGES = 2


@cache
def planted(name: str) -> Path:
    """A whole dataset folder and its masks; cases copy it."""
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("FAULTS_FOLDER")))
    layout = {"cityscapes": "labelIds", "coco-stuff10k": "original", "own": ""}[name]
    if name != "own":
        miniature.plant(folder, name, layout, _IMAGES)
        return folder
    (folder / "classes.txt").write_text("road\nsky,1,2,3\ncar\n")
    draw = np.random.default_rng(0)
    for number in range(_IMAGES):
        miniature.save(folder / f"images/{number}.png", draw.integers(0, 256, (24, 32, 3)).astype(np.uint8))
        for kind in ("labels", "masks-own"):
            miniature.save(folder / f"{kind}/{number}.png", draw.integers(0, 3, (24, 32)).astype(np.uint8))
    return folder


def _dataset(name: str, folder: Path) -> Dataset:
    if name != "own":
        return find_dataset(name, root=folder / name)
    return folder_dataset(folder / "images", folder / "labels", read_classes(folder / "classes.txt"))


@cache
def figures(name: str) -> Evaluation:
    return _evaluated(name, planted(name), Path(tempfile.mkdtemp(dir=os.environ.get("FAULTS_FOLDER"))))


def _evaluated(name: str, folder: Path, journal: Path) -> Evaluation:
    return evaluate(_dataset(name, folder), folder / f"masks-{name}", journal=journal, fresh=True)


def dataset_case(draw: random.Random, folder: Path) -> str:
    name = draw.choice(("cityscapes", "coco-stuff10k", "own"))
    whole = figures(name)
    root = folder / "set"
    shutil.copytree(planted(name), root)
    file = draw.choice(sorted(path for path in root.rglob("*") if path.is_file()))
    damage = draw.choice((_mutated, _mutated, _mutated, *_REPLACEMENTS))
    checked = damage(draw, file)
    ready = refused = found = None
    try:
        ready = not check(_dataset(name, root)).fatal()
        found = _evaluated(name, root, folder / "journal")
    except SemaskError as error:
        if str(root) not in error.message + error.suggestion and "is not ready" not in error.message:
            raise Fault(f"a refusal that names no file: {error.message}") from None
        refused = error
    is_mask = f"masks-{name}" in file.parts
    if ready and refused and not is_mask:
        raise Fault(f"check was ready, evaluate refused: {refused.message}")
    if refused:
        return "refused"
    assert found is not None
    counted = [[(r.id, r.labels, r.predicted, r.totals) for r in run.image_results] for run in (found, whole)]
    if counted[0] == counted[1] and found.miou == whole.miou:
        return "equal"
    if found.images < whole.images and found.partial:
        return "said to be partial"
    if checked and file.suffix in (".png", ".mat"):
        raise Fault(f"damage to {file.relative_to(root)} changed the figures")
    return "changed where nothing is checked"


def _mutated(draw: random.Random, file: Path) -> bool:
    """Whether the damaged file has checksums."""
    data = file.read_bytes()
    packed = file.suffix == ".mat" and draw.random() < 0.7
    if packed:
        savemat(buffer := io.BytesIO(), {"S": _labels(file)}, do_compression=True)
        data = buffer.getvalue()
    data, kind = mutate(draw, data)
    file.write_bytes(data)
    return file.suffix == ".png" or packed or (kind == "truncate" and file.suffix == ".mat")


def _labels(file: Path) -> np.ndarray:
    from scipy.io import loadmat

    return np.asarray(loadmat(file)["S"])


_KINDS = (
    ("PNG", "RGB"),
    ("PNG", "LA"),
    ("PNG", "1"),
    ("PNG", "I;16"),
    ("TIFF", "F"),
    ("TIFF", "I"),
    ("JPEG", "L"),
    ("GIF", "P"),
    ("EPS", "L"),
    ("PPM", "L"),
    ("TGA", "L"),
    ("ICO", "L"),
)


def _other_kind(draw: random.Random, file: Path) -> bool:
    buffer = io.BytesIO()
    image = Image.fromarray(
        np.full((draw.choice((24, 48, 1)), draw.choice((32, 64, 1))), draw.randrange(256), np.uint8)
    )
    kind, mode = draw.choice(_KINDS)
    (image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)).save(buffer, kind)
    file.write_bytes(buffer.getvalue())
    return False


def _other_array(draw: random.Random, file: Path) -> bool:
    shape = draw.choice(((48, 64), (0, 0), (1, 1), (3, 4, 5)))
    value: object = draw.choice(
        (
            np.zeros(shape),
            np.full(shape, np.nan),
            np.ones(shape, complex),
            np.full(shape, "a"),
            np.full(shape, 300, np.int32),
            np.full(shape, -1, np.int8),
            np.full(shape, "cell", object),
            {"S": np.zeros(shape)},
            "words",
            np.zeros(shape, bool),
        )
    )
    savemat(buffer := io.BytesIO(), {draw.choice(("S", "S", "T")): value}, do_compression=draw.random() < 0.5)
    file.write_bytes(buffer.getvalue())
    return False


def _extreme_values(draw: random.Random, file: Path) -> bool:
    """A grey image of the right size with values at the limits."""
    try:
        with Image.open(file) as image:
            width, height = image.size
    except OSError:
        width, height = 64, 48
    values = np.full((height, width), draw.choice((0, 1, 254, 255, 256, 999, 1000, 33999, 60001, 65535)), np.uint16)
    Image.fromarray(values).save(buffer := io.BytesIO(), draw.choice(("PNG", "TIFF")))
    file.write_bytes(buffer.getvalue())
    return False


def _special(draw: random.Random, file: Path) -> bool:
    file.unlink()
    draw.choice(
        (
            lambda: os.mkfifo(file),
            lambda: file.mkdir(),
            lambda: file.symlink_to(file),
            lambda: file.symlink_to(file.with_name("nothing")),
            lambda: file.symlink_to("/dev/zero"),
            lambda: file.write_bytes(b""),
            lambda: file.write_bytes(draw.randbytes(500)),
            lambda: None,
        )
    )()
    return False


_REPLACEMENTS: tuple[Callable[[random.Random, Path], bool], ...] = (
    _other_kind,
    _other_array,
    _extreme_values,
    _special,
)
