"""Facts about learning curves: what the control leaves, and whom the gain is measured on."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import learning_curve
from learning_curve import asked, optimal_gain, plan, without

from mmdx.errors import InputError


def test_a_control_leaves_what_others_share_with_them():
    told = {"unique": {"image": 0.3, "text": 0.1}, "redundant": {"image+text": 0.05, "audio+image+text": 0.02}, "synergistic": {"image+text": 0.2}}
    assert without(told, "text") == {"unique": {"image": pytest.approx(0.35)}, "redundant": {"audio+image": 0.02}, "synergistic": {}}
    assert without({"unique": None, "redundant": {"image+text": 0.1}}, "text") == {"unique": {"image": 0.1}, "redundant": {}}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["modality=sound"], "modality=sound: the experiment's encoders are image, text"),
        (["modality=text", "sizes=10,x"], "sizes=10,x: must be whole numbers of 1 or more"),
        (["modality=text", "repeats=1"], "repeats=1: must be a whole number of 2 or more"),
        (["modality=text", "data.samples=9"], "data.samples=9: the script draws cohorts of its own"),
        (["modality=text", "fusion=late,concat"], "fusion"),
    ],
)
def test_a_wrong_word_is_named(words, told):
    with pytest.raises(InputError, match=told):
        plan(*asked(["experiment=fusion_missing", "out=x", *words]))


def test_a_fusion_and_seeds_are_those_that_were_asked_for():
    runs = plan(*asked(["experiment=fusion_missing", "modality=text", "out=x", "sizes=100", "repeats=2", "fusion=late", "seeds=[5,6]"]))
    assert len(runs) == 4
    assert all("late" in cfg.fusion._target_ and list(cfg.seeds) == [5, 6] and cfg.data.samples == 100 for cfg in runs.values())


@pytest.mark.slow
def test_the_optimum_of_a_control_gains_nothing(tmp_path, capsys):
    words = ["experiment=fusion_missing", "modality=text", "sizes=150", "repeats=2", "jobs=1", "trainer.max_epochs=1", f"cache.root={tmp_path / 'c'}"]
    learning_curve.learning_curve([*words, f"out={tmp_path / 'out'}"])
    runs = {kind: tmp_path / "out" / kind / "150" / "0" for kind in ("control", "help")}
    assert abs(optimal_gain(runs["control"], "text")) < 1e-9 < optimal_gain(runs["help"], "text")
    table = pd.read_csv(tmp_path / "out" / "learning_curve.csv")
    assert table["kind"].tolist() == ["help", "control"] and (table["cohorts"] == 2).all()
