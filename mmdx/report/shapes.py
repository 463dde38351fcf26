"""Whether a JSON file of a run folder has the shape that the report relies on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "null": type(None), "number": (int, float), "integer": int, "boolean": bool,
}  # fmt: skip
WORDS = {dict: "an object", list: "a list", str: "a text", type(None): "null", int: "a number", float: "a number", bool: "true or false"}
SAID = {
    "object": "an object", "array": "a list", "string": "a text", "null": "null", "number": "a number", "integer": "a whole number",
    "boolean": "true or false",
}  # fmt: skip
ENTRY = {
    "type": "object",
    "required": ["value", "low", "high"],
    "properties": {name: {"type": ["number", "null"]} for name in ("value", "low", "high")},
}


def _texts(*names: str) -> dict[str, Any]:
    """The schema of a list of objects that hold texts of these names."""
    return {"type": "array", "items": {"type": "object", "required": list(names), "properties": {name: {"type": "string"} for name in names}}}


SHAPES: dict[str, dict[str, Any]] = {
    "models.json": _texts(),
    "leakage.json": _texts("feature", "verdict"),
    "check.json": _texts("severity", "message"),
    "provenance.json": {
        "type": "object",
        "properties": {"revision": {"type": ["object", "null"]}, "seeds": {"type": ["object", "null"]}, "command": {"type": ["array", "null"]}},
    },
    "cases.json": {
        "type": "object",
        "required": ["cases"],
        "properties": {
            "cases": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["sample_id"],
                    "properties": {
                        "share": {"type": ["object", "null"]},
                        "inputs": {
                            "type": ["object", "null"],
                            "additionalProperties": {
                                "type": "object",
                                "properties": {name: {"type": ["array", "null"]} for name in ("items", "spans", "cells")},
                            },
                        },
                    },
                },
            }
        },
    },
    "comparison.json": {
        "type": "object",
        "required": ["metric", "higher_is_better", "n", "n_units", "unit", "runs", "pairs"],
        "properties": {
            "metric": {"type": "string"},
            "higher_is_better": {"type": "boolean"},
            "runs": {
                "type": "array",
                "minItems": 2,
                "items": {
                    "type": "object",
                    "required": ["name", "modalities", "left_out"],
                    "properties": {"name": {"type": "string"}, "modalities": {"type": "string"}, "mean_over_folds": ENTRY},
                },
            },
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["a", "b", "shown", "test", "p", "p_holm", "significant"],
                    "properties": {
                        "a": {"type": "string"},
                        "b": {"type": "string"},
                        "shown": ENTRY,
                        "test": {"enum": ["delong", "bootstrap", "corrected_t"]},
                        "p": {"type": ["number", "null"]},
                        "p_holm": {"type": ["number", "null"]},
                        "significant": {"type": "boolean"},
                    },
                },
            },
            "ranks": {
                "type": "object",
                "required": ["blocks", "mean_rank", "p", "critical_difference"],
                "properties": {
                    "mean_rank": {"type": "object", "additionalProperties": {"type": "number"}},
                    "critical_difference": {"type": "number"},
                    "p": {"type": ["number", "null"]},
                },
            },
        },
    },
}
"""Of each file but ``metrics.json``, whose schema is published, what must be there; anything else may be."""


@cache
def metrics_schema() -> dict[str, Any]:
    """The published schema of ``metrics.json``."""
    found: dict[str, Any] = json.loads((files("mmdx.report") / "metrics.schema.json").read_text(encoding="utf-8"))
    return found


def fault_of(file: str, found: Any) -> str:
    """What is wrong with what a file of that name holds, "" where nothing is."""
    schema = metrics_schema() if file == "metrics.json" else SHAPES.get(file, {})
    wrong = next(faults(found, schema, schema.get("$defs", {})), "")
    return wrong or (_between_parts(file, found) if file in ("metrics.json", "comparison.json") else "")


def _between_parts(file: str, found: Any) -> str:
    """What is wrong with parts that refer to each other."""
    if file == "comparison.json":
        metric, folds = found["metric"], any(pair["test"] == "corrected_t" for pair in found["pairs"])
        needed = "mean_over_folds" if folds else metric
        own = {"type": "object", "required": [needed], "properties": {needed: ENTRY}}
        return next((wrong for run in found["runs"] for wrong in faults(run, own, {}, f"run {run['name']}")), "")
    named = "+".join(sorted(found["modalities"]))
    if found["full"] != named:
        return f"full is {found['full']!r}, but the modalities are {named!r}"
    if any(found["primary"] not in of for of in found["test"].values()):
        return f"its primary metric {found['primary']!r} is not among those of test"
    if found["kind"] in ("multiclass", "multilabel", "ordinal") and "outputs" not in found:
        return "lacks outputs"
    return ""


def faults(value: Any, schema: Mapping[str, Any], defs: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """What is wrong with a value by the keywords of JSON Schema that are used here, one phrase a fault."""
    if "$ref" in schema:
        yield from faults(value, defs[schema["$ref"].removeprefix("#/$defs/")], defs, where)
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where or 'it'} is {WORDS[type(value)]}, not {' or '.join(SAID[kind] for kind in kinds)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {str(value)[:60]!r}, not one of {', '.join(map(str, schema['enum']))}"
    if "minimum" in schema and _is(value, "number") and value < schema["minimum"]:
        yield f"{where} is {value}, below {schema['minimum']}"
    if isinstance(value, dict):
        lacking = [name for name in schema.get("required", []) if name not in value]
        if lacking:
            yield f"{where + ' ' if where else ''}lacks {', '.join(lacking)}"
        own = schema.get("properties", {})
        for name, part in value.items():
            yield from faults(part, own.get(name, schema.get("additionalProperties", {})), defs, f"{where}.{name}".removeprefix("."))
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where or 'it'} has {len(value)} items, {schema['minItems']} at least are needed"
        for place, part in enumerate(value, 1):
            yield from faults(part, schema.get("items", {}), defs, f"{where} item {place}".strip())


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and not (isinstance(value, bool) and kind in ("number", "integer"))
