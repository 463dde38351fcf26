"""The commands that show simulated patients and say what can be reached."""

import json
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmdx.commands import simulate
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.renderers import RENDERERS


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["mmdx simulate", *map(str, words)])
    simulate.main()


def test_show_writes_what_the_cohort_has_and_what_is_true_of_it(tmp_path, monkeypatch, capsys):
    overrides = ["data.samples=40", "data.missing=null", f"data.modalities={[*RENDERERS]}".replace("'", "")]
    run(monkeypatch, "show", *overrides, "--patients", 2, "--out", tmp_path / "out")
    assert "2 patients" in capsys.readouterr().out
    cohort = SimulatedCohort(samples=40, modalities=tuple(RENDERERS), missing=None)
    sample = cohort[1].inputs
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/s000001_image.png")), sample["image"])
    samples, rate = soundfile.read(tmp_path / "out/s000001_audio.wav")
    assert rate == 2000 and np.abs(samples - sample["audio"].samples).max() < 1e-4
    assert (tmp_path / "out/s000001_text.txt").read_text() == sample["text"] + "\n"
    truth = json.loads((tmp_path / "out/s000001.json").read_text())
    assert truth["diagnosis"] == cohort.diagnosis[1] and set(truth["shown"]) == set(RENDERERS)
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("<section>") == 2 and "s000001_audio.wav" in page and page.count("<mark>") == sum(
        len(cohort.render(row, "text", with_truth=True).truth["spans"]) for row in (0, 1)
    )
    assert Image.open(tmp_path / "out/patients.png").size[1] == 512


def test_optimum_prints_every_subset(monkeypatch, capsys):
    run(monkeypatch, "optimum", "data.modalities=[image,text,audio]", "--json")
    rows = json.loads(capsys.readouterr().out)
    cohort = SimulatedCohort(samples=900, modalities=("image", "text", "audio"))
    assert [row["modalities"] for row in rows] == ["image", "text", "audio", "image+text", "audio+image", "audio+text", "audio+image+text"]
    assert rows[-1]["asked"] == pytest.approx(rows[-1]["information"])
    assert rows[-1]["auroc"] == cohort.optimum(("image", "text", "audio"))["auroc"]
    parts = rows[3]["decomposition"]
    assert sum(parts.values()) == pytest.approx(rows[3]["information"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "data=covid_cxr"], "data.root: not given"),
        (["optimum", "data.prevalence=2"], "data.prevalence=2: must be above 0 and below 1"),
        (["optimum", "data.information.unique.image=0.99"], "data.information.unique.image=0.99: must be at least 0 and below 0.952 bits"),
        (["optimum", "+data.information.shared={image: 0.1}"], "data.information.shared: no such kind of source"),
    ],
)
def test_bad_input_gets_one_sentence(words, said, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *words)
    error = capsys.readouterr().err
    assert stopped.value.code == 1 and said in error and error.count("\n") == 1
