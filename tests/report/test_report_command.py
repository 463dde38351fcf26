"""mmdx report as it is typed: the page, one sentence where it cannot be made, and nothing heavy loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_run import predictions, small_report

from mmdx.commands import report
from mmdx.evaluation.score import score

ROOT = Path(__file__).resolve().parents[2]


def typed(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["mmdx report", *map(str, words)])
    report.main()


def test_help(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        typed(monkeypatch, "--help")
    assert end.value.code == 0
    assert "works offline and without scripts" in capsys.readouterr().out


def test_the_page_is_named(monkeypatch, capsys, tmp_path):
    frame = predictions(40, retrained=False)
    frame.to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "metrics.json").write_text(json.dumps(score(frame, resamples=5)))
    typed(monkeypatch, tmp_path, "--out", tmp_path / "page.html")
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'page.html'}: 0.")
    assert (tmp_path / "figures" / "roc.svg").exists()


@pytest.mark.parametrize(("words", "says"), [(["nowhere"], "no such folder"), ([str(ROOT)], "has no metrics.json")])
def test_a_folder_that_is_no_run_gets_one_sentence(monkeypatch, capsys, words, says):
    with pytest.raises(SystemExit) as end:
        typed(monkeypatch, *words)
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert says in said and said.startswith("error: ") and said.count("\n") == 1


def test_a_place_that_cannot_be_written_gets_one_sentence(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    folder = small_report()
    monkeypatch.setattr("mmdx.report.write.CHAPTERS", ())
    with pytest.raises(SystemExit):
        typed(monkeypatch, folder, "--out", tmp_path / "file" / "page.html")
    said = capsys.readouterr().err
    assert "cannot be written" in said and said.count("\n") == 1


@pytest.mark.parametrize("absent", ["jinja2", "matplotlib"])
def test_without_the_extra_one_sentence_says_which(monkeypatch, capsys, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(SystemExit):
        typed(monkeypatch, small_report())
    said = capsys.readouterr().err
    assert "pip install 'mmdx[report]'" in said and said.count("\n") == 1


def test_no_torch_is_loaded():
    code = (
        "import sys, mmdx.report.write, mmdx.commands.report\n"
        "print([m for m in ('torch', 'lightning', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
