"""What is planted is found, what is honest passes, and every verdict follows from thresholds fixed in advance."""

import numpy as np
import pandas as pd
import pytest

from mmdx.audit.encode import encode_table
from mmdx.audit.leakage import Audit, audit
from mmdx.audit.probes import auroc, out_of_fold, question_of, widened
from mmdx.audit.verdicts import MASK, ROLES, RULES, is_nuisance, verdict
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
    found = auroc(out_of_fold(encode_table(data.record[["scanner"]]), question, 0), question)
    positive, called = data.table["target"] == 1, data.record["scanner"] == "A"
    assert found.value == pytest.approx((called[positive].mean() + (~called)[~positive].mean()) / 2, abs=0.02)


@pytest.mark.parametrize("role", sorted(RULES))
def test_a_leak_is_worse_than_what_is_suspect_and_chance_is_neither(role):
    rule = RULES[role]
    assert rule.leak[0] > rule.suspect[0] and verdict(role, Interval(0.5, 0.4, 0.6), 0.5) == "ok"
    assert verdict(role, Interval(1.0, 0.99, 1.0), 0.001) == "leak"


@pytest.mark.parametrize("role", [role for role in RULES if is_nuisance(role)])
def test_a_nuisance_is_suspect_where_chance_would_not_have_done_it(role):
    found = Interval(0.6, 0.52, 0.68)
    assert [verdict(role, found, p) for p in (0.04, 0.06)] == ["suspect", "ok"] and verdict(role, Interval(0.54, 0.53, 0.55), 0.001) == "ok"


def test_an_interval_is_widened_in_log_odds():
    found = widened(Interval(0.9, 0.8, 0.95), 2.0)
    odds = [p / (1 - p) for p in (0.9, 0.8, found.low)]
    assert odds[2] / odds[1] == pytest.approx(odds[1] / odds[0]) and 0.95 < found.high < 1
    assert widened(Interval(1.0, 1.0, 1.0), 2.0) == Interval(1.0, 1.0, 1.0) and widened(Interval(0.5, 0.0, 1.0), 2.0).high == 1.0


def test_patients_without_a_row_are_not_drawn():
    question = question_of(pd.Series([0, 1, 0, 1]), np.array(["p", "q", "r", "s"]))
    assert question.of(np.array([1, 3])).groups.tolist() == [0, 1]


class Named(Notes):
    """Notes of which only the diagnosis itself says anything, and the modality that one of them is; some rows are to train on."""

    def __init__(self, split: bool = True) -> None:
        super().__init__()
        said = np.where(self.table["target"] == 1, "Pneumonia", "")
        self.record["untold"] = [f"{text} {word}" for text, word in zip(self.record["untold"], said, strict=True)]
        if split:
            self.table["split"] = np.where(np.arange(240) < 160, "train", "test")


def test_where_masking_mends_it_that_is_the_advice_and_the_masks_can_be_applied():
    audited = Audit(Named(), {}, ["pneumonia"])
    rows = {row["feature"]: row for row in audited.rows()}
    assert rows["untold"]["verdict"] == "leak" and rows["untold"]["advice"] == MASK and rows["untold, names masked"]["verdict"] == "ok"
    assert rows["told"]["advice"] == RULES["report"].advice  # other words give it away as well
    masks = audited.proposed_masks(list(rows.values()))
    assert set(masks) == {"note"} and "pneumonia" in masks["note"]
    again = {row["feature"]: row for row in audit(Named(), {}, ["pneumonia"], masks=masks)}
    assert again["untold"]["verdict"] == "ok" and again["untold"]["names_the_target"] == 0


def test_terms_to_mask_are_learnt_from_training_rows_alone():
    data = Named()
    late = (data.table["split"] == "test") & (data.table["target"] == 1)
    data.record["untold"] = [f"{text} {'effusion' if there else 'opacity' if t else ''}" for text, there, t in
                             zip(data.record["untold"], late, data.table["target"], strict=True)]  # fmt: skip
    audited = Audit(data, {}, ["pneumonia"])
    rows = [{"feature": "untold", "verdict": "leak"}]
    assert "opacity" in audited.proposed_masks(rows)["note"] and "effusion" not in audited.proposed_masks(rows)["note"]
    assert Audit(Named(split=False), {}, ["pneumonia"]).proposed_masks(rows) == {"note": ["pneumonia"]}


def test_an_input_of_one_axis_has_a_file_and_no_picture():
    from mmdx.audit.describe import describe

    assert describe(np.zeros(7)).content is None and describe(np.zeros(7)).file["axis_0"] == 7.0


def test_wrong_roles_are_named():
    with pytest.raises(InputError, match=r"data.roles.told=honest: must be one of prior"):
        audit(Notes(), {"told": "honest"})
    with pytest.raises(InputError, match=r"data.masks.sound: no modality of texts; there are note"):
        audit(Notes(), {}, masks={"sound": ["beat"]})
    with pytest.raises(InputError, match=r"data.roles.nothing: no such column or modality; there are told"):
        audit(Notes(), {"nothing": "prior"})
