"""Same bits, same within a tolerance, or not: to the last bit, whatever the order of rows, and nothing passes that isn't a number."""

import numpy as np
import pandas as pd
import pytest

from mmdx.runs.same import BITS, OTHER, WITHIN, difference, same_metrics, same_predictions


def table(**changes):
    columns = {"sample_id": ["a", "b", "c"], "split": "test", "modalities": "left", "ablation": "offered", "target": [0, 1, 0]}
    columns["prob"] = [0.1, 0.2, np.nan]
    return pd.DataFrame({**columns, **changes})


def test_the_order_of_rows_does_not_matter_and_missing_is_the_same_as_missing():
    assert same_predictions(table(), table().iloc[[2, 0, 1]], 0.0).verdict == BITS


def test_the_next_number_is_not_the_same_bits_and_is_told():
    found = same_predictions(table(), table(prob=[0.1, np.nextafter(0.2, 1), np.nan]), 1e-6)
    assert found.verdict == WITHIN and 0 < found.largest < 1e-15 and "'b'" in found.where
    assert same_predictions(table(), table(prob=[0.1, np.nextafter(0.2, 1), np.nan]), 0.0).verdict == OTHER


def test_zeros_of_two_signs_are_not_the_same_bits():
    assert difference(np.array([0.0]), np.array([-0.0]))[0] > 0 and difference(np.array([0.0]), np.array([0.0]))[0] == 0


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (table(prob=[0.1, 0.3, np.nan]), "0.1"),
        (table(prob=[0.1, 0.2, 0.3]), "prob of sample 'c'"),
        (table(target=[0, 0, 0]), "target of 1 of 3 rows, sample 'b'"),
        (table().iloc[:2], "1 of 3 rows"),
        (table(more=1), "more"),
        (table(sample_id=["a", "b", "d"]), "1 of 3 rows of the old"),
    ],
)
def test_what_is_not_the_same_is_named(other, says):
    found = same_predictions(table(), other, 1e-6)
    assert found.verdict == OTHER and says in found.sentence("predictions", 1e-6)


def test_metrics_are_compared_to_the_last_bit_and_sections_of_other_commands_left_out():
    one = {"primary": "auroc", "test": {"left": {"auroc": {"value": 0.5, "low": None, "n": 3}}}, "stress": {"x": 1}, "predictions": {"sha256": "a"}}
    assert same_metrics(one, {**one, "predictions": {"sha256": "b"}}, 0.0).verdict == BITS
    less = {k: v for k, v in one.items() if k != "stress"}
    assert same_metrics(one, less, 0.0).verdict == BITS
    other = {**less, "test": {"left": {"auroc": {"value": 0.5 + 1e-9, "low": None, "n": 3}}}}
    assert same_metrics(one, other, 1e-6).verdict == WITHIN and same_metrics(one, other, 1e-12).verdict == OTHER
    assert "test/left/auroc/value" in same_metrics(one, other, 1e-12).where
    assert same_metrics(one, {**less, "test": {"left": {"auroc": {"value": None, "low": None, "n": 3}}}}, 1.0).verdict == OTHER
    assert same_metrics(one, {"primary": "auroc"}, 1.0).verdict == OTHER
