"""Facts about curves of robustness and the section of metrics made from the tables of ``mmdx stress``."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from sklearn.metrics import roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation import score as scoring
from mmdx.evaluation.robustness import Curve, mean_over
from mmdx.evaluation.stress_section import stress


class Given:
    """A statistic with a given value whatever the weights."""

    def __init__(self, value):
        self.value = value

    def __call__(self, counts):
        return {"auroc": np.full(counts.shape[1], self.value)}


LF = [0.7786, 0.7740, 0.7685, 0.7661, 0.7646]
OTHER = [0.7812, 0.7778, 0.7701, 0.7655, 0.7603]


def test_relative_and_effective_robustness_are_multibenchs_areas():
    """By the formulas of MultiBench's eval_scripts/robustness.py: the trapezoidal area of f, and f against the late-fusion curve that is moved to
    f's start; ours are per unit of the sweep's width."""
    levels = np.linspace(0, 0.4, 5)
    curve = Curve(levels, [[Given(v)] for v in OTHER], ("auroc",), [[Given(v)] for v in LF])(np.ones((3, 2)))
    area = sum((OTHER[i] + OTHER[i + 1]) * 0.1 / 2 for i in range(4))
    assert curve["auroc|relative"] == pytest.approx([area / 0.4] * 2, abs=1e-12)
    gap = np.array(OTHER) - (np.array(LF) + (OTHER[0] - LF[0]))
    assert curve["auroc|effective"] == pytest.approx([sum((gap[i] + gap[i + 1]) * 0.1 / 2 for i in range(4)) / 0.4] * 2, abs=1e-12)


def test_a_straight_fall_has_its_middle_as_relative_robustness_and_against_itself_no_effective_one():
    levels = [0.0, 0.1, 0.5, 1.0]
    fall = [[Given(0.9 - 0.3 * t)] for t in levels]
    found = Curve(levels, fall, ("auroc",), fall)(np.ones((2, 1)))
    assert found["auroc|relative"][0] == pytest.approx(0.75, abs=1e-12) and found["auroc|effective"][0] == 0
    raised = Curve(levels, fall, ("auroc",), [[Given(0.5 - 0.3 * t)] for t in levels])(np.ones((2, 1)))
    assert raised["auroc|effective"][0] == pytest.approx(0, abs=1e-12)  # as good a start is not asked for, only as small a fall
    steep = Curve(levels, fall, ("auroc",), [[Given(0.9 - 0.5 * t)] for t in levels])(np.ones((2, 1)))
    assert steep["auroc|effective"][0] == pytest.approx(0.1, abs=1e-12)


def test_draws_are_averaged_and_one_level_has_no_area():
    found = Curve([0.0], [[Given(0.6), Given(0.8)]], ("auroc",))(np.ones((2, 1)))
    assert found == {"auroc|0": pytest.approx([0.7])}
    assert mean_over(np.array([0.0, 2.0]), np.array([[1.0], [3.0]]))[0] == 2


def folder_with(tmp_path, frame):
    """A folder whose missingness table has the frame's own predictions at rate 0 and ever more disturbed ones, and what the section makes of it."""
    clean = frame[(frame["split"] == "test") & (frame["modalities"] == "a+b") & (frame["ablation"] == "offered")]
    rng = np.random.default_rng(0)
    parts = []
    for pattern in ("every", "only_a"):
        for rate, size in ((0.0, 0.0), (0.5, 0.3), (1.0, 3.0)):
            for draw in range(2 if rate else 1):
                logit = np.log(clean["prob"] / (1 - clean["prob"])) + size * rng.normal(size=len(clean)) * 2
                present = clean["present"] if rate < 1 else "a"
                rows = clean.assign(prob=1 / (1 + np.exp(-logit)), present=present, trained="as trained")
                parts.append(rows.assign(pattern=pattern, rate=rate, draw=draw))
    table = pd.concat(parts).sample(frac=1, random_state=0)  # the order of the rows is of no account
    (tmp_path / "stress").mkdir(exist_ok=True)
    table.to_parquet(tmp_path / "stress" / "missingness.parquet")
    noise = pd.concat([clean.assign(modality="a", noise="gaussian", level=level, prob=clean["prob"] ** (1 + level)) for level in (0.0, 1.0)])
    noise.to_parquet(tmp_path / "stress" / "noise.parquet")
    return table


