"""The options that `predict`, `eval` and `bench` share: declared once, and handed to `semask_cli.load` by name."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

import pytest

from semask_cli.api import load
from semask_cli.cli.bench import bench
from semask_cli.cli.eval import evaluate
from semask_cli.cli.model_options import ModelOptions, parse_size
from semask_cli.cli.predict import predict
from semask_cli.errors import UsageError

FIELDS = {field.name for field in dataclasses.fields(ModelOptions)}


def test_every_option_is_an_argument_of_load_by_the_same_name() -> None:
    assert FIELDS - {"model", "threads", "ms_flip"} <= set(inspect.signature(load).parameters)


@pytest.mark.parametrize("command", [predict, evaluate, bench])
def test_every_command_that_loads_a_model_has_every_option(command: Callable[..., None]) -> None:
    assert set(inspect.signature(command).parameters) >= FIELDS


def test_options_are_parsed_and_given_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}
    monkeypatch.setattr("semask_cli.api.load", lambda name, **arguments: given.update(arguments, name=name))
    ModelOptions(model="m", crop="512x1024", stride="300", scales="0.5,1", memory_budget="2G", mode="slide").load()
    expected = {"name": "m", "crop": (512, 1024), "stride": (300, 300), "scales": (0.5, 1.0), "memory_budget": 2 << 30}
    assert {key: given[key] for key in expected} == expected
    ModelOptions(ms_flip=True).load(random_weights=True)
    assert (given["scales"], given["flip"], given["random_weights"]) == ("published", True, True)
    ModelOptions(scales="native").load()
    assert (given["scales"], given["crop"]) == ("native", None)


@pytest.mark.parametrize("text", ["", "x", "wide", "1x2x3", "0", "-5", "64x", "64x0", "x64", "9999999"])
def test_what_is_no_size_names_its_option(text: str) -> None:
    with pytest.raises(UsageError, match="--crop"):
        parse_size("--crop", text)
