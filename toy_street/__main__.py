"""`python -m toy_street DIR --scenes N`: the first N test scenes as a folder of images and a folder of labels.

The ten scenes of `semask demo` are made by `python -m toy_street semask_cli/demo --scenes 10 --format jpeg`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from toy_street import TEST_SEEDS, write_folders
from toy_street.dataset import ImageFormat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m toy_street", description="Render test scenes with their labels.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="gets images/, labels/ and toy-street.txt")
    parser.add_argument("--scenes", type=int, default=60, metavar="N", help="how many, from the first on (default: 60)")
    parser.add_argument("--format", choices=get_args(ImageFormat), default="png", help="of the images (default: png)")
    arguments = parser.parse_args()
    write_folders(arguments.folder, TEST_SEEDS[: arguments.scenes], image_format=arguments.format)


if __name__ == "__main__":
    main()
