"""An HTML page of all images of a run: thumbnails, a slider from each image to its overlay, search, filter, sorting.

The page lists a folder of previews, each of which holds its own entry as a JPEG comment. So any process of a run can
rewrite it at any time, and it shows the results of all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from semask_cli.io.files import write_atomically
from semask_cli.io.folders import search
from semask_cli.output.kinds import file_name
from semask_cli.output.paths import Task

PAGE = "index.html"
_PREVIEWS = "previews"


def with_previews(tasks: Iterable[Task], folder: Path) -> Iterator[Task]:
    """Add a preview in the gallery's folder to each task."""
    for task in tasks:
        stem = folder / _PREVIEWS / task.entry.stem
        preview = stem.with_name(file_name(stem.name, "preview"))
        yield replace(task, files={**task.files, "preview": preview})


def write_gallery(folder: Path) -> Path:
    """Write the page of the existing previews, and return its path.

    Raises:
        OutputError: it cannot be written.
    """
    listed = [image for path in search(folder / _PREVIEWS).files if (image := _described(path, folder))]
    # No text may close the script element.
    data = json.dumps(listed, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    template = Path(__file__).with_name("gallery.html").read_text(encoding="utf-8")
    page = folder / PAGE
    write_atomically(page, template.replace("{{ data }}", data).encode("utf-8", "backslashreplace"))
    return page


def _described(path: Path, folder: Path) -> dict[str, Any] | None:
    """The entry of a preview, with its address relative to the page; None if it is not a preview."""
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            about = json.loads(image.info["comment"])
    except (OSError, KeyError, ValueError):
        return None
    inside = path.parent.relative_to(folder / _PREVIEWS)  # names repeat in other folders
    address = quote(path.relative_to(folder).as_posix(), errors="surrogateescape")
    return about | {"name": (inside / about["name"]).as_posix(), "src": address}
