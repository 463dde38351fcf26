"""The summary says what the intervals say, and no more."""

import pandas as pd
import pytest

from mmdx.report.chapters import summary
from mmdx.report.run_folder import RunFolder


def entry(low, value, high, **more):
    return {"value": value, "low": low, "high": high, "n": 412, "unit": "patient", "n_units": 398, "method": "bca"} | more


def run(**sections):
    metrics = {"kind": "binary", "full": "image+text", "unit": "patient", "threshold": {"source": "validation"}}
    metrics["test"] = {"image+text": {"auroc": entry(0.82, 0.87, 0.91), "sensitivity": entry(0.7, 0.8, 0.9), "specificity": entry(0.6, 0.7, 0.8)}}
    return RunFolder(path=None, metrics=metrics | sections, predictions=pd.DataFrame())


def told(**sections):
    found = run(**sections)
    blocks = summary.chapter(found).blocks
    points = [s for block in blocks if block.kind == "points" for _, sentences in block.items for s in sentences]
    warned = [item for block in blocks if block.kind == "warnings" for item in block.items]
    return " ".join(points), " ".join(warned)


def test_the_score_with_interval_and_unit():
    text, warned = told()
    assert text.startswith("The model with image and text reaches an AUROC of 0.87 (95 % interval 0.82 to 0.91; 398 patients).")
    assert "At the threshold chosen on validation rows it finds 80 % (95 % interval 70 to 90) of the positive rows" in text
    assert warned == ""


def test_no_better_than_chance_is_said():
    test = {"image+text": {"auroc": entry(0.45, 0.55, 0.64)}}
    assert "the interval includes 0.50, so the data do not show that it is better than chance" in told(test=test)[0]
    test = {"image+text": {"auroc": entry(0.31, 0.4, 0.48)}}
    assert "that is worse than chance" in told(test=test)[0]


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((0.01, 0.05, 0.09), "the data show a gain"),
        ((-0.02, 0.02, 0.06), "the interval includes zero: the data do not show that it helps"),
        ((-0.09, -0.05, -0.01), "the data show a loss"),
        ((None, 0.05, None), "there is no interval to judge it by"),
    ],
)
def test_what_adding_a_modality_does(interval, says):
    text, _ = told(differences={"retrained": {"text": {"auroc": entry(*interval)}}})
    assert "Adding text to a model trained without it changes the AUROC by" in text
    assert says in text


def test_offered_is_another_question():
    differences = {"offered": {"text": {"auroc": entry(0.01, 0.05, 0.09)}, "image": {"auroc": entry(-0.01, 0.0, 0.02)}}}
    text, _ = told(differences=differences)
    assert "Compared with not being shown it, the one model is better with text (AUROC +0.05; 95 % interval +0.01 to +0.09; 398 patients)." in text
    assert "The data do not show that the one model gains from being shown image (AUROC 0.00; 95 % interval −0.01 to +0.02; 398 patients)" in text
    assert "Adding" not in text


def test_an_interval_without_width_shows_nothing():
    same = entry(0.05, 0.05, 0.05, reason="all units or resamples gave the same value, so the interval says nothing")
    text, _ = told(differences={"retrained": {"text": {"auroc": same}}, "offered": {"image": {"auroc": same}}})
    assert "+0.05 (no interval: all resamples agree; 398 patients); there is no interval to judge it by." in text
    assert "There is no interval to judge by what the one model gains from being shown image (AUROC +0.05; no interval: all resamples agree)." in text
    text, _ = told(test={"image+text": {"auroc": entry(1.0, 1.0, 1.0), "sensitivity": entry(1, 1, 1), "specificity": entry(0.6, 0.7, 0.8)}})
    assert "an AUROC of 1.00 (no interval: all resamples agree; 398 patients)." in text
    assert "it finds 100 % (no interval: all resamples agree) of the positive rows" in text
    text, _ = told(calibration={"": {"entries": {"slope": entry(0.7, 0.7, 0.7), "intercept": entry(0.2, 0.2, 0.2)}}})
    assert "Whether the probabilities are too extreme cannot be judged (slope 0.70, no interval: all resamples agree)." in text
    assert "on average" not in text


