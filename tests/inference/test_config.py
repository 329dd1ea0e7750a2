"""Settings of inference that cannot be meant are refused."""

from __future__ import annotations

from typing import Any

import pytest

from semask_cli.errors import UsageError
from semask_cli.inference.config import InferenceConfig, Keep


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop": (0, 64)}, "must be at least 1 pixel per side"),
        ({"mode": "tiles"}, "mode 'tiles' is neither whole nor slide"),
        ({"stride": (65, 64)}, "or pixels are missed"),
        ({"stride": (64, 65)}, "or pixels are missed"),
        ({"stride": (0, 64)}, "must be between 1 and the crop"),
        ({"scales": ()}, "scales must be numbers above 0"),
        ({"scales": (1.0, 0.0)}, "scales must be numbers above 0"),
        ({"flip": "no"}, "flip is True or False, not 'no'"),
    ],
)
def test_what_cannot_be_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        InferenceConfig(**{"crop": (64, 64), "stride": (64, 64), **settings})


@pytest.mark.parametrize("top", [-1, 1.5, "3"])
def test_no_number_of_classes_to_keep(top: Any) -> None:
    with pytest.raises(UsageError, match="cannot be kept"):
        Keep(top=top)
