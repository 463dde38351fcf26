"""The cohorts that power is measured on have leaks of the size that is stated."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import leakage_power as power

from mmdx.evaluation.metrics import auroc


@pytest.mark.parametrize("size", power.SIZES.values())
def test_a_leak_has_the_size_that_is_stated(size):
    rng = np.random.default_rng(0)
    sick = np.arange(8_000) % 2
    for levels in (2, 3):
        assert auroc(sick, power.column(sick, size, levels, rng)) == pytest.approx(size, abs=0.02)
    assert auroc(sick, power.number(sick, size, rng)) == pytest.approx(size, abs=0.02)
    signs = np.array([text.count("sign") for text in power.notes(sick, size, rng)])
    assert auroc(sick, signs) == pytest.approx(size, abs=0.02)


def test_a_patient_has_one_diagnosis_and_one_site():
    table = power.Planted(200, 0.2, 0.75, np.random.default_rng(0)).table
    assert (table.groupby("patient_id")[["target", "site"]].nunique() == 1).all(axis=None)
    assert table.groupby("patient_id")["target"].first().mean() == pytest.approx(0.2, abs=0.02)


def test_exact_intervals_by_hand():
    assert power.exact([False] * 10) == "0.0 [0.0, 30.8]" and power.exact([True] * 10) == "100.0 [69.2, 100.0]"


@pytest.mark.slow
def test_the_script_prints_a_line_for_each_question_and_size(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["leakage_power.py", "--small"])
    power.main()
    out = capsys.readouterr().out
    assert out.count("\n| ") == 3 + len(power.ASKED) + 2 * len(power.SIZES) * len(power.ASKED) + 2
