"""The published schema: what is written follows it, and what does not is refused by both."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import semask_cli
from semask_cli.errors import UsageError
from semask_cli.evaluation import schema
from semask_cli.evaluation.reading import read_evaluation
from semask_cli.evaluation.schema import evaluation_schema
from tests.support import miniature


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """A document of 12 images, so that it has intervals."""
    folder = tmp_path_factory.mktemp("schema")
    root, masks = miniature.plant(folder, "ade20k", "annotations", 12)
    evaluation = semask_cli.evaluate("ade20k", masks, root=root, journal=folder / "journal")
    assert evaluation.intervals
    return json.loads(json.dumps(evaluation.to_json()))


def test_the_schema_is_in_the_package_and_is_a_schema():
    published = json.loads(Path(schema.__file__).with_name("evaluation.schema.json").read_text(encoding="utf-8"))
    assert published == evaluation_schema()
    jsonschema.Draft202012Validator.check_schema(published)


def test_documents_follow_the_schema(document, planted):
    root, masks = planted("cityscapes", "labelTrainIds", 3)
    jsonschema.validate(document, evaluation_schema())
    other = semask_cli.evaluate("cityscapes", masks, root=root)
    jsonschema.validate(json.loads(json.dumps(other.to_json())), evaluation_schema())


def paths(value, path=()):
    """Of everything in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_the_schema_refuses_is_not_read(document, tmp_path, data):
    changed = copy.deepcopy(document)
    places = [path for path in paths(document) if path and path[0] != "settings"]
    *where, key = data.draw(st.sampled_from(places))
    part = changed
    for step in where:
        part = part[step]
    part[key] = data.draw(st.sampled_from([None, -1, 1.5, "text", [], {}, [None], 10**9, True]))
    valid = jsonschema.Draft202012Validator(evaluation_schema()).is_valid(changed)
    (tmp_path / "document.json").write_text(json.dumps(changed))
    if not valid:
        with pytest.raises(UsageError):
            read_evaluation(tmp_path / "document.json")
