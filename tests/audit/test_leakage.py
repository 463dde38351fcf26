"""What is planted is found, what is honest passes, and every verdict follows from thresholds fixed in advance."""

import numpy as np
import pandas as pd
import pytest

from mmdx.audit.leakage import audit, mask
from mmdx.audit.probes import auroc, out_of_fold, question_of, table_probe
from mmdx.audit.verdicts import ROLES, RULES, verdict
from mmdx.data.raw import Recording
from mmdx.errors import InputError
from mmdx.evaluation.intervals import Interval
from mmdx.types import Sample

FILLER = ["seen", "today", "at", "home", "with", "family", "after", "lunch", "and", "walk", "slowly", "since", "monday"]


class Notes:
    """240 patients: a note that gives the target away, one that says nothing, a scanner that goes with it, sounds by two recorders."""

    modalities = ("note", "sound")

    def __init__(self, scanner: float = 0.8, absent: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        target = rng.integers(0, 2, 240)
        same = rng.random(240) < scanner
        self.sites = np.where(rng.random(240) < 0.5, "north", "south")
        self.table = pd.DataFrame({
            "sample_id": [f"s{i}" for i in range(240)],
            "patient_id": [f"p{i // 2}" for i in range(240)],
            "site": self.sites,
            "target": target,
        })
        words = [" ".join(rng.choice(FILLER, 8)) for _ in target]
        told = [f"{w} {'pneumonia opacity' if t else 'clear lungs'}" for w, t in zip(words, target, strict=True)]
        self.record = pd.DataFrame({
            "told": told, "untold": [" ".join(rng.choice(FILLER, 8)) for _ in target],
            "scanner": np.where(np.where(same, target, 1 - target) == 1, "A", "B"),
        }, dtype=object)  # fmt: skip
        self.noise = rng.standard_normal((240, 2000)).astype(np.float32) / 10
        self.missing = (rng.random(240) < absent) & (target == 1)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        sound = np.cumsum(self.noise[index]) / 10 if self.sites[index] == "north" else self.noise[index]
        inputs = {"note": self.record["untold"][index], "sound": Recording(sound.astype(np.float32), 1000)}
        if self.missing[index]:
            del inputs["sound"]
        return Sample(inputs, int(self.table["target"][index]), {})


@pytest.fixture(scope="module")
def rows():
    roles = {"told": "report", "untold": "prior", "scanner": "acquisition"}
    return {row["feature"]: row for row in audit(Notes(absent=0.5), roles, ["pneumonia"])}


def test_what_was_planted_is_found_and_what_is_honest_passes(rows):
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "told": "leak", "told, names masked": "leak", "untold": "ok", "scanner": "suspect", "sound absent": "suspect",
        "site": "ok", "site from note": "ok", "site from sound": "leak",
    }  # fmt: skip


def test_the_words_that_carry_it_are_named_and_names_of_the_target_are_counted(rows):
    assert {"+opacity", "-clear"} & set(rows["told"]["terms"]) and rows["told"]["names_the_target"] == (Notes().table["target"] == 1).sum()


def test_the_site_is_told_from_the_sound_of_its_recorder(rows):
    assert rows["site from sound"]["accuracy"] > 0.95


def test_every_row_has_what_is_promised(rows):
    for row in rows.values():
        assert row["role"] in ROLES and row["low"] <= row["auroc"] <= row["high"] and (row["advice"] == "") == (row["verdict"] == "ok")


def test_the_auroc_of_one_category_is_its_own():
    """Where a column has two values, the best use of it is the value, whose AUROC is (sensitivity + specificity) / 2."""
    data = Notes(scanner=0.8)
    question = question_of(data.table["target"], np.arange(240))
    found = auroc(out_of_fold(table_probe, data.record[["scanner"]], question, 0), question)
    positive, called = data.table["target"] == 1, data.record["scanner"] == "A"
    assert found.value == pytest.approx((called[positive].mean() + (~called)[~positive].mean()) / 2, abs=0.02)


@pytest.mark.parametrize("role", sorted(RULES))
def test_a_leak_is_worse_than_what_is_suspect_and_chance_is_neither(role):
    rule = RULES[role]
    assert rule.leak > rule.suspect and verdict(role, Interval(0.5, 0.4, 0.6)) == "ok" and verdict(role, Interval(1.0, 0.99, 1.0)) == "leak"


def test_patients_without_a_row_are_not_drawn():
    question = question_of(pd.Series([0, 1, 0, 1]), np.array(["p", "q", "r", "s"]))
    assert question.of(np.array([1, 3])).groups.tolist() == [0, 1]


def test_masking_takes_whole_words_only():
    import re

    assert mask("covid, covidien", [re.compile(r"\bcovid\b", re.IGNORECASE)]) == " , covidien"


def test_wrong_roles_are_named():
    with pytest.raises(InputError, match=r"data.roles.told=honest: must be one of prior"):
        audit(Notes(), {"told": "honest"})
    with pytest.raises(InputError, match=r"data.roles.nothing: no such column or modality; there are told"):
        audit(Notes(), {"nothing": "prior"})