def section(frame, folder, resamples=40):
    metrics = scoring.score(frame, resamples=resamples)
    return stress(scoring.prepared(frame, resamples=resamples)[0], folder), metrics


def test_the_section_measures_each_pattern_and_rate(tmp_path):
    frame = made(100, modalities=("a", "b"))
    table = folder_with(tmp_path, frame)
    found, metrics = section(frame, tmp_path)
    points = {(p["pattern"], p["rate"]): p for p in found["missingness"]}
    assert set(points) == {(pattern, rate) for pattern in ("every", "only_a") for rate in (0.0, 0.5, 1.0)}
    for name in ("auroc", "brier", "sensitivity", "specificity"):  # the clean point is the run's own
        own, clean = metrics["test"]["a+b"][name], points["every", 0.0][name]
        assert clean["value"] == pytest.approx(own["value"], abs=1e-12) and clean["n"] == own["n"] and clean["method"] == "bca"
    rows = table[(table["pattern"] == "every") & (table["rate"] == 0.5)]
    by_draw = [roc_auc_score(part["target"], part["prob"]) for _, part in rows.groupby("draw")]
    assert points["every", 0.5]["auroc"]["value"] == pytest.approx(np.mean(by_draw), abs=1e-12) and points["every", 0.5]["draws"] == 2
    assert points["every", 1.0]["absent"] == pytest.approx(0.5) and points["every", 0.0]["absent"] == 0
    curve = [points["every", rate]["auroc"]["value"] for rate in (0.0, 0.5, 1.0)]
    relative = found["robustness"]["every"]["relative"]
    assert relative["value"] == pytest.approx((curve[0] + 2 * curve[1] + curve[2]) / 4, abs=1e-12)
    assert relative["low"] < relative["value"] < relative["high"] and "effective" not in found["robustness"]["every"]
    same = [p["auroc"]["value"] for p in found["noise"]]  # a monotone change of the probabilities leaves the order
    assert same[0] == same[1] and found["robustness"]["a"]["relative"]["value"] == same[0]


def test_a_baseline_gives_effective_robustness_and_the_run_itself_has_none(tmp_path):
    frame = made(100, modalities=("a", "b"))
    table = folder_with(tmp_path, frame)
    table.to_parquet(tmp_path / "stress" / "baseline_missingness.parquet")
    found, _ = section(frame, tmp_path)
    assert found["robustness"]["every"]["effective"]["value"] == 0
    flat = table.merge(table.loc[(table["rate"] == 0) & (table["pattern"] == "every"), ["sample_id", "prob"]], on="sample_id", suffixes=("_", ""))
    flat.drop(columns="prob_").to_parquet(tmp_path / "stress" / "baseline_missingness.parquet")
    assert section(frame, tmp_path)[0]["robustness"]["every"]["effective"]["value"] < 0  # the baseline doesn't fall at all


def test_several_seeds_and_folds_are_matched(tmp_path):
    frame = made(80, modalities=("a", "b"), seeds=2, folds=2)
    folder_with(tmp_path, frame)
    found, metrics = section(frame, tmp_path)
    assert found["missingness"][0]["auroc"]["value"] == pytest.approx(metrics["test"]["a+b"]["auroc"]["value"], abs=1e-12)
    assert found["missingness"][0]["auroc"]["seeds"] == 2


def test_tables_of_other_rows_are_told_and_broken_ones_refused(tmp_path):
    frame = made(100, modalities=("a", "b"))
    assert section(frame, tmp_path)[0] is None and section(frame, None)[0] is None
    table = folder_with(tmp_path, frame)
    table[table["sample_id"] != "test-3"].to_parquet(tmp_path / "stress" / "missingness.parquet")
    found, _ = section(frame, tmp_path)
    assert "missingness" not in found and "run mmdx stress again" in found["reason"] and found["noise"]
    (tmp_path / "stress" / "noise.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"noise\.parquet: cannot be read"):
        section(frame, tmp_path)
