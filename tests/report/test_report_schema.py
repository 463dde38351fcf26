"""metrics.json is what its published schema says."""

import copy
import json
from importlib.resources import files
from importlib.util import find_spec

import pytest
from made_kinds import table
from made_run import predictions, sections

from mmdx.evaluation.score import score

SCHEMA = json.loads((files("mmdx.report") / "metrics.schema.json").read_text(encoding="utf-8"))
TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "number": (int, float), "integer": int}
READ = {"type", "enum", "required", "properties", "additionalProperties", "items", "minItems", "minimum", "$ref"}
SAID = {"$schema", "title", "description", "$defs"}


def faults(value, schema, where="metrics"):
    """What is wrong with a value, by the keywords that the schema uses."""
    assert not set(schema) - READ - SAID, f"{where}: a keyword that this check doesn't read"
    if "$ref" in schema:
        yield from faults(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, TYPES[k]) and not (isinstance(value, bool) and k in ("number", "integer")) for k in kinds):
        yield f"{where} is {value!r}, not {kinds}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, not of {schema['enum']}"
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        yield f"{where} is {value}, below {schema['minimum']}"
    if isinstance(value, dict):
        yield from (f"{where} lacks {name}" for name in schema.get("required", []) if name not in value)
        known = schema.get("properties", {})
        for name, own in value.items():
            yield from faults(own, known.get(name, schema.get("additionalProperties", {})), f"{where}.{name}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"{where} has {len(value)} items"
        for k, own in enumerate(value):
            yield from faults(own, schema.get("items", {}), f"{where}[{k}]")


@pytest.fixture(scope="module")
def metrics():
    frame = predictions(90)
    return score(frame, resamples=20) | sections(frame)


def test_scores_fit_the_schema(metrics):
    assert not list(faults(metrics, SCHEMA))


def test_several_folds_seeds_and_labels_fit_the_schema():
    frame = predictions(90, retrained=False).rename(columns={"target": "target_ill", "prob": "prob_ill"})
    frame = frame.assign(target_old=1 - frame["target_ill"], prob_old=1 - frame["prob_ill"])
    frame["fold"] = frame["patient_id"].map({p: f"fold{k % 2}" for k, p in enumerate(frame["patient_id"].unique())})
    assert not list(faults(score(frame.assign(seed=0), resamples=10), SCHEMA))


@pytest.mark.parametrize("frame", [predictions(60)[lambda t: t["split"] == "test"], table("multiclass")])
def test_what_cannot_be_known_without_validation_rows_fits_the_schema(frame):
    assert not list(faults(score(frame, resamples=5), SCHEMA))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pop("unit"), "lacks unit"),
        (lambda m: m["test"]["image"]["auroc"].pop("low"), "metrics.test.image.auroc lacks low"),
        (lambda m: m["test"]["image"]["auroc"].update(value="0.8"), "auroc.value is '0.8'"),
        (lambda m: m["test"]["image"]["auroc"].update(n=-1), "below 0"),
        (lambda m: m.update(kind="ranking"), "not of"),
        (lambda m: m["calibration"][""]["curve"][0].pop("n"), "curve[0] lacks n"),
        (lambda m: m["groups"]["columns"]["sex"].update(left_out="M"), "left_out is 'M'"),
    ],
)
def test_what_does_not_fit_is_found(metrics, change, says):
    changed = copy.deepcopy(metrics)
    change(changed)
    assert any(says in fault for fault in faults(changed, SCHEMA))


@pytest.mark.skipif(find_spec("jsonschema") is None, reason="jsonschema is not installed")
@pytest.mark.parametrize("kind", ["ordinal", "regression", "survival"])
def test_kinds_without_a_threshold_fit_the_schema(kind):
    import jsonschema

    metrics = score(table(kind), kind=kind, resamples=10)
    assert ("threshold" in metrics) == (kind == "ordinal")
    jsonschema.validate(metrics, SCHEMA)


@pytest.mark.skipif(find_spec("jsonschema") is None, reason="jsonschema is not installed")
def test_the_schema_is_one(metrics):
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(metrics, SCHEMA)
