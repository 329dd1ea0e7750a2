"""Formatting of percentages."""

from __future__ import annotations


def format_percent(value: float | None, *, missing: str = "–") -> str:
    """A figure in percent with two decimals, as mIoU is published; `missing` for None."""
    return missing if value is None else f"{value:.2f}"


def format_interval(low: float, high: float) -> str:
    """An interval in percent, with two decimals."""
    return f"[{low:.2f}, {high:.2f}]"


def format_difference(points: float) -> str:
    """A difference in percentage points, with its sign and two decimals."""
    return f"{points:+.2f}".replace("-0.00", "+0.00")


def format_share(share: float) -> str:
    """A share (0 to 1) in percent; a small one is "< 0.1 %", never "0.0 %"."""
    return "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"
