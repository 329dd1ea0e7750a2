"""The zoo: weights.toml and the user's own models, as frozen dataclasses.

Nothing here imports torch: listing and finding models is instant. A model is a row (a TOML table) of a zoo file.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from semask_cli.datasets.spec import Definition, dataset_name
from semask_cli.errors import UnknownModelError, UsageError, ZooError
from semask_cli.io.read_only import read_only
from semask_cli.io.regular import read_regular
from semask_cli.io.resources import project_file
from semask_cli.zoo_values import check_backbone, check_choice, check_figures, check_form, check_row

Decoder = Literal["semantic-fpn", "maskformer", "mask2former"]
PixelDecoder = Literal["none", "fpn", "fapn", "msdeform", "msfapn"]
Preprocessing = Literal["mmseg", "detectron2"]

_PIXEL_DECODERS: Mapping[Decoder, tuple[PixelDecoder, ...]] = {
    "semantic-fpn": ("none",),
    "maskformer": ("fpn",),
    "mask2former": ("msdeform", "fapn", "msfapn"),
}

# Names of models and labels of files become file names in the cache.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
_DRIVE_ID = re.compile(r"[A-Za-z0-9_-]*")
_SHA256 = re.compile(r"([0-9A-Fa-f]{64})?")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")
_NAME_WORDS = "up to 80 letters, digits and ._-, not beginning with a dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A Swin backbone with a semantic layer after each of its four stages.

    `window` and `semantic_window` are in tokens; in `global_stages` the semantic attention spans all tokens.
    """

    embed_dim: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    semantic_classes: int
    semantic_window: int
    global_stages: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpec:
    """A published file of a model, with the mIoU (in percent) published for it.

    It is on Google Drive (`drive_id`), at `urls`, which are tried first, or at `path`, relative to the zoo file (in
    weights.toml, to this package). `sha256` is empty while unknown; `urls` require it.
    """

    label: str
    drive_id: str = ""
    urls: tuple[str, ...] = ()
    path: Path | None = None
    sha256: str = ""
    miou: float | None = None
    miou_ms_flip: float | None = None

    @property
    def page(self) -> str:
        """The URL to download the file with a browser; empty for a local file."""
        if self.drive_id:
            return f"https://drive.google.com/file/d/{self.drive_id}/view"
        return next((url for url in self.urls if url.startswith("https://")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of the zoo. Sizes are in pixels, pairs (height, width), mIoU in percent, `params_m` in millions.

    `decoder` to `size_divisor` come from the family, unless the row has its own. `preprocessing` is the code base whose
    test pipeline resizes images, `definition` that of the published mIoU; sides of an input are padded to multiples of
    `size_divisor`. `head` has the numbers that differ from the published head of the family (see `zoo_values`).
    `checkpoint` is the selected file.
    """

    name: str
    family: str
    decoder: Decoder
    pixel_decoder: PixelDecoder
    preprocessing: Preprocessing
    definition: Definition
    size_divisor: int
    dataset: str
    backbone: BackboneSpec
    num_classes: int
    short_side: int
    long_side: int
    ms_scales: tuple[float, ...]
    crop: tuple[int, int]
    stride: tuple[int, int]
    licence: str
    source: str
    ms_long_side: int = 0
    miou: float | None = None
    miou_ms_flip: float | None = None
    params_m: float | None = None
    checkpoints: tuple[CheckpointSpec, ...] = ()
    checkpoint: CheckpointSpec | None = None
    head: Mapping[str, int] = field(default_factory=lambda: read_only({}))

    @property
    def published_miou(self) -> float | None:
        """Single-scale mIoU published for the selected file, else for the row."""
        return self.checkpoint.miou if self.checkpoint and self.checkpoint.miou is not None else self.miou

    @property
    def published_miou_ms_flip(self) -> float | None:
        """Multi-scale and flip mIoU published for the selected file, else for the row."""
        chosen = self.checkpoint
        return chosen.miou_ms_flip if chosen and chosen.miou_ms_flip is not None else self.miou_ms_flip


@dataclass(frozen=True, slots=True)
class Zoo:
    """All models by name, and the name of each dataset's default model."""

    models: Mapping[str, ModelSpec]
    defaults: Mapping[str, str]

    def find(self, name: str | None = None, *, dataset: str | None = None) -> ModelSpec:
        """The model called `name`, or the default model of `dataset` (of ADE20K with neither).

        A bare name and a dataset are combined: ("swin-t-fpn", "cityscapes") is swin-t-fpn-cityscapes. "NAME@LABEL"
        selects one of several files of a model.

        Raises:
            UnknownModelError: no such model or label; the message suggests similar ones.
            UsageError: the model is for another dataset, or the dataset is unknown.
        """
        if dataset is not None:
            dataset = dataset_name(dataset)
        bare, _, label = (self._default(dataset or "ade20k") if name is None else name).partition("@")
        spec = self.models.get(f"{bare}-{dataset}") if dataset else None
        spec = spec or self.models.get(bare)
        if spec is None:
            raise UnknownModelError(f"there is no model {bare!r}", _did_you_mean(bare, self.models))
        if dataset is not None and spec.dataset != dataset:
            raise UsageError(f"{bare} is a model for {spec.dataset}, not {dataset}", self._models_of(dataset))
        return _select(spec, label) if label else spec

    def _default(self, dataset: str) -> str:
        if dataset not in self.defaults:
            raise UnknownModelError(f"{dataset} has no default model: name one", self._models_of(dataset))
        return self.defaults[dataset]

    def _models_of(self, dataset: str) -> str:
        names = sorted(name for name, spec in self.models.items() if spec.dataset == dataset)
        return f"Models for {dataset}: {', '.join(names) or 'none; add your own with --zoo'}"


def load_zoo(extra: Path | None = None) -> Zoo:
    """The published models and the user's own: in `extra`, else $SEMASK_ZOO, else zoo.toml in the config folder.

    Raises:
        ZooError: a file is missing or not TOML, or a row lacks a key, or has an unknown key or invalid value.
    """
    published = _read(project_file("weights.toml"))
    own = extra or _configured_zoo()
    if own is None:
        return published
    added = _read(own)
    return Zoo({**published.models, **added.models}, {**published.defaults, **added.defaults})


def user_zoo_path() -> Path:
    """The default zoo file of the user, in the configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("semask") / "zoo.toml"


def _configured_zoo() -> Path | None:
    if named := os.environ.get("SEMASK_ZOO"):
        return Path(named)
    return path if (path := user_zoo_path()).exists() else None


@cache
def _read(path: Path) -> Zoo:
    document = _toml(path)
    published = project_file("weights.toml")
    folder = Path(__file__).parent if path == published else path.parent
    # The user's rows may refer to the published backbones and families.
    backbones, families = (_toml(published)[key] | _table(document, key, path) for key in ("backbones", "families"))
    shared = {key: document.get(key, "unknown") for key in ("licence", "source")}
    models = {}
    for name, table in _table(document, "models", path).items():
        try:
            models[name] = _model(name, {**shared, **table}, backbones, families, folder=folder)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ZooError(f"row {name!r} of {path}: {reason}", "weights.toml explains every key.") from error
    defaults = _table(document, "defaults", path)
    if wrong := [name for name in defaults.values() if not isinstance(name, str)]:
        raise ZooError(
            f"defaults of {path}: {wrong[0]!r} is not the name of a model", "weights.toml explains every key."
        )
    return Zoo(models, defaults)


def _table(document: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ZooError(f"{key} {table!r} of {path} is not a table", "weights.toml explains every key.")
    return table


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_regular(path).decode("utf-8-sig"))
    except OSError as error:
        raise ZooError(f"cannot read the zoo file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ZooError(f"the zoo file {path} is not valid TOML: {error}") from error


def _model(
    name: str, row: dict[str, Any], backbones: dict[str, Any], families: dict[str, Any], *, folder: Path
) -> ModelSpec:
    check_form("name", name, _NAME, _NAME_WORDS)
    check_choice("family", row["family"], families)
    table = {**families[row["family"]], **row}
    check_choice("backbone", table["backbone"], backbones)
    check_backbone(backbones[table["backbone"]])
    backbone = _frozen(backbones[table["backbone"]])
    table["dataset"] = dataset_name(table["dataset"])
    if isinstance(table["definition"], dict):
        table["definition"] = table["definition"].get(table["dataset"], table["definition"]["default"])
    check_choice("decoder", table["decoder"], get_args(Decoder))
    check_choice("pixel_decoder", table["pixel_decoder"], _PIXEL_DECODERS[table["decoder"]])
    check_choice("preprocessing", table["preprocessing"], get_args(Preprocessing))
    check_choice("definition", table["definition"], get_args(Definition))
    check_row(table)
    del table["backbone"]
    for key in ("semantic_classes", "semantic_window", "global_stages"):
        backbone[key] = _frozen(table.pop(key))
    files = tuple(_checkpoint(entry, folder) for entry in table.pop("checkpoints", ()))
    head = read_only(table.pop("head", {}))
    first = next((f for f in files if f.drive_id or f.urls or f.path), None)
    return ModelSpec(
        name=name, backbone=BackboneSpec(**backbone), checkpoints=files, checkpoint=first, head=head, **_frozen(table)
    )


def _checkpoint(entry: dict[str, Any], folder: Path) -> CheckpointSpec:
    check_form("label", entry["label"], _NAME, _NAME_WORDS)
    check_form("drive_id", entry.get("drive_id", ""), _DRIVE_ID, "made of letters, digits and _-")
    check_form("sha256", entry.get("sha256", ""), _SHA256, "64 hexadecimal digits, or empty")
    check_figures(entry)
    urls = tuple(entry.get("urls", ()))
    for url in urls:
        check_form("urls", url, _URL, "an address, as in https://… or s3://…")
    if urls and not entry.get("sha256"):
        raise ValueError("urls need the sha256 of the file")
    path = folder / entry["path"] if "path" in entry else None
    return CheckpointSpec(**{**entry, "path": path, "urls": urls})


def _select(spec: ModelSpec, label: str) -> ModelSpec:
    for file in spec.checkpoints:
        if file.label == label:
            return dataclasses.replace(spec, checkpoint=file)
    labels = ", ".join(f"{spec.name}@{file.label}" for file in spec.checkpoints) or "none"
    raise UnknownModelError(f"{spec.name} has no file labelled {label!r}", f"Its files: {labels}.")


def _frozen(value: Any) -> Any:
    """TOML lists as tuples, one level inside a table."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _did_you_mean(name: str, known: Mapping[str, ModelSpec]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else "`semask models` lists them all."
