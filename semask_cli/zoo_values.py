"""What the values of a zoo file may be: one that is none of them is an error that names it, never a default.

A stage that is no stage, or a test size of nothing, would run, and cost mIoU in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_STAGES = 4

HEAD_KEYS: Mapping[str, frozenset[str]] = {
    "semantic-fpn": frozenset(("channels",)),
    "maskformer": frozenset(("hidden", "queries", "heads", "layers", "feedforward")),
    "mask2former": frozenset(
        (
            *("hidden", "queries", "heads", "encoder_layers", "encoder_feedforward"),
            *("decoder_layers", "decoder_feedforward"),
        )
    ),
}
"""The numbers that a row may have of its own, by decoder."""


def check_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raises ValueError, which names the value and the choices."""
    if value not in (choices := tuple(choices)):
        raise ValueError(f"{key} {value!r} is none of {', '.join(choices)}")


def check_form(key: str, value: object, form: re.Pattern[str], words: str) -> None:
    """Raises ValueError, which names the value and the form that it must have."""
    if not (isinstance(value, str) and form.fullmatch(value)):
        raise ValueError(f"{key} {value!r} is not {words}")


def check_row(row: Mapping[str, Any]) -> None:
    """Look at the numbers of a row, its family's included.

    Raises:
        ValueError: a value that no network or image can have; it names the key and the value.
        KeyError: the key that is missing.
    """
    _check(row, _ROW)
    if row["decoder"] == "semantic-fpn" and row["size_divisor"] != 1:
        raise ValueError(f"size_divisor {row['size_divisor']!r} is not 1: a semantic-fpn takes images of any size")
    if row["preprocessing"] == "detectron2" and not _is_whole(row["ms_long_side"]):
        raise ValueError(f"ms_long_side {row['ms_long_side']!r} is not {_WHOLE}")
    known = HEAD_KEYS[row["decoder"]]
    for key, value in row.get("head", {}).items():
        if key not in known:
            raise ValueError(f"head has an unknown key {key!r}: a {row['decoder']} has {', '.join(sorted(known))}")
        if not _is_whole(value):
            raise ValueError(f"{key} {value!r} of the head is not {_WHOLE}")


def check_backbone(backbone: Mapping[str, Any]) -> None:
    """As `check_row`, of a backbone."""
    _check(backbone, _BACKBONE)
    for stage, heads in enumerate(backbone["heads"]):
        if (width := backbone["embed_dim"] * 2**stage) % heads:
            raise ValueError(f"heads {heads} do not divide the {width} channels of stage {stage}")


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
_BACKBONE = {
    **dict.fromkeys(("embed_dim", "window"), _NUMBER),
    **dict.fromkeys(("depths", "heads"), _BY_STAGE),
}
