"""Cases: what was said of them, their order, and files and notes of any content."""

import json

import numpy as np
import pandas as pd
import pytest
from made_run import FULL, made_run

from mmdx.errors import InputError
from mmdx.report import case_inputs
from mmdx.report.case_inputs import Files, Input, input_of, pieces
from mmdx.report.cases import case_list
from mmdx.report.run_folder import RunFolder, read_run
from mmdx.report.verdicts import centred, verdict_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_run(made_run(tmp_path_factory.mktemp("cases") / "run", cases=5, n=60, whole=False))


def test_a_case_has_the_verdicts_of_the_predictions(run):
    found = case_list(run)
    assert [case.number for case in found.cases] == [1, 2, 3, 4, 5]
    for case in found.cases:
        rows = run.predictions[(run.predictions["sample_id"] == case.sample_id) & (run.predictions["ablation"] == "offered")]
        full = rows[rows["modalities"] == FULL].iloc[0]
        assert case.verdict.answers[0].prob == full["prob"]
        assert case.verdict.error == abs(full["prob"] - full["target"])
        assert [a.who for a in case.verdict.answers[1:]] == [m for m in FULL.split("+") if m in full["present"]]
        threshold = run.metrics["threshold"]["offered"][FULL][0]["threshold"]
        right = (full["prob"] >= threshold) == (full["target"] == 1)
        assert case.verdict.outcome.startswith("true" if right else "false")


def test_a_case_that_has_no_prediction_is_shown_without_verdict(run):
    cases = {"cases": [{"sample_id": "nobody", "inputs": {"text": {"kind": "text", "text": "x"}}}]}
    found = case_list(RunFolder(run.path, run.metrics, run.predictions, cases=cases))
    assert found.cases[0].verdict is None
    assert found.index[0] == {"id": "nobody", "target": "", "outcome": "", "error": None, "confidence": None, "disagreement": None}


def test_sureness_is_about_the_threshold():
    assert centred(0.3, 0.3) == pytest.approx(0.5)
    assert centred(0.6, 0.5) == pytest.approx(0.6)
    odds = 0.6 / 0.4 / (0.3 / 0.7)
    assert centred(0.6, 0.3) == pytest.approx(odds / (1 + odds))
    assert 0 < centred(0.0, 0.5) < centred(1.0, 0.5) < 1


def classes(**metrics):
    return RunFolder(None, {"kind": "multiclass", "full": "a+b", "outputs": ["x", "y", "z"], "threshold": {}} | metrics, pd.DataFrame())


def test_verdicts_of_several_classes():
    rows = {m: {"target": "y", "prob_x": p[0], "prob_y": p[1], "prob_z": p[2]} for m, p in {
        "a+b": (0.5, 0.3, 0.2), "a": (0.8, 0.1, 0.1), "b": (0.1, 0.7, 0.2)}.items()}  # fmt: skip
    found = verdict_of(classes(), rows)
    assert (found.target, found.outcome, found.answers[0].says, found.answers[2].right) == ("y", "wrong", "x", True)
    assert (found.error, found.confidence, found.disagreement) == pytest.approx((0.7, 0.5, 0.7))


def test_verdicts_of_labels_and_numbers():
    run = classes(kind="multilabel", outputs=["x", "y"])
    row = {"modalities": "a+b", "seed": "", "fold": "", "target_x": 1.0, "prob_x": 0.2, "target_y": np.nan, "prob_y": 0.9}
    found = verdict_of(run, {"a+b": row})
    assert (found.target, found.outcome) == ("x", "wrong")
    assert [a.right for a in found.answers] == [False, None]
    rows = {"a+b": {"target": 3.0, "prediction": 2.5}, "a": {"prediction": 1.0}, "b": {"prediction": 4.0}}
    found = verdict_of(classes(kind="regression", outputs=[]), rows)
    assert (found.error, found.disagreement, found.outcome) == (0.5, 3.0, "")
    found = verdict_of(classes(kind="survival", outputs=[]), {"a+b": {"time": 30.0, "event": 0.0, "risk": 0.4}})
    assert found.target == "no event until 30.0"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], ["lungs clear"]),
        ([[0, 5, 0.5]], ["lungs", " clear"]),
        ([[6, 11, -1.0], [0, 5, 0.1]], ["lungs", " ", "clear"]),
        ([[0, 8, 1], [5, 9, 1]], ["lungs cl", "ear"]),
        ([[-4, 5, 1], [6, 400, 1]], ["lungs", " ", "clear"]),
        ([[5, 5, 1], [9, 2, 1], ["0", 3, 1], [0, 3], None, [0, 3, float("nan")], [50, 60, 1]], ["lungs clear"]),
    ],
)
def test_notes_are_cut_at_spans_and_lose_nothing(spans, expected):
    found = pieces("lungs clear", spans)
    assert [p.text for p in found] == expected
    assert "".join(p.text for p in found) == "lungs clear"