def test_the_reason_of_an_interval_is_told():
    limit = entry(0.93, 1.0, 1.0, reason="nothing varies at this value; the limit is that of pairs")
    text, _ = told(test={"image+text": {"auroc": limit}})
    assert "1.00 (95 % interval 0.93 to 1.00, though nothing varies at this value; the limit is that of pairs; 398 patients)" in text


def test_where_fusion_hurts_names_the_modality_and_the_rows():
    harm = {"n": 300, "best": [{"modality": "image"}], "entries": {"harmed": entry(0.04, 0.07, 0.1), "helped": entry(0.1, 0.14, 0.18)}}
    text, _ = told(modality_value={"harm": harm})
    assert "In 7 % (95 % interval 4 to 10) of 412 rows the best single modality, image, is right where all together are wrong;" in text
    harm["best"].append({"modality": "text"})
    assert "the best single modality, image or text by fold and seed, is right" in told(modality_value={"harm": harm})[0]


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((0.55, 0.7, 0.86), "The probabilities are too extreme (slope 0.70, 95 % interval 0.55 to 0.86)."),
        ((0.8, 0.95, 1.1), "The data do not show that the probabilities are too extreme or too close to the middle"),
        ((1.1, 1.3, 1.5), "The probabilities are too close to the middle (slope 1.30"),
    ],
)
def test_what_the_slope_says(interval, says):
    assert says in told(calibration={"": {"entries": {"slope": entry(*interval)}}})[0]


def test_an_intercept_is_told_only_where_its_interval_excludes_zero():
    slope = entry(0.9, 1.0, 1.1)
    assert "too high on average" in told(calibration={"": {"entries": {"slope": slope, "intercept": entry(-0.5, -0.3, -0.1)}}})[0]
    assert "on average" not in told(calibration={"": {"entries": {"slope": slope, "intercept": entry(-0.5, -0.3, 0.1)}}})[0]


def group_columns(p_adjusted):
    gap = entry(0.05, 0.21, 0.36, p=0.004, p_adjusted=p_adjusted, between=["south", "north"])
    groups = {"north": {"n": 200, "n_units": 190, "entries": {}}, "harbour": {"n": 9, "n_units": 7, "too_small": True}}
    columns = {"site": {"groups": groups, "gaps": {"tpr_gap": gap}, "left_out": ["harbour"]}}
    return {"minimum": 20, "tests": 24, "correction": "holm", "columns": columns}


def test_gaps_are_judged_by_the_adjusted_p():
    text, _ = told(groups=group_columns(0.03))
    expected = "sensitivity gap by site, south against north: 0.21 (95 % interval 0.05 to 0.36; adjusted p = 0.030)."
    assert f"The largest gap that holds after correction for 24 tests is the {expected}" in text
    text, _ = told(groups=group_columns(0.2))
    assert "No gap between groups holds after correction for 24 tests, which does not show that there is none." in text
    assert f"The strongest sign is the {expected[:50]}" in text
    assert "Groups too small to judge: site harbour (7)." in text


def test_coverage_below_what_was_asked_is_said():
    section = {"alpha": 0.1, "methods": {"split": {"entries": {"coverage": entry(0.78, 0.82, 0.86)}}}}
    assert "less than asked for" in told(conformal=section)[0]
    section["methods"]["split"]["entries"]["coverage"] = entry(0.87, 0.9, 0.93)
    assert "hold it in 90 % (95 % interval 87 to 93)." in told(conformal=section)[0]


def test_warnings():
    assert "each recording counts as independent" in told(unit="recording")[1]
    small = {"image+text": {"auroc": entry(0.6, 0.8, 0.95, n_units=40)}}
    assert "The test part is small (40 patients)" in told(test=small)[1]
    assert "the decision threshold is 0.5 and was not chosen" in told(threshold={"source": "fixed 0.5"})[1]


def test_patients_on_both_sides_and_leaks_are_warned_of():
    found = run()
    folds = pd.DataFrame({"fold": "a", "part": ["train", "test", "test"], "patient_id": ["p", "p", "q"], "sample_id": ["1", "2", "3"]})
    leak = [{"feature": "note", "verdict": "leak"}]
    warned = " ".join(summary.warnings(RunFolder(None, found.metrics, found.predictions, folds=folds, leakage=leak)))
    assert "in the test part of a fold: 1 patient. The scores may be too good." in warned
    assert "The data audit calls note a leak" in warned
