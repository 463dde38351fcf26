"""ROC and precision-recall curves against scikit-learn, and their bands."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from mmdx.evaluation.intervals import bootstrap
from mmdx.report.operating_curves import GRID, OperatingCurves, operating_curves, units_of_rows


def drawn(n=200, ties=True, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, n).astype(float)
    prob = 1 / (1 + np.exp(-(target * 1.5 + rng.normal(size=n) - 0.7)))
    return target, np.round(prob, 1 if ties else 12)


def test_curves_are_those_of_scikit_learn():
    for ties in (False, True):
        target, prob = drawn(ties=ties)
        found = OperatingCurves(target, prob, np.arange(len(target)))(np.ones((len(target), 1)))
        x, y, _ = roc_curve(target, prob, drop_intermediate=False)
        # where the ROC curve rises at one x both the lower and the upper end are points of it
        at = np.array([float(found[f"roc|{k}"][0]) for k in range(len(GRID))])
        inside = ~np.isin(np.round(GRID, 9), np.round(x, 9))
        np.testing.assert_allclose(at[inside], np.interp(GRID, x, y)[inside], atol=1e-12)
        precision, recall, _ = precision_recall_curve(target, prob)
        for k in range(1, len(GRID)):
            expected = precision[np.flatnonzero(recall >= GRID[k] - 1e-12).max()]
            assert np.isclose(found[f"pr|{k}"][0], expected), (ties, k)


def test_weights_count_rows():
    target, prob = drawn(60)
    counts = np.random.default_rng(1).integers(0, 3, 60).astype(float)
    one = OperatingCurves(target, prob, np.arange(60))(counts[:, None])
    rows = np.repeat(np.arange(60), counts.astype(int))
    two = OperatingCurves(target[rows], prob[rows], np.arange(len(rows)))(np.ones((len(rows), 1)))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-12)


def test_undefined_with_one_class():
    found = OperatingCurves(np.ones(5), np.linspace(0, 1, 5), np.arange(5))(np.ones((5, 1)))
    assert all(np.isnan(v).all() for v in found.values())


def test_band_holds_the_curve_and_is_that_of_the_bootstrap():
    target, prob = drawn(300, ties=False)
    rows = pd.DataFrame({"sample_id": np.arange(300).astype(str), "target": target, "prob": prob, "seed": "", "patient_id": np.arange(300) // 2})
    found = operating_curves(rows, units_of_rows(rows), 80, 3)["roc"]
    assert found.resamples == 80
    assert (found.low <= found.y + 1e-9).all() and (found.y <= found.high + 1e-9).all()
    own = bootstrap(OperatingCurves(target, prob, np.arange(300) // 2), 150, 300, 80, 3)["roc|10"]
    assert (found.low[10], found.high[10]) == (own.low, own.high)


def test_no_band_is_asked_for():
    target, prob = drawn(50)
    rows = pd.DataFrame({"sample_id": np.arange(50).astype(str), "target": target, "prob": prob, "seed": ""})
    found = operating_curves(rows, units_of_rows(rows), 0, 0)["pr"]
    assert found.resamples == 0
    assert np.array_equal(found.low, found.y)


def test_rows_of_unknown_patients_are_units_of_their_own():
    rows = pd.DataFrame({"sample_id": ["a", "b", "c", "d"], "patient_id": ["p", "p", None, None]})
    assert len(set(units_of_rows(rows))) == 3
