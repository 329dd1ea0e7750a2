"""A package that is missing says what to install."""

from __future__ import annotations

import sys

import pytest

from semask_cli.errors import UsageError
from semask_cli.io.extras import import_extra


def test_what_is_there_is_imported() -> None:
    assert import_extra("email.message", extra="mail", purpose="a letter").EmailMessage


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "post", None)
    with pytest.raises(UsageError, match="a letter needs post, which is not installed") as caught:
        import_extra("post.stamps", extra="mail", purpose="a letter")
    assert caught.value.suggestion == "Install it: pip install 'semask[mail]'."
