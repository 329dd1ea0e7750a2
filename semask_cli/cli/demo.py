"""`semask demo`: the bundled model on ten rendered street scenes, by the commands that a user would type."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from semask_cli.cli.eval import evaluate
from semask_cli.cli.images import predict_images
from semask_cli.cli.model_options import ModelOptions
from semask_cli.cli.predict_options import ImageRunOptions, OutputOptions
from semask_cli.io.files import write_atomically
from semask_cli.io.resources import project_file

MODEL = "toy-street-fpn"
# A network this small gains nothing from a second core, and would wait for it if another program keeps it busy.
THREADS = 1


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the scenes, masks and report.")] = Path(
        "demo"
    ),
) -> None:
    """Try semask without a download: segment rendered street scenes and measure mIoU."""
    scenes, masks, report = folder / "scenes", folder / "masks", folder / "report"
    images, labels, class_file = scenes / "images", scenes / "labels", scenes / "toy-street.txt"
    _copy_scenes(scenes)
    _say(f"ten street scenes that {MODEL} was not trained on: {scenes}")

    _say(f"\n$ semask predict {images} -m {MODEL} -o {masks} --save mask,legend --threads {THREADS}")
    predict_images(
        [str(images)],
        options=ModelOptions(model=MODEL, threads=THREADS),
        outputs=OutputOptions(save=["mask", "legend"]).outputs(),
        output=str(masks),
        run=ImageRunOptions(),
    )

    folders = f"--images {images} --labels {labels} --classes {class_file}"
    _say(f"\n$ semask eval {folders} -m {MODEL} --report {report} --threads {THREADS}")
    evaluate(
        context,
        images=images,
        labels=labels,
        class_file=class_file,
        model=MODEL,
        threads=THREADS,
        report=report,
        journal=folder / "journal",
        fresh=True,
    )
    first = min(masks.glob("*.legend.jpg"))
    _say(f"\nLook at {first} and open {report}/report.html in a browser.")


def _copy_scenes(folder: Path) -> None:
    """Copy the packaged scenes, so that the user can repeat and change the commands shown.

    Raises:
        OutputError: a file cannot be written.
    """
    packaged = project_file("demo")
    for pattern in ("images/*.jpg", "labels/*.png", "toy-street.txt"):
        for file in packaged.glob(pattern):
            write_atomically(folder / file.relative_to(packaged), file.read_bytes())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
