"""The values that a row of the zoo may have: the numbers of its head, and the validation of all of them.

An invalid value is an error that names it, never replaced by a default.

A stage that does not exist, or a test size of zero, would run and silently cost mIoU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

_STAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FPNHeadSpec:
    """A Semantic-FPN head: `channels` of its convolutions."""

    channels: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFormerHeadSpec:
    """A MaskFormer head: `hidden` channels of queries and mask features, and the size of its decoder."""

    hidden: int = 256
    queries: int = 100
    heads: int = 8
    layers: int = 6
    feedforward: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask2FormerHeadSpec:
    """A Mask2Former head: as MaskFormer's, with the sizes of the pixel decoder's encoder and of the query decoder."""

    hidden: int = 256
    queries: int = 100
    heads: int = 8
    encoder_layers: int = 6
    encoder_feedforward: int = 1024
    decoder_layers: int = 9
    decoder_feedforward: int = 2048


HEAD_SPECS: Mapping[str, type[FPNHeadSpec | MaskFormerHeadSpec | Mask2FormerHeadSpec]] = {
    "semantic-fpn": FPNHeadSpec,
    "maskformer": MaskFormerHeadSpec,
    "mask2former": Mask2FormerHeadSpec,
}
"""The dataclass of each decoder's head. Defaults are the published numbers; a row may give others."""


def check_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raises ValueError, naming the value and the choices, if it is none of them."""
    if value not in (choices := tuple(choices)):
        raise ValueError(f"{key} {value!r} is none of {', '.join(choices)}")


def check_form(key: str, value: object, form: re.Pattern[str], words: str) -> None:
    """Raises ValueError, naming the value and the form described by `words`, if it does not match."""
    if not (isinstance(value, str) and form.fullmatch(value)):
        raise ValueError(f"{key} {value!r} is not {words}")


def check_row(row: Mapping[str, Any]) -> None:
    """Validate the numbers of a row, its family's included.

    Raises:
        ValueError: an invalid value; the message names the key and the value.
        KeyError: a missing key.
    """
    _check(row, _ROW)
    check_figures(row)
    if row["decoder"] == "semantic-fpn" and row["size_divisor"] != 1:
        raise ValueError(f"size_divisor {row['size_divisor']!r} is not 1: a semantic-fpn takes images of any size")
    if row["preprocessing"] == "detectron2" and not _is_whole(row["ms_long_side"]):
        raise ValueError(f"ms_long_side {row['ms_long_side']!r} is not {_WHOLE}")
    known = {field.name for field in fields(HEAD_SPECS[row["decoder"]])}
    for key, value in row.get("head", {}).items():
        if key not in known:
            raise ValueError(f"head has an unknown key {key!r}: a {row['decoder']} has {', '.join(sorted(known))}")
        if not _is_whole(value):
            raise ValueError(f"{key} {value!r} of the head is not {_WHOLE}")


def check_backbone(backbone: Mapping[str, Any]) -> None:
    """As `check_row`, for a backbone."""
    _check(backbone, _BACKBONE)
    for stage, heads in enumerate(backbone["heads"]):
        if (width := backbone["embed_dim"] * 2**stage) % heads:
            raise ValueError(f"heads {heads} do not divide the {width} channels of stage {stage}")


def check_figures(table: Mapping[str, Any]) -> None:
    """As `check_row`, for the optional facts of a row, or of one of its files."""
    _check(table, {key: form for key, form in _FIGURES.items() if key in table})


def _check(table: Mapping[str, Any], forms: Mapping[str, tuple[Callable[[Any], bool], str]]) -> None:
    for key, (is_valid, words) in forms.items():
        if not is_valid(table[key]):
            raise ValueError(f"{key} {table[key]!r} is not {words}")


def _is_whole(value: object) -> bool:
    return type(value) is int and value >= 1


def _are_whole(value: object, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(map(_is_whole, value))


def _are_stages(value: object) -> bool:
    return isinstance(value, list | tuple) and all(type(n) is int and 0 <= n < _STAGES for n in value)


def _are_factors(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(n) in (int, float) and n > 0 for n in value)


_WHOLE = "a whole number from 1 on"
_NUMBER = (_is_whole, _WHOLE)
_PAIR = (lambda value: _are_whole(value, 2), "two whole numbers from 1 on, height and width")
_BY_STAGE = (lambda value: _are_whole(value, _STAGES), f"{_STAGES} whole numbers from 1 on, one for each stage")
_ROW = {
    **dict.fromkeys(("num_classes", "semantic_classes", "semantic_window", "size_divisor"), _NUMBER),
    **dict.fromkeys(("short_side", "long_side"), _NUMBER),
    **dict.fromkeys(("crop", "stride"), _PAIR),
    "global_stages": (_are_stages, f"a list of stages, 0 to {_STAGES - 1}"),
    "ms_scales": (_are_factors, "a list of factors above 0"),
}
_PERCENT = (lambda value: type(value) in (int, float) and 0 <= value <= 100, "a percentage, 0 to 100")
_TEXT = (lambda value: isinstance(value, str), "a text")
_FIGURES = {
    **dict.fromkeys(("miou", "miou_ms_flip"), _PERCENT),
    **dict.fromkeys(("licence", "source"), _TEXT),
    "params_m": (lambda value: type(value) in (int, float) and 0 < value < 1e6, "millions of parameters"),
}
_BACKBONE = {
    **dict.fromkeys(("embed_dim", "window"), _NUMBER),
    **dict.fromkeys(("depths", "heads"), _BY_STAGE),
}
