"""The permutation test keeps its error rate whatever patients, rows and labels are like, and finds what there is."""

import numpy as np
import pandas as pd
import pytest

from mmdx.audit import association
from mmdx.audit.association import p_value
from mmdx.audit.encode import encode_table
from mmdx.audit.probes import question_of


def of_column(values, target, groups):
    return p_value(encode_table(pd.DataFrame({"column": values})), question_of(pd.Series(target), groups))


def cohort(rng, prevalence, rows=200):
    groups = np.repeat(np.arange(rows), rng.integers(1, 5, rows))[:rows]
    return groups, (rng.random(groups.max() + 1) < prevalence).astype(int)[groups]


@pytest.mark.parametrize("prevalence", [0.5, 0.2])
def test_chance_is_called_an_association_as_often_as_it_should(monkeypatch, prevalence):
    monkeypatch.setattr(association, "PERMUTATIONS", 99)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(150):
        groups, target = cohort(rng, prevalence)
        of_patient = rng.random(groups.max() + 1)[groups]  # rows of one patient are not independent: counted one by one they would alarm
        found.append(of_column((4 * of_patient).astype(int).astype(str), target, groups))
    assert np.mean(np.array(found) <= 0.1) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 150) and 0.35 < np.mean(found) < 0.65


def test_a_column_that_is_the_target_is_found_and_rows_without_a_label_are_left_out():
    groups, target = cohort(np.random.default_rng(1), 0.3)
    assert of_column(target.astype(float), target, groups) == pytest.approx(1 / (association.PERMUTATIONS + 1))
    labels = pd.DataFrame({"target_a": np.where(np.arange(200) % 3, target, -1), "target_b": 0})
    labels.loc[::7, "target_b"] = 1
    inputs = encode_table(pd.DataFrame({"column": target.astype(float)}))
    assert p_value(inputs, question_of(labels, groups)) < 0.01


def test_what_differs_within_a_patient_is_seen():
    """Every patient has one row of each class, by two scanners: patients' means say nothing."""
    groups, target = np.repeat(np.arange(40), 2), np.tile([0, 1], 40)
    assert of_column(target.astype(str), target, groups) < 0.01
    assert of_column(np.random.default_rng(0).permutation(target).astype(str), target, groups) > 0.01


def test_nothing_to_be_told_from_is_no_association():
    groups, target = cohort(np.random.default_rng(2), 0.5)
    assert of_column(np.ones(200), target, groups) == 1.0
    assert of_column(np.array([f"own{i}" for i in range(200)]), target, groups) == 1.0
