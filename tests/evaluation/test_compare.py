"""Runs against each other: only common rows count, the sign and the tests are right, and wrong pairings are refused."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from sklearn.metrics import roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation.compare import compare, named
from mmdx.evaluation.comparison_table import latex, markdown


def noisier(frame, scale, seed=1):
    noise = np.random.default_rng(seed).normal(scale=scale, size=len(frame))
    return frame.assign(prob=1 / (1 + np.exp(-(np.log(frame["prob"] / (1 - frame["prob"])) + noise))))


@pytest.fixture
def folder_of(tmp_path):
    def write(name, frame):
        (tmp_path / name).mkdir()
        frame.to_parquet(tmp_path / name / "predictions.parquet", index=False)
        return tmp_path / name

    return write


def test_the_difference_is_first_minus_second_on_common_rows(folder_of):
    good = made(n=300)
    bad = noisier(good, 3.0)
    kept = bad[~bad["sample_id"].isin([f"test-{i}" for i in range(50)])]
    found = compare({"good": folder_of("good", good), "bad": folder_of("bad", kept)}, resamples=400)
    rows = [f[(f["split"] == "test") & (f["modalities"] == "image+text") & f["sample_id"].isin(kept["sample_id"])] for f in (good, bad)]
    expected = [roc_auc_score(f["target"], f["prob"]) for f in rows]
    assert found["n"] == 250 and [run["left_out"] for run in found["runs"]] == [50, 0]
    assert [run["auroc"]["value"] for run in found["runs"]] == pytest.approx(expected, abs=1e-12)
    pair = found["pairs"][0]
    assert pair["difference"]["value"] == pytest.approx(expected[0] - expected[1], abs=1e-12)
    assert pair["test"] == "delong" and pair["significant"] and pair["tests"]["bootstrap"]["p"] < 0.05
    told = markdown(found)
    assert "| good | image+text |" in told and "| bad |" in told.split("| good |")[1] and "50 samples of good" in told
    assert r"Difference from good" in latex(found)


def test_a_run_and_itself_do_not_differ(folder_of):
    frame = made(n=100)
    pair = compare({"a": folder_of("a", frame), "b": folder_of("b", frame)}, resamples=200)["pairs"][0]
    assert pair["difference"]["value"] == 0 and pair["p"] == 1 and not pair["significant"]


def test_folds_bring_the_corrected_t_and_ranks(folder_of):
    frame = made(n=400, folds=5, seeds=2)
    runs = {name: folder_of(name, noisier(frame, scale)) for name, scale in (("a", 0.01), ("b", 0.02), ("c", 4.0))}
    found = compare(runs, resamples=200)
    ratio = found["pairs"][0]["tests"]["corrected_t"]["ratio"]
    assert ratio == pytest.approx(np.mean([1 / 9] * 5), abs=0.03)  # a fifth of the 400 tested, the rest of the 800 samples trained on
    assert {pair["test"] for pair in found["pairs"]} == {"corrected_t"} and len(found["ranks"]["p_pairs"]) == 3
    assert found["ranks"]["mean_rank"]["c"] == 3
    by_pair = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    assert by_pair["a", "c"]["significant"] and not by_pair["a", "b"]["significant"]


def test_a_smaller_brier_score_is_better(folder_of):
    frame = made(n=300)
    found = compare({"bad": folder_of("bad", noisier(frame, 3.0)), "good": folder_of("good", frame)}, metric="brier", resamples=300)
    assert found["pairs"][0]["difference"]["value"] > 0 and found["pairs"][0]["test"] == "bootstrap"
    assert "| good | image+text |" in markdown(found) and markdown(found).split("| good |")[1].split("\n")[0].endswith("| bad |")


def test_names_come_from_the_folders(tmp_path):
    paths = [tmp_path / "gated" / "one", tmp_path / "late" / "one"]
    for path in paths:
        path.mkdir(parents=True)
    assert list(named([str(p) for p in paths])) == ["gated/one", "late/one"]
    assert list(named([f"x={paths[0]}", str(paths[1])])) == ["x", "one"] or list(named([f"x={paths[0]}", str(paths[1])])) == ["x", "late/one"]
    with pytest.raises(InputError, match="two runs are called 'x'"):
        named([f"x={paths[0]}", f"x={paths[1]}"])


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda f: f.assign(sample_id="other-" + f["sample_id"]), {}, "no test row is common"),
        (lambda f: f.assign(target=1 - f["target"]), {}, "has another target"),
        (lambda f: f, {"metric": "f1"}, "no such metric"),
        (lambda f: f, {"modalities": "image+sound"}, "has no offered test rows of 'image"),
        (lambda f: f, {"test": "corrected_t"}, "needs two or more folds"),
        (lambda f: f.rename(columns={"target": "target_x", "prob": "prob_x"}), {}, "only like can be compared with like"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(folder_of, change, options, words):
    frame = made(n=80).drop(columns="oracle")
    runs = {"a": folder_of("a", frame), "b": folder_of("b", change(frame))}
    with pytest.raises(InputError, match=words) as told:
        compare(runs, resamples=100, **options)
    assert "\n" not in str(told.value)


def test_the_command_writes_json_markdown_and_latex(folder_of, tmp_path):
    frame = made(n=200, folds=4)
    runs = [folder_of(name, noisier(frame, scale)) for name, scale in (("a_1", 0.1), ("b&c", 1.0), ("d", 4.0))]
    code = f"import sys; sys.argv = ['mmdx', 'compare', *{[str(r) for r in runs]!r}, '--out', {str(tmp_path / 'out')!r}, '--resamples', '200']"
    done = subprocess.run([sys.executable, "-c", code + "; from mmdx.cli import main; main()"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"comparison.json", "comparison.md", "comparison.tex", "ranks.svg", "ranks.png"}
    assert r"a\_1" in (tmp_path / "out" / "comparison.tex").read_text() and r"b\&c" in (tmp_path / "out" / "comparison.tex").read_text()
    assert pd.read_json(tmp_path / "out" / "comparison.json", typ="series")["n"] == 200


def test_folds_of_different_splits_are_not_the_same_folds(folder_of):
    frame = made(n=200, folds=4)
    other = noisier(frame, 1.0)
    other["fold"] = other["sample_id"].map({s: f"fold{i % 4}" for i, s in enumerate(sorted(other["sample_id"].unique()))})
    found = compare({"a": folder_of("a", frame), "b": folder_of("b", other)}, resamples=100)
    assert found["n"] == 200 and not found["same_folds"] and found["pairs"][0]["test"] == "delong"


def test_what_the_table_shows_of_folds_fits_together(folder_of):
    frame = made(n=200, folds=4)
    found = compare({"a": folder_of("a", frame), "b": folder_of("b", noisier(frame, 2.0))}, resamples=100)
    means = [run["mean_over_folds"]["value"] for run in found["runs"]]
    assert found["pairs"][0]["shown"]["value"] == pytest.approx(means[0] - means[1], abs=1e-12)
    assert f"{means[0]:.3f}" in markdown(found) and [run["left_out"] for run in found["runs"]] == [0, 0]


def test_less_is_better_of_a_labels_brier_score_too(folder_of):
    frame = made(n=300).drop(columns="oracle")
    bad = noisier(frame, 3.0)
    runs = {n: folder_of(n, f.rename(columns={"target": "target_x", "prob": "prob_x"})) for n, f in (("good", frame), ("bad", bad))}
    found = compare(runs, metric="brier_x", resamples=100)
    assert not found["higher_is_better"] and markdown(found).split("| good |")[1].split("\n")[0].endswith("| bad |")
