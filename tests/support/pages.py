"""The pages of the documentation, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_EXAMPLE = re.compile(r"^(<!-- not run: [^>\n]+ -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A fenced block: its language, its text, and whether the tests run it."""

    page: Path
    line: int
    language: str
    text: str
    is_run: bool

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples(page: Path) -> list[Example]:
    text = page.read_text()
    return [
        Example(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match[2],
            text=match[3],
            is_run=match[1] is None,
        )
        for match in _EXAMPLE.finditer(text)
    ]


def without_code(text: str) -> str:
    """The page without its fenced blocks."""
    return _EXAMPLE.sub("", text)
