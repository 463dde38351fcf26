"""Each laboratory value shows its finding, and a finding that isn't shown wasn't measured."""

import numpy as np
import pytest

from mmdx.simulate.draws import generator
from mmdx.simulate.labs import COLUMNS, render_labs
from mmdx.simulate.visit import Visits

SAMPLES = 300
NAMES = ("bnp", "troponin", "potassium")


@pytest.fixture(scope="module")
def rows():
    rng = generator(5)
    findings = np.where(rng.random((SAMPLES, 3)) < 0.25, np.nan, rng.standard_normal((SAMPLES, 3)))
    visits = Visits(0, SAMPLES, 3, [1, 1, 1, 2], 13)
    return [(f, v, render_labs(f, v, generator(6, i), with_truth=True)) for i, (f, v) in enumerate(zip(findings, visits, strict=True))]


def read(name, raw):
    value = raw[name]
    if name == "bnp":
        return (np.log(value / 100) - 0.008 * (raw["age"] - 62)) / 0.5
    if name == "troponin":
        return np.log(value / 10) / 0.5
    return np.sign(value - 4.2) * (abs(value - 4.2) - 0.45) / 0.15


@pytest.mark.parametrize("number", range(3))
def test_each_value_is_its_finding_and_is_not_measured_where_the_finding_is_not_shown(rows, number):
    name = NAMES[number]
    assert all((r.raw[name] is None) == np.isnan(f[number]) for f, _, r in rows)
    pairs = np.array([(f[number], read(name, r.raw)) for f, _, r in rows if r.raw[name] is not None])
    assert np.corrcoef(pairs.T)[0, 1] > 0.99
    if name == "potassium":
        assert (np.abs(4.2 - np.array([r.raw[name] for _, _, r in rows if r.raw[name] is not None])) > 0.35).all(), "never normal"


def test_the_truth_is_the_value_without_noise(rows):
    for name, spread in zip(NAMES, (0.06, 0.06, 0.006), strict=True):
        pairs = np.array([(r.raw[name], r.truth["values"][name]) for _, _, r in rows if r.raw[name] is not None])
        assert 0.5 * spread < np.std(pairs[:, 0] / pairs[:, 1]) < 1.2 * spread


def test_a_finding_changes_its_own_value_only(rows):
    for i, (findings, visit, rendering) in enumerate(rows[:30]):
        for number, name in enumerate(NAMES):
            for other in (np.nan, -2.0, 9.0):
                changed = findings.copy()
                changed[number] = other
                raw = render_labs(changed, visit, generator(6, i)).raw
                assert {k: v for k, v in raw.items() if k != name} == {k: v for k, v in rendering.raw.items() if k != name}


def test_rows_have_the_same_columns_and_the_same_values_with_and_without_truth(rows):
    assert {tuple(r.raw) for _, _, r in rows} == {COLUMNS}
    assert 0.04 < np.mean([r.raw["creatinine"] is None for _, _, r in rows]) < 0.17
    bare = [render_labs(f, v, generator(6, i)) for i, (f, v, _) in enumerate(rows)]
    assert all(b.truth == {} and b.raw == r.raw for b, (_, _, r) in zip(bare, rows, strict=True))
