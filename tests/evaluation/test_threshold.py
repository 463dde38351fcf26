"""Facts about the decision threshold: where it comes from, and the rule for ties."""

import numpy as np
import pytest
from made_predictions import made
from sklearn.metrics import roc_curve

from mmdx.evaluation.predictions import checked
from mmdx.evaluation.threshold import thresholds, youden_threshold


def test_it_is_the_middle_of_the_best_interval():
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9]) == pytest.approx(0.5)


def test_of_equally_good_intervals_the_widest_then_the_lowest_is_taken():
    # J = 1/2 between 0.1 and 0.2 and between 0.3 and 0.6
    assert youden_threshold([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.6]) == pytest.approx(0.45)
    assert youden_threshold([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8]) == pytest.approx(0.25)


def test_no_threshold_has_a_larger_youden_index():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 300)
    prob = np.clip(0.2 * target + 0.8 * rng.random(300), 0, 1).round(2)
    alarms, hits, _ = roc_curve(target, prob, drop_intermediate=False)
    called = prob >= youden_threshold(target, prob)
    assert called[target == 1].mean() - called[target == 0].mean() == pytest.approx((hits - alarms).max())


def test_a_threshold_between_neighbouring_floats_still_parts_them():
    low = 0.3
    high = np.nextafter(low, 1)
    assert low < youden_threshold([0, 1], [low, high]) <= high


def test_one_class_gives_none():
    assert youden_threshold([1, 1], [0.2, 0.8]) is None


def test_each_model_and_subset_has_its_own():
    frame = checked(made(folds=3, seeds=2, retrained=True))
    found = thresholds(frame, [""])
    assert len(found) == 2 * 3 * 2 * 3 and set(found["source"]) == {"validation"}
    one = found.iloc[0]
    rows = frame[(frame["split"] == "val") & np.all([frame[k] == one[k] for k in ("ablation", "modalities", "seed", "fold")], axis=0)]
    assert one["threshold"] == youden_threshold(rows["target"], rows["prob"]) and one["n"] == len(rows)


def test_test_rows_play_no_part():
    frame = made()
    turned = frame.assign(target=np.where(frame["split"] == "test", 1 - frame["target"], frame["target"]))
    assert thresholds(checked(frame), [""]).equals(thresholds(checked(turned), [""]))


def test_without_validation_rows_it_is_one_half():
    found = thresholds(checked(made(validation=False)), [""])
    assert set(found["threshold"]) == {0.5} and set(found["source"]) == {"fixed 0.5"}
