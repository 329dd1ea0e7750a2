"""`semask demo`: the bundled model on rendered streets, through the very commands that anybody would use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from semask_cli.cli.eval import evaluate
from semask_cli.cli.predict import predict

MODEL = "toy-street-fpn"
EVALUATED = 60  # scenes that the model has not seen
FIRST_TEN = "20000?.png"  # of them
# So small a network gains nothing from a second core, and where another program keeps that busy, waits for it.
THREADS = 1


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where scenes, masks and the report go.")] = Path(
        "demo"
    ),
) -> None:
    """Try semask without a download: segment rendered street scenes, and measure how well."""
    from toy_street import TEST_SEEDS, write_folders

    seeds = TEST_SEEDS[:EVALUATED]
    scenes, masks, report = folder / "scenes", folder / "masks", folder / "report"
    _say(f"rendering {EVALUATED} street scenes into {scenes}")
    write_folders(scenes, seeds)

    images = f"{scenes}/images/{FIRST_TEN}"
    _say(f"\n$ semask predict '{images}' -m {MODEL} -o {masks} --save mask,legend --threads {THREADS}")
    predict([images], output=masks, save="mask,legend", model=MODEL, threads=THREADS)

    options = {"images": scenes / "images", "labels": scenes / "labels", "classes": scenes / "toy-street.txt"}
    shown = " ".join(f"--{name} {path}" for name, path in options.items())
    _say(f"\n$ semask eval {shown} -m {MODEL} --report {report} --threads {THREADS}")
    evaluate(
        images=options["images"],
        labels=options["labels"],
        class_file=options["classes"],
        model=MODEL,
        threads=THREADS,
        report=report,
        journal=folder / "journal",
        fresh=True,
    )
    _say(f"\nLook at {masks}/{seeds[0]}.legend.jpg and open {report}/report.html in a browser.")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
