"""Tabular values with the weight of each column."""

import numpy as np

from mmdx.encoders.tabular import TabularTransform
from mmdx.explain.parts import Part
from mmdx.explain.render_table import column_weights, render_table
from mmdx.types import Transform

ROWS = [{"age": 63, "sex": "F", "bnp": 120.5, "empty": None}, {"age": 41.0, "sex": "M", "bnp": None, "empty": None}]


def part(row, weights):
    transform = TabularTransform()
    transform.fit([transform.prepare(r) for r in ROWS])
    return Part(row, transform.prepare(row), transform, [weights])


def test_a_columns_weight_is_that_of_its_value_and_of_its_absence_together():
    weights = {"numeric": np.array([0.5, -1.0]), "missing": np.array([0.0, -1.0]), "categorical": np.array([0.25])}
    given = part(ROWS[1], weights)
    assert column_weights(given) == {"age": 0.5, "bnp": -2.0, "sex": 0.25}
    assert render_table([given]) == {
        "kind": "table",
        "cells": [
            {"name": "bnp", "value": None, "weight": -1.0},
            {"name": "age", "value": "41", "weight": 0.25},
            {"name": "sex", "value": "M", "weight": 0.125},
        ],
    }


def test_columns_that_the_encoder_does_not_read_are_not_shown():
    cells = render_table([part({**ROWS[0], "name": "Smith"}, {})])["cells"]
    assert {cell["name"] for cell in cells} == {"age", "bnp", "sex"} and all(cell["weight"] is None for cell in cells)


def test_of_another_transform_the_values_are_shown_without_weights():
    cells = render_table([Part(ROWS[0], ROWS[0], Transform(), [{"": np.ones(3)}])])["cells"]
    assert [cell["value"] for cell in cells] == ["63", "F", "120.5", None] and all(cell["weight"] is None for cell in cells)
