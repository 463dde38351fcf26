"""Folders that cannot be reported get one sentence: of another kind, of other predictions, of the wrong shape."""

import hashlib
import json
import re
import sys

import pytest
from made_run import predictions

from mmdx.commands import report
from mmdx.errors import InputError
from mmdx.evaluation.score import score, score_folder
from mmdx.report import write
from mmdx.report.chapters.summary import warnings
from mmdx.report.run_folder import read_run
from mmdx.report.write import write_report


@pytest.fixture(scope="module")
def scored():
    frame = predictions(40, retrained=False)
    return frame, score(frame, resamples=5)


@pytest.fixture
def folder(tmp_path, scored):
    frame, metrics = scored
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path


def changed(folder, **parts):
    metrics = json.loads((folder / "metrics.json").read_text()) | parts
    (folder / "metrics.json").write_text(json.dumps({name: part for name, part in metrics.items() if part is not None}))


def refused(folder):
    with pytest.raises(InputError) as fault:
        read_run(folder)
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"kind": "ranking"}, "kind is 'ranking', not one of binary, multiclass,"),
        ({"kind": "survival"}, "is of kind survival, but"),
        ({"kind": None, "test": None}, "lacks kind, test"),
        ({"test": 3}, "test is a number, not an object"),
        ({"test": {"audio+image+text": {"brier": {"value": 0.1, "low": None, "high": None}}}}, "primary metric 'auroc' is not among those of test"),
        ({"test": {}}, "is of other predictions than those in"),
        ({"primary": "nonsense"}, "primary metric 'nonsense' is not among those of test"),
        ({"primary": None}, "lacks primary"),
        ({"full": "image+text"}, "full is 'image+text', but the modalities are 'audio+image+text'"),
        ({"unit": None}, "lacks unit"),
        ({"modalities": []}, "modalities has 0 items, 1 at least"),
        ({"outputs": ["ill"]}, "has the outputs ['ill'], but"),
        ({"calibration": {"": {"curve": [{}]}}}, "calibration..curve item 1 lacks prob, observed, n"),
        ({"differences": "none"}, "differences is a text, not an object"),
    ],
)
def test_metrics_of_another_shape_are_refused_with_how_to_mend_it(folder, parts, says):
    changed(folder, **parts)
    told = refused(folder)
    assert says in told
    assert told.endswith(f"write it again with `mmdx score {folder}`.")


def test_classes_need_the_outputs_of_the_predictions(tmp_path, scored):
    frame = scored[0].rename(columns={"prob": "prob_1"}).assign(prob_0=1 - scored[0]["prob"], target=scored[0]["target"].astype(str))
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps(score(frame, resamples=5)))
    assert read_run(tmp_path).outputs == ["1", "0"]
    changed(tmp_path, outputs=["0", "1"])
    assert "has the outputs ['0', '1'], but" in refused(tmp_path)
    changed(tmp_path, outputs=None)
    assert "lacks outputs" in refused(tmp_path)


def test_metrics_of_other_predictions_are_refused(folder):
    file = folder / "predictions.parquet"
    recorded = {"rows": 1, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    changed(folder, predictions=recorded)
    assert read_run(folder).kind == "binary"
    predictions(40, seed=1, retrained=False).to_parquet(file)
    told = refused(folder)
    assert told == f"{folder / 'metrics.json'}: is of other predictions than those in {file}; write it again with `mmdx score {folder}`."
    changed(folder, predictions={"rows": 1})
    assert "predictions lacks sha256" in refused(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("check.json", "[1]", "item 1 is a number, not an object"),
        ("check.json", '[{"severity": "error"}]', "item 1 lacks message"),
        ("leakage.json", '{"rows": []}', "it is an object, not a list"),
        ("leakage.json", '[{"feature": "note", "verdict": ["leak"]}]', "item 1.verdict is a list, not a text"),
        ("models.json", "[null]", "item 1 is null, not an object"),
        ("provenance.json", '{"revision": "abc"}', "revision is a text, not an object or null"),
        ("comparison.json", '{"metric": "auroc"}', "lacks higher_is_better, n, n_units, unit, runs, pairs"),
        ("cases/cases.json", '{"cases": 3}', "cases is a number, not a list"),
        ("cases/cases.json", '{"cases": [{"sample_id": "a", "inputs": {"note": {"spans": 3}}}]}', "inputs.note.spans is a number"),
    ],
)
def test_other_files_of_the_wrong_shape_are_named(folder, name, content, says):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    told = refused(folder)
    assert told.startswith(f"{folder / name}: ") and says in told
    assert told.endswith("; write it again, or remove it.")


def test_tables_without_their_columns_are_named(folder):
    (folder / "quarantine.csv").write_text("name\na\n")
    assert "quarantine.csv: lacks the column sample_id" in refused(folder)


def test_a_csv_file_that_was_scored_is_reported(tmp_path, scored, monkeypatch, capsys):
    monkeypatch.setattr(write, "CHAPTERS", ())
    file = tmp_path / "mine.csv"
    scored[0].to_csv(file, index=False)
    monkeypatch.setattr(sys, "argv", ["mmdx report", str(file)])
    with pytest.raises(SystemExit):
        report.main()
    assert f"{tmp_path}: has no metrics.json; write it with `mmdx score {file}`." in capsys.readouterr().err
    score_folder(file, resamples=5)
    report.main()
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'report.html'}: ")
    assert said.endswith(f"figures and tables are in {tmp_path}.\n")


def test_a_folder_that_no_run_made_says_nothing_of_samples_set_aside(folder, monkeypatch):
    monkeypatch.setattr(write, "DPI", 20)
    text = write_report(folder).read_text(encoding="utf-8")
    assert "The folder holds no records of a run" in text
    assert "set aside" not in text and "quarantine" not in text
    assert "mmdx stress" not in text and "mmdx train" not in text


def test_the_page_does_not_tell_where_the_folder_lies(folder, monkeypatch):
    monkeypatch.setattr(write, "DPI", 20)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "quarantine.csv").write_text(f"sample_id,reason\ns1,\"{folder}/films/a.png, row 4: cannot be read.\"\n")
    found = {"severity": "error", "kind": "image", "file": f"{folder}/films/a.png", "message": f"{folder}/films/a.png: cannot be read."}
    (folder / "check.json").write_text(json.dumps([found]))
    text = write_report(folder).read_text(encoding="utf-8")
    assert str(folder.parent) not in text
    assert f"<code>mmdx stress {folder.name}</code>" in text
    assert "a.png, row 4: cannot be read." in text
    assert re.search(rf"<h1><bdi>{re.escape(folder.name)}</bdi></h1>", text)


def test_cases_of_other_predictions_are_not_shown(tmp_path):
    predictions(40, retrained=False).to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "cases.json").write_text(json.dumps({"cases": [{"sample_id": "s0", "inputs": {}}]}))
    (tmp_path / "stress").mkdir()
    told = {"cases": {"predictions_sha256": hashlib.sha256((tmp_path / "predictions.parquet").read_bytes()).hexdigest()}}
    (tmp_path / "stress" / "stress.json").write_text(json.dumps(told))
    score_folder(tmp_path, resamples=5)
    assert read_run(tmp_path).cases
    predictions(40, retrained=False, seed=1).to_parquet(tmp_path / "predictions.parquet")
    score_folder(tmp_path)
    run = read_run(tmp_path)
    assert run.cases is None and any("left of cases is of other predictions" in told for told in warnings(run))
