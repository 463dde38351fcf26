"""What the report says of classes with an order, numbers and times to an event, and of names that look like something else."""

import json
import re

import pandas as pd
import pytest
from made_kinds import table
from made_run import predictions

from mmdx.evaluation.kinds import KINDS
from mmdx.evaluation.score import score
from mmdx.report import write
from mmdx.report.chapters import discrimination
from mmdx.report.chapters.comparison import chapter as compared
from mmdx.report.run_folder import RunFolder, read_run
from mmdx.report.wording import title
from mmdx.report.write import write_report


def scored(folder, kind, **more):
    frame = table(kind, **more)
    frame.to_parquet(folder / "predictions.parquet")
    (folder / "metrics.json").write_text(json.dumps(score(frame, kind=kind, resamples=20)))
    return folder


@pytest.mark.parametrize("kind", ["ordinal", "regression", "survival"])
def test_every_metric_of_the_kind_is_shown_and_nothing_that_it_cannot_have_is_advised(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(write, "DPI", 20)
    text = write_report(scored(tmp_path, kind)).read_text(encoding="utf-8")
    assert re.findall(r'<section id="([a-z]+)" class="chapter"', text) == ["summary", "discrimination", "modalities", "data", "cases"]
    head = re.search(r'<table id="table-discrimination">.*?</thead>', text, re.DOTALL)[0]
    for metric in KINDS[kind].metrics:
        assert f">{title(metric)}</th>" in head
    assert "stress are for classes without an order" in text
    assert "mmdx score" not in text and "mmdx stress" not in text
    assert ("<th scope=\"col\">AUROC at 3.5</th>" in head) == (kind == "survival")


def test_classes_are_in_their_order_and_a_plus_in_a_name_is_no_set_of_modalities(tmp_path, monkeypatch):
    run = read_run(scored(tmp_path, "ordinal", classes=("stage 1", "stage 1+", "a stage 2")))
    drawn = []
    monkeypatch.setattr(discrimination, "lines", lambda curves, *rest, **more: drawn.append(curves))
    list(discrimination._curves(run))
    for curves in drawn:
        assert [c.label for c in curves] == ["stage 1", "stage 1+", "a stage 2"]
        assert len({c.width for c in curves}) == 1


def test_titles_of_horizons_and_sites():
    assert title("auroc_365") == "AUROC at 365"
    assert title("qwk_within_site") == "Quadratic weighted kappa within sites"
    assert title("something_7") == "Something 7"


def test_groups_that_are_all_too_small_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "DPI", 20)
    frame = predictions(60, retrained=False)
    patients = {p: k for k, p in enumerate(frame["patient_id"].unique())}
    frame["meta_site"] = frame["patient_id"].map(lambda p: f"site {patients[p] // 3}")
    frame = frame.drop(columns=["meta_sex", "present"])
    frame.to_parquet(tmp_path / "predictions.parquet")
    metrics = score(frame, resamples=5)
    assert all(g.get("too_small") for c in metrics["groups"]["columns"].values() for g in c["groups"].values())
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Too small to judge" in text
    assert "<td><bdi>too small</bdi></td>" in text
    assert 'id="table-gaps"' not in text


def result(test="delong", **more):
    entry = {"value": 0.85, "low": 0.8, "high": 0.9}
    runs = [
        {"name": name, "folder": f"/home/somebody/runs/{name}", "modalities": "image+text", "auroc": entry, "left_out": 0, "mean_over_folds": entry}
        for name in ("gated", "concat")
    ]
    shown = {"value": -0.05, "low": -0.09, "high": -0.01}
    pair = {"a": "gated", "b": "concat", "difference": shown, "shown": shown, "test": test, "p": 0.01, "p_holm": 0.02, "significant": True}
    found = {"metric": "auroc", "higher_is_better": True, "n": 412, "n_units": 398, "unit": "patient", "runs": runs, "pairs": [pair]}
    return found | more


def comparison(found):
    chapter = compared(RunFolder(None, {"kind": "binary", "full": "image+text"}, pd.DataFrame(), comparison=found))
    tables = {block.name: block for block in chapter.blocks if block.kind == "table"}
    return tables, " ".join(block.text for block in chapter.blocks if block.kind == "text")


def test_a_comparison_is_told_in_words():
    tables, said = comparison(result())
    runs, pairs = tables["comparison_runs"], tables["comparison_pairs"]
    assert runs.columns == ["Modalities", "AUROC", "Better than"]
    assert [(name, cells[2]) for name, cells in runs.rows] == [("gated", "none shown"), ("concat", "gated")]
    ((name, cells),) = pairs.rows
    assert (name, cells[1:]) == ("gated minus concat", ["DeLong", 0.01, 0.02, "concat *"])
    assert cells[0] == {"value": -0.05, "low": -0.09, "high": -0.01}
    assert "412 test samples that all runs predicted, of 398 units (patient); * is p < 0.05 after Holm's correction" in said
    assert "somebody" not in said + str(tables)


def test_less_may_be_better_and_means_over_folds_are_named():
    assert comparison(result(higher_is_better=False))[0]["comparison_pairs"].rows[0][1][-1] == "gated *"
    tables, said = comparison(result(test="corrected_t"))
    assert tables["comparison_runs"].columns[1] == "AUROC, mean over folds"
    assert "over the folds" in said
