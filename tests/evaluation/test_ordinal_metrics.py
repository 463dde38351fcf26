"""Facts about the metrics of ordered classes; the references are scikit-learn and statsmodels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, mean_absolute_error, roc_auc_score
from statsmodels.stats.inter_rater import cohens_kappa

from mmdx.errors import InputError
from mmdx.evaluation.ordinal_metrics import OrdinalMetrics
from mmdx.evaluation.score import score, score_folder


def drawn(n=90, levels=4, seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, levels, n)
    distance = np.arange(levels) - target[:, None] - rng.normal(size=(n, 1))
    prob = np.exp(-(distance**2) / 2)
    return target, prob / prob.sum(axis=1, keepdims=True)


def expected(target, prob):
    guess, levels = prob.argmax(axis=1), prob.shape[1]
    below, truth = prob.cumsum(axis=1)[:, :-1], target[:, None] <= np.arange(levels - 1)
    return {
        "qwk": cohen_kappa_score(target, guess, weights="quadratic"),
        "auroc": np.mean([roc_auc_score(target > k, prob[:, k + 1 :].sum(axis=1)) for k in range(levels - 1)]),
        "mae": mean_absolute_error(target, guess),
        "accuracy": accuracy_score(target, guess),
        "balanced_accuracy": balanced_accuracy_score(target, guess),
        "rps": ((below - truth) ** 2).sum(axis=1).mean() / (levels - 1),
    }


def test_every_metric_is_that_of_scikit_learn():
    target, prob = drawn()
    found = OrdinalMetrics(target, prob, np.arange(90))(np.ones((90, 1)))
    for name, value in expected(target, prob).items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name


def test_a_weight_counts_a_row_that_often():
    target, prob = drawn(seed=1)
    unit = np.random.default_rng(2).integers(0, 40, 90)
    counts = np.random.default_rng(3).integers(1, 4, (40, 5)).astype(float)
    found = OrdinalMetrics(target, prob, unit)(counts)
    for r in range(5):
        place = np.repeat(np.arange(90), counts[unit, r].astype(int))
        for name, value in expected(target[place], prob[place]).items():
            assert found[name][r] == pytest.approx(value, abs=1e-12), name


def test_kappa_is_that_of_statsmodels_from_the_table():
    target, prob = drawn(seed=4)
    table = np.zeros((4, 4))
    np.add.at(table, (target, prob.argmax(axis=1)), 1)
    found = OrdinalMetrics(target, prob, np.arange(90))(np.ones((90, 1)))["qwk"][0]
    assert found == pytest.approx(cohens_kappa(table, weights=np.arange(4), wt="quadratic").kappa, abs=1e-12)


def test_ranked_probability_score_of_a_forecast_by_hand():
    """Three levels, the highest true, forecast (0.2, 0.5, 0.3): (0.2^2 + 0.7^2) / 2 = 0.265; sure of the lowest: (1 + 1) / 2."""
    prob = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    found = [OrdinalMetrics(np.array([2]), prob[i : i + 1], np.zeros(1, int))(np.ones((1, 1)))["rps"][0] for i in (0, 1)]
    assert found == pytest.approx([0.265, 1.0])


def test_two_levels_are_a_binary_target():
    target, prob = drawn(levels=2)
    found = OrdinalMetrics(target, prob, np.arange(90))(np.ones((90, 1)))
    assert found["auroc"][0] == pytest.approx(roc_auc_score(target, prob[:, 1]))
    assert found["rps"][0] == pytest.approx(((prob[:, 1] - target) ** 2).mean())


def table(n=80):
    parts = []
    for seed, subset in enumerate(("image+text", "image", "text")):
        target, prob = drawn(n, seed=0)
        noisy = prob + seed * np.random.default_rng(seed).random(prob.shape)
        prob = noisy / noisy.sum(axis=1, keepdims=True)
        names = ["none", "mild", "moderate", "severe"]
        columns = {"sample_id": [f"s{i}" for i in range(n)], "modalities": subset, "target": [names[k] for k in target]}
        parts.append(pd.DataFrame(columns | {f"prob_{name}": prob[:, k] for k, name in enumerate(names)}))
    return pd.concat(parts, ignore_index=True)


def test_the_order_of_the_classes_is_that_of_the_columns():
    frame = table()
    found = score(frame, kind="ordinal", resamples=40)
    assert found["kind"] == "ordinal" and found["primary"] == "qwk" and found["outputs"] == ["none", "mild", "moderate", "severe"]
    target, prob = drawn(80, seed=0)
    assert found["test"]["image+text"]["qwk"]["value"] == pytest.approx(expected(target, prob)["qwk"], abs=1e-12)
    turned = frame[["sample_id", "modalities", "target", "prob_mild", "prob_none", "prob_moderate", "prob_severe"]]
    other = score(turned, kind="ordinal", resamples=40)["test"]["image+text"]
    assert other["qwk"]["value"] != found["test"]["image+text"]["qwk"]["value"]
    assert other["accuracy"]["value"] == found["test"]["image+text"]["accuracy"]["value"]
    assert set(found["differences"]["offered"]["text"]) == {"qwk", "auroc", "mae", "rps", "rows"}


def test_a_folder_keeps_its_kind(tmp_path):
    table(30).to_parquet(tmp_path / "predictions.parquet")
    assert score_folder(tmp_path, resamples=5)["kind"] == "multiclass"
    first = score_folder(tmp_path, kind="ordinal", resamples=5)
    assert first["settings"]["kind"] == "ordinal" and score_folder(tmp_path) == first


@pytest.mark.parametrize(("kind", "words"), [("survival", "the columns are those of kind multiclass"), ("ranked", "kind=ranked: must be one of")])
def test_a_kind_that_the_columns_are_not_is_refused(kind, words):
    with pytest.raises(InputError, match=words):
        score(table(20), kind=kind, resamples=5)
