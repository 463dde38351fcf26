"""Facts about the metrics of survival; the reference is scikit-survival."""

import time as clock

import numpy as np
import pandas as pd
import pytest
from sksurv.metrics import brier_score, concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc, integrated_brier_score
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from mmdx.errors import InputError
from mmdx.evaluation.censoring import CensoringDistribution
from mmdx.evaluation.score import score
from mmdx.evaluation.survival_metrics import SurvivalMetrics, concordance_index

AT = np.array([1.0, 2.0, 4.0])


def drawn(n, seed=0, rounded=True, effect=1.0):
    """Time, event, risk and survival at AT; rounded times and risks have many ties."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    event_time, censored = rng.exponential(3 * np.exp(-effect * risk)), rng.exponential(4.0, n)
    time = np.minimum(np.minimum(event_time, censored), 8.0)
    seen = risk + rng.normal(scale=0.5, size=n)
    if rounded:
        time, seen = np.ceil(time * 4) / 4, np.round(seen, 1)
    return time, (event_time <= censored) & (event_time < 8), seen, np.exp(-np.outer(np.exp(0.8 * seen), AT / 3))


def statistic(rows, train, unit=None):
    time, event, risk, survival = rows
    left = CensoringDistribution(train[0], train[1])
    return SurvivalMetrics(
        time, event, risk, np.arange(len(time)) if unit is None else unit, left(time), {f"{t:g}": t for t in AT}, survival, left(AT)
    )


def values(made, counts):
    return {name: v[0] for name, v in made(np.asarray(counts, float)[:, None]).items()}


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_metric_is_that_of_scikit_survival(seed, rounded):
    train, rows = drawn(300, 100 + seed, rounded), drawn(200, seed, rounded)
    time, event, risk, survival = rows
    found = values(statistic(rows, train), np.ones(200))
    past, now = Surv.from_arrays(train[1], train[0]), Surv.from_arrays(event, np.minimum(time, train[0].max() - 1e-9 if not rounded else time))
    auroc, mean = cumulative_dynamic_auc(past, now, 1 - survival, AT)
    expected = {
        "c_index": concordance_index_censored(event, time, risk)[0],
        "c_index_uno": concordance_index_ipcw(past, now, risk, tau=AT[-1])[0],
        "auroc_td": mean,
        "integrated_brier": integrated_brier_score(past, now, survival, AT),
        **dict(zip(["auroc_1", "auroc_2", "auroc_4"], auroc, strict=True)),
        **dict(zip(["brier_1", "brier_2", "brier_4"], brier_score(past, now, survival, AT)[1], strict=True)),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_a_weight_counts_a_row_that_often():
    """Against scikit-survival on the rows written out, patients having several rows."""
    train, rows = drawn(300, 7), drawn(120, 8)
    unit = np.random.default_rng(0).integers(0, 40, 120)
    unit = np.unique(unit, return_inverse=True)[1]
    counts = np.random.default_rng(1).integers(0, 4, (unit.max() + 1, 5)).astype(float)
    found = statistic(rows, train, unit)(counts)
    past = Surv.from_arrays(train[1], train[0])
    for r in range(counts.shape[1]):
        place = np.repeat(np.arange(120), counts[unit, r].astype(int))
        time, event, risk, survival = (column[place] for column in rows)
        now = Surv.from_arrays(event, time)
        auroc, mean = cumulative_dynamic_auc(past, now, 1 - survival, AT)
        assert found["c_index"][r] == pytest.approx(concordance_index_censored(event, time, risk)[0], abs=1e-9)
        assert found["c_index_uno"][r] == pytest.approx(concordance_index_ipcw(past, now, risk, tau=4.0)[0], abs=1e-9)
        assert found["auroc_td"][r] == pytest.approx(mean, abs=1e-9) and found["auroc_2"][r] == pytest.approx(auroc[1], abs=1e-9)
        assert found["integrated_brier"][r] == pytest.approx(integrated_brier_score(past, now, survival, AT), abs=1e-9)


def test_the_censoring_distribution_is_that_of_scikit_survival():
    time, event, _, _ = drawn(200, 3)
    reference = CensoringDistributionEstimator().fit(Surv.from_arrays(event, time))
    at = np.unique(time)
    np.testing.assert_allclose(CensoringDistribution(time, event)(at), reference.predict_proba(at), atol=1e-12)


def test_five_patients_by_hand():
    """Comparable: (1, all others), (3, 5), (4, 5) by number; 1 and 2 are in the wrong order, and 4 and 5 have equal risks: 4.5 of 6."""
    time, event = np.array([1.0, 2.0, 3.0, 3.0, 5.0]), np.array([True, False, True, True, False])
    assert concordance_index(time, event, np.array([3.0, 4.0, 2.0, 1.0, 1.0])) == pytest.approx(4.5 / 6)


def test_at_equal_times_the_one_censored_lived_longer():
    assert concordance_index(np.array([2.0, 2.0]), np.array([True, False]), np.array([1.0, 0.0])) == 1.0
    assert np.isnan(concordance_index(np.array([2.0, 2.0]), np.array([True, True]), np.array([1.0, 0.0])))


def test_the_true_model_has_the_brier_score_of_its_own_uncertainty():
    """Without censoring, of n samples with S(T) known: E Brier(T) = mean S (1 - S)."""
    rng = np.random.default_rng(0)
    risk = rng.normal(size=20_000)
    time = rng.exponential(np.exp(-risk))
    survival = np.exp(-np.outer(np.exp(risk), AT))
    event = np.ones(20_000, bool)
    found = values(statistic((time, event, risk, survival), (time, event)), np.ones(20_000))
    assert found["brier_1"] == pytest.approx((survival[:, 0] * (1 - survival[:, 0])).mean(), abs=0.004)


def test_100_000_rows_take_seconds_for_eight_weightings():
    rows = drawn(100_000, rounded=False)
    started = clock.monotonic()
    made = statistic(rows, rows)
    made(np.random.default_rng(0).integers(0, 3, (100_000, 8)).astype(float))
    assert clock.monotonic() - started < 8


def table(n=150, seed=0, splits=("train", "val", "test"), horizons=True):
    parts = []
    for k, split in enumerate(splits):
        time, event, risk, survival = drawn(n, seed + k, rounded=False)
        at = {f"survival_{t:g}": survival[:, i] for i, t in enumerate(AT)} if horizons else {}
        for subset, noise in (("image+text", 0.0), ("image", 0.7), ("text", 2.0)):
            shown = risk + noise * np.random.default_rng(9 + k).normal(size=n)
            ids = [f"{split}{i}" for i in range(n)]
            columns = {"sample_id": ids, "split": split, "modalities": subset, "time": time, "event": event.astype(int), "risk": shown}
            parts.append(pd.DataFrame(columns | at))
    return pd.concat(parts, ignore_index=True)


def test_metrics_json_of_survival():
    frame = table()
    found = score(frame, resamples=50)
    full, test = found["test"]["image+text"], frame[(frame["split"] == "test") & (frame["modalities"] == "image+text")]
    assert found["kind"] == "survival" and found["primary"] == "c_index" and found["horizons"] == {"1": 1.0, "2": 2.0, "4": 4.0}
    assert found["censoring"]["source"] == "training rows" and "threshold" not in found and "outputs" not in found
    assert full["c_index"]["value"] == pytest.approx(concordance_index_censored(test["event"] == 1, test["time"], test["risk"])[0], abs=1e-9)
    assert full["c_index"]["low"] < full["c_index"]["value"] < full["c_index"]["high"] and full["auroc_2"]["method"]
    difference = found["differences"]["offered"]["text"]
    assert set(difference) == {"c_index", "c_index_uno", "auroc_td", "integrated_brier", "rows"}
    assert difference["c_index"]["value"] == pytest.approx(full["c_index"]["value"] - found["test"]["image"]["c_index"]["value"])
    assert difference["c_index"]["low"] < difference["c_index"]["value"] < difference["c_index"]["high"]


@pytest.mark.parametrize(("splits", "source"), [(("val", "test"), "validation rows"), (("test",), "test rows")])
def test_the_censoring_distribution_says_where_it_comes_from(splits, source):
    assert score(table(60, splits=splits), resamples=5)["censoring"]["source"] == source


def test_without_horizons_there_is_concordance_alone():
    entries = score(table(80, horizons=False), resamples=5)["test"]["image"]
    assert entries["c_index"]["value"] and entries["c_index_uno"]["value"] and entries["auroc_td"]["value"] is None


def test_a_horizon_beyond_the_follow_up_is_left_out_with_a_reason():
    frame = table(80)
    entries = score(frame.assign(survival_99=0.0), resamples=5)["test"]["image"]
    assert entries["auroc_99"]["value"] is None and "too short a time" in entries["auroc_99"]["reason"]
    assert entries["auroc_td"]["value"] == score(frame, resamples=5)["test"]["image"]["auroc_td"]["value"]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("time", -1.0, "row 1: time=-1.0; expected a time of 0 or more"),
        ("event", 2, "row 1: event=2; expected 1 where"),
        ("event", np.nan, "row 1: event=nan; expected 1 where"),
        ("risk", np.inf, "row 1: risk=inf; expected a finite number"),
        ("survival_1", 1.2, "row 1: survival_1=1.2; expected a probability"),
        ("survival_1", 0.0, "row 1: survival_1=0 and survival_2=.*cannot rise"),
    ],
)
def test_what_cannot_be_is_refused_by_row_and_column(column, value, words):
    frame = table(40)
    frame[column] = frame[column].astype(float if column != "event" else object)
    frame.loc[0, column] = value
    with pytest.raises(InputError, match=words):
        score(frame, resamples=5)


def test_nobody_with_the_event_is_refused():
    frame = table(40)
    frame["event"] = 0
    with pytest.raises(InputError, match="none of the 120 test rows has event=1"):
        score(frame, resamples=5)
    with pytest.raises(InputError, match="column survival_soon: what follows survival_ must be a time"):
        score(table(40).assign(survival_soon=0.5), resamples=5)
