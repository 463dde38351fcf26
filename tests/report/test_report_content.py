"""Runs of other kinds, with sections absent, with hostile names and notes, and folders that cannot be reported."""

import json
import re

import pytest
from made_run import made_run, predictions
from parsed_page import Page

from mmdx.errors import InputError
from mmdx.evaluation.score import SECTIONS, score
from mmdx.report import write
from mmdx.report.page import json_for_page
from mmdx.report.write import write_report

SENTINEL = "window.broken=1"
HOSTILE = f"</script></p><script>{SENTINEL}</script><img src=x onerror={SENTINEL}> \"quoted\" 'single' & \u202eRTL\u2066 {{{{ 7*7 }}}} $\\frac{{1}}{{"


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Pictures of few pixels: what is looked at here is the page."""
    monkeypatch.setattr(write, "DPI", 20)


@pytest.fixture
def only_cases(monkeypatch):
    """No chapters but the cases."""
    monkeypatch.setattr(write, "CHAPTERS", ())


def test_absent_sections_are_left_out_with_how_to_get_them(tmp_path):
    folder = made_run(tmp_path / "run", cases=0, n=60, whole=False)
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({name: part for name, part in metrics.items() if name not in SECTIONS}))
    (folder / "config.yaml").write_text("seed: 0\n")
    text = write_report(folder).read_text(encoding="utf-8")
    for command in ("mmdx stress run", "mmdx score run", "mmdx data leakage SOURCE --json &gt; run/leakage.json"):
        assert f"<code>{command}</code>" in text
    assert 'id="case-index"' not in text
    assert 'id="figure-reliability"' not in text
    assert not re.search(r"\b(None|nan|NaN)\b", re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_other_kinds_are_reported(tmp_path, kind):
    frame = predictions(60, retrained=False)
    if kind == "multiclass":
        frame["target"] = frame["target"].map({0: "well", 1: "</td><script>"})
        frame = frame.rename(columns={"prob": "prob_</td><script>"}).assign(prob_well=1 - frame["prob"])
    else:
        frame = frame.rename(columns={"target": "target_ill", "prob": "prob_ill"})
        frame = frame.assign(target_old=1 - frame["target_ill"], prob_old=1 - frame["prob_ill"])
        frame.loc[frame.groupby("sample_id").ngroup() % 7 == 0, "target_old"] = None
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps(score(frame, resamples=20)))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert len(Page(text).scripts) == 1
    assert 'id="figure-roc"' in text


def test_hostile_names_and_notes_are_text(tmp_path):
    folder = made_run(tmp_path / "run", cases=3, n=120, note=HOSTILE + "x" * 100_000, rename={"test-0000": HOSTILE, "test-0001": "=HYPERLINK(1)"})
    metrics = json.loads((folder / "metrics.json").read_text())
    columns = metrics["groups"]["columns"]
    columns[HOSTILE] = columns.pop("site")
    columns[HOSTILE]["groups"] = {f"{HOSTILE} {k}": v for k, v in columns[HOSTILE]["groups"].items()}
    metrics["stress"]["noise"][0]["noise"] = HOSTILE
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.yaml").write_text(HOSTILE)
    found = Page(write_report(folder).read_text(encoding="utf-8"))
    assert len(found.scripts) == 2
    assert not [a for tag, a in found.elements if a.get("src") == "x"]
    assert json.loads(found.scripts[0])[0]["id"] == HOSTILE
    assert SENTINEL not in found.scripts[1]


def test_withheld_notes_do_not_appear(tmp_path, only_cases):
    folder = made_run(tmp_path / "run", cases=3, n=60, whole=False, note="SECRET HISTORY")
    cases = json.loads((folder / "cases" / "cases.json").read_text())
    for case in cases["cases"]:
        if "text" in case["inputs"]:
            case["inputs"]["text"] = {"kind": "text", "withheld": True, "characters": 812}
    (folder / "cases" / "cases.json").write_text(json.dumps(cases))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "The text (812 characters) is withheld." in text
    assert "SECRET" not in text


def test_json_cannot_end_its_element():
    nasty = {"a": "</script><!--", "b": "\u2028\u2029&"}
    text = json_for_page(nasty)
    assert json.loads(text) == nasty
    assert not set("<>&\u2028\u2029") & set(text)


def test_half_characters_are_written_as_something(tmp_path, only_cases):
    folder = made_run(tmp_path / "run", cases=1, n=60, whole=False, note="broken \ud800 half")
    assert "broken ? half" in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metrics.json", None, "has no metrics.json; write it with `mmdx score"),
        ("metrics.json", "{", "cannot be read as JSON"),
        ("metrics.json", "[]", "it is a list, not an object"),
        ("metrics.json", "{}", "lacks kind, primary, modalities, full, unit"),
        ("predictions.parquet", None, "no such file"),
        ("cases/cases.json", "[", "cannot be read as JSON"),
        ("quarantine.csv", "", "cannot be read as a table"),
        ("folds.parquet", "no", "cannot be read as a table"),
    ],
)
def test_bad_folders_get_one_sentence(tmp_path, name, content, says):
    frame = predictions(40, retrained=False)
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps(score(frame, resamples=5)))
    (tmp_path / "cases").mkdir()
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(says)) as fault:
        write_report(tmp_path)
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "report.html").exists()


def test_no_such_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "nowhere")
