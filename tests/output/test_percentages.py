"""Figures in percent."""

from __future__ import annotations

import pytest

from semask_cli.output.percentages import format_percent, format_share


def test_a_figure_has_two_decimals_and_one_that_is_missing_a_dash() -> None:
    assert (format_percent(42.106), format_percent(None), format_percent(None, missing="")) == ("42.11", "–", "")


@pytest.mark.parametrize(
    ("share", "text"), [(1, "100.0 %"), (0.123456, "12.3 %"), (0.0005, "0.1 %"), (0.0004, "< 0.1 %")]
)
def test_a_share_that_is_there_is_never_zero(share: float, text: str) -> None:
    assert format_share(share) == text
