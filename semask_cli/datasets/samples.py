"""The samples of a split on disk: images with their label files, found in one layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semask_cli.datasets.spec import Layout
from semask_cli.errors import DatasetError
from semask_cli.io.folders import search
from semask_cli.io.regular import read_regular

_READABLE = "Make the whole dataset readable, or correct the path."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An image with its label file; `label` is None if there is none.

    `id` is its path below the split's folder without the suffix: "frankfurt/frankfurt_000000_000294".
    `instances` is its instance id file, if every image has one.
    """

    id: str
    image: Path
    label: Path | None = None
    instances: Path | None = None

    @property
    def name(self) -> str:
        """The last part of the id, which no other image of a published dataset has."""
        return self.id.rpartition("/")[2]


def find_samples(root: Path, layout: Layout, split: str) -> tuple[list[Sample], list[Path]]:
    """Samples of `split` below `root`, and labels without an image; none if the folders do not have this layout.

    Raises:
        DatasetError: a folder, or the list of the split's images, cannot be read.
    """
    images = files_below(root / layout.path(layout.images, split), layout.image_suffix)
    label_folder = root / layout.path(layout.labels, split)
    labels = files_below(label_folder, layout.label_suffix)
    instances = files_below(label_folder, layout.instance_suffix) if layout.instance_suffix else {}
    if layout.listed:
        ids = _listed_ids(root / layout.path(layout.listed, split))
        images, labels = ({i: f for i, f in files.items() if i in ids} for files in (images, labels))
    if not images.keys() <= instances.keys():
        instances = {}  # scores of instances from only some images would be wrong
    samples = [Sample(id=i, image=f, label=labels.get(i), instances=instances.get(i)) for i, f in images.items()]
    return samples, [file for key, file in labels.items() if key not in images]


def files_below(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The files below `folder` that end in `suffix`, in any case, by their relative path without it, sorted.

    Raises:
        DatasetError: a folder cannot be read; its files would be silently left out. Or two files differ in the case of
            their suffix alone.
    """
    found = search(folder)
    if found.unreadable:
        path, reason = next(iter(found.unreadable.items()))
        others = f" (and {len(found.unreadable) - 1} more folders)" if len(found.unreadable) > 1 else ""
        raise DatasetError(f"cannot read the folder {path}: {reason}{others}", _READABLE)
    files: dict[str, Path] = {}
    for file in found.files:
        if file.name[0] != "." and file.name.lower().endswith(suffix.lower()):
            name = file.relative_to(folder).as_posix()
            other = files.setdefault(name[: len(name) - len(suffix)], file)
            if other != file:
                raise DatasetError(f"{other} and {file} have one name", "Rename or remove one of them.")
    return dict(sorted(files.items()))


def _listed_ids(file: Path) -> frozenset[str]:
    try:
        return frozenset(read_regular(file).decode("utf-8-sig").split())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise DatasetError(f"cannot read the list {file}: {error.strerror}", _READABLE) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the list {file} is not UTF-8 text", "Copy it again from the download.") from error
