"""Facts about the metrics of a number; the references are scikit-learn, SciPy and Lin's own example."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from mmdx.errors import InputError
from mmdx.evaluation.regression_metrics import RegressionMetrics
from mmdx.evaluation.score import score


def drawn(n=80, seed=0):
    rng = np.random.default_rng(seed)
    target = np.round(1000 + 5 * rng.normal(size=n))  # with ties, far from 0
    return target, np.round(target + 4 * rng.normal(size=n) - 1)


def concordance(target, prediction):
    """Lin 1989, equation of section 2, written out."""
    covariance = np.mean((target - target.mean()) * (prediction - prediction.mean()))
    return 2 * covariance / (target.var() + prediction.var() + (target.mean() - prediction.mean()) ** 2)


def expected(target, prediction):
    return {
        "r2": r2_score(target, prediction),
        "mae": mean_absolute_error(target, prediction),
        "rmse": mean_squared_error(target, prediction) ** 0.5,
        "pearson": pearsonr(target, prediction)[0],
        "spearman": spearmanr(target, prediction)[0],
        "ccc": concordance(target, prediction),
    }


def test_every_metric_is_that_of_scikit_learn_and_scipy():
    target, prediction = drawn()
    found = RegressionMetrics(target, prediction, np.arange(80))(np.ones((80, 1)))
    for name, value in expected(target, prediction).items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


def test_a_weight_counts_a_row_that_often():
    target, prediction = drawn(seed=1)
    unit = np.random.default_rng(2).integers(0, 30, 80)
    counts = np.random.default_rng(3).integers(0, 4, (30, 6)).astype(float)
    found = RegressionMetrics(target, prediction, unit)(counts)
    for r in range(6):
        place = np.repeat(np.arange(80), counts[unit, r].astype(int))
        for name, value in expected(target[place], prediction[place]).items():
            assert found[name][r] == pytest.approx(value, abs=1e-9), name


def test_a_prediction_that_is_off_by_a_constant_is_correlated_but_not_concordant():
    """Var 2, shift 2: CCC = 2 x 2 / (2 + 2 + 4) = 0.5 while Pearson is 1."""
    target = np.array([1.0, 2, 3, 4, 5])
    found = RegressionMetrics(target, target + 2, np.arange(5))(np.ones((5, 1)))
    assert found["pearson"][0] == pytest.approx(1) and found["ccc"][0] == pytest.approx(0.5)
    assert found["r2"][0] == pytest.approx(-1) and found["mae"][0] == pytest.approx(2)


@pytest.mark.parametrize("value", [0.1, 1e6 / 3])
def test_what_does_not_vary_has_no_correlation(value):
    rng = np.random.default_rng(0)
    constant = RegressionMetrics(rng.normal(size=9) + value, np.full(9, value), np.arange(9))(np.ones((9, 1)))
    assert np.isnan(constant["pearson"][0]) and np.isnan(constant["spearman"][0]) and constant["r2"][0] < 0.1
    assert np.isnan(RegressionMetrics(np.full(9, value), rng.normal(size=9), np.arange(9))(np.ones((9, 1)))["r2"][0])


def table(n=60):
    rng = np.random.default_rng(0)
    age = rng.normal(60, 12, n)
    parts = [
        pd.DataFrame({"sample_id": [f"s{i}" for i in range(n)], "modalities": subset, "target": age, "prediction": age + rng.normal(0, noise, n)})
        for subset, noise in (("image+text", 4), ("image", 6), ("text", 11))
    ]
    return pd.concat(parts, ignore_index=True)


def test_metrics_json_of_a_number():
    frame = table()
    found = score(frame, resamples=60)
    assert found["kind"] == "regression" and found["primary"] == "r2" and "threshold" not in found and "outputs" not in found
    full = frame[frame["modalities"] == "image+text"]
    assert found["test"]["image+text"]["r2"]["value"] == pytest.approx(r2_score(full["target"], full["prediction"]), abs=1e-9)
    entry = found["differences"]["offered"]["text"]
    assert set(entry) == {"r2", "mae", "rmse", "rows"} and entry["r2"]["low"] > 0 > entry["mae"]["high"]


def test_sites_have_the_metric_within_them():
    frame = table().assign(meta_site=["a", "b"] * 90)
    found = score(frame, resamples=20)
    own = [r2_score(p["target"], p["prediction"]) for _, p in frame[frame["modalities"] == "image"].groupby("meta_site")]
    assert found["test"]["image"]["r2_within_site"]["value"] == pytest.approx(np.mean(own), abs=1e-9)


@pytest.mark.parametrize(("column", "value"), [("target", np.nan), ("prediction", np.inf), ("prediction", "many")])
def test_what_is_not_finite_is_refused_by_row_and_column(column, value):
    frame = table().astype({column: object})
    frame.loc[1, column] = value
    with pytest.raises(InputError, match=f"row 2: {column}={value}; expected a finite number"):
        score(frame, resamples=5)


def test_one_target_for_all_is_refused():
    with pytest.raises(InputError, match="all 180 test rows have target 3; metrics need rows of different targets"):
        score(table().assign(target=3.0), resamples=5)