def test_strength_and_side_of_a_span():
    found = [p for p in pieces("a b c", [[0, 1, 0.9], [2, 3, -0.1]]) if p.level]
    assert [(p.text, p.level, p.against) for p in found] == [("a", 4, False), ("b", 1, True)]


def test_an_empty_note_is_a_note():
    assert [p.text for p in pieces("", [[0, 4, 1]])] == [""]


def test_files_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "cases").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "cases" / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(InputError, match="lies outside"):
            Files(tmp_path / "cases").uri(name)


def test_files_of_unknown_kinds_or_gone_are_counted(tmp_path):
    (tmp_path / "a.svg").write_text("<svg onload=alert(1)>")
    (tmp_path / "b.png").write_bytes(b"png")
    given = {"kind": "image", "items": [{"file": name} for name in ("a.svg", "gone.png", "b.png", None)]}
    found = input_of("film", given, Files(tmp_path))
    assert (len(found.items), found.gone) == (1, 3)
    assert found.items[0].picture == "data:image/png;base64,cG5n"


def test_what_does_not_fit_the_page_is_left_out(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x" * 30)
    files = Files(tmp_path, left=60)
    assert files.uri("a.png") and not files.uri("b.png")
    assert files.refused
    assert case_inputs.LIMIT < 15e6


@pytest.mark.parametrize("given", [None, {}, {"kind": "text"}, {"kind": "text", "withheld": True, "characters": 812}, {"kind": "text", "text": 3}])
def test_a_text_that_is_not_there_is_withheld_not_guessed(given):
    found = input_of("note", given, Files(None))
    assert not found.pieces
    assert found.note


def test_tables_and_others():
    cells = [{"name": "age", "value": 63, "weight": 2}, {"name": "sex"}, "odd"]
    found = input_of("labs", {"kind": "table", "cells": cells}, Files(None))
    assert found.cells == [("age", "63", 1.0), ("sex", "", None)]
    assert input_of("ecg", {"kind": "other", "note": "shape 12 x 1000"}, Files(None)) == Input("ecg", "other", note="shape 12 x 1000")


def test_a_run_without_cases_has_no_list(run):
    assert case_list(RunFolder(run.path, run.metrics, run.predictions)) is None
    assert case_list(RunFolder(run.path, run.metrics, run.predictions, cases={"cases": "?"})) is None


def test_cases_name_their_seed_and_fold(tmp_path):
    folder = made_run(tmp_path / "run", cases=2, n=60, whole=False)
    frame = pd.read_parquet(folder / "predictions.parquet")
    twice = pd.concat([frame.assign(seed=0), frame.assign(seed=1, prob=frame["prob"] / 2)])
    twice.to_parquet(folder / "predictions.parquet")
    cases = json.loads((folder / "cases" / "cases.json").read_text())
    for own, seed in zip(cases["cases"], (0, 1), strict=True):
        own["seed"] = str(seed)
    (folder / "cases" / "cases.json").write_text(json.dumps(cases))
    run = read_run(folder)
    for case, factor in zip(case_list(run).cases, (1, 0.5), strict=True):
        row = frame[(frame["sample_id"] == case.sample_id) & (frame["modalities"] == FULL) & (frame["ablation"] == "offered")]
        assert case.verdict.answers[0].prob == row["prob"].iloc[0] * factor
