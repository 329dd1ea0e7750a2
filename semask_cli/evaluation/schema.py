"""The JSON Schema of an evaluation's document, generated from its dataclasses.

`python docs/generate.py` writes it to evaluation.schema.json beside this module, and to the documentation.
"""

from __future__ import annotations

import inspect
import types
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from semask_cli.evaluation.metrics import DEFINITIONS
from semask_cli.evaluation.results import JSON_KEYS, SCHEMA_VERSION, Evaluation

MAX_PERCENT = 100.001
"""The largest figure: rounding may exceed 100."""


def evaluation_schema() -> dict[str, Any]:
    """The schema, in draft 2020-12."""
    schema = _of(Evaluation, JSON_KEYS)
    head = {"schema_version": {"const": SCHEMA_VERSION}, "kind": {"const": "evaluation"}}
    schema["properties"] = {**head, **schema["properties"], "definition": {"enum": list(DEFINITIONS)}}
    schema["required"] = [*head, *schema["required"]]
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "An evaluation by semask"}
    return {**title, **schema}


def _of(kind: Any, names: dict[str, str] | None = None) -> dict[str, Any]:
    """The schema of a value of `kind`; `names` are keys that differ from the names of fields."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        types_of = get_type_hints(kind)
        properties = {(names or {}).get(field.name, field.name): _of(types_of[field.name]) for field in fields(kind)}
        return {
            "description": inspect.cleandoc(kind.__doc__ or "").replace("\n", " ").replace("  ", "\n"),
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(arguments[0]), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    plain: dict[Any, dict[str, Any]] = {
        str: {"type": "string"},
        bool: {"type": "boolean"},
        int: {"type": "integer", "minimum": 0},
        float: {"type": "number", "minimum": 0, "maximum": MAX_PERCENT},
        Any: {},
    }
    return plain[kind]
