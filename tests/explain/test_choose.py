"""Which samples become cases."""

import numpy as np
import pandas as pd

from mmdx.evaluation.predictions import checked
from mmdx.explain.choose import choose


def table(n=200, kind="binary", single=True, seed=0, folds=1):
    rng = np.random.default_rng(seed)
    parts = []
    target = rng.integers(0, 2, n)
    other = np.where(rng.random(n) < 0.3, np.nan, 1 - target)  # a label that some samples lack
    for modalities in ("a+b", "a", "b") if single else ("a+b",):
        logits = 2.0 * (2 * target - 1) + rng.normal(0, 3, n)
        frame = pd.DataFrame({"sample_id": [f"s{i:04d}" for i in range(n)], "split": "test", "modalities": modalities})
        prob = 1 / (1 + np.exp(-logits))
        if kind == "binary":
            frame = frame.assign(target=target, prob=prob)
        elif kind == "multiclass":
            frame = frame.assign(target=np.where(target == 1, "ill", "well"), prob_ill=prob, prob_well=1 - prob)
        else:
            frame = frame.assign(target_x=target, prob_x=prob, target_y=other, prob_y=1 - prob)
        parts.append(frame if folds == 1 else frame.assign(fold=[f"f{i % folds}" for i in range(n)]))
    return checked(pd.concat(parts, ignore_index=True))


def test_all_are_taken_where_they_are_few():
    chosen = choose(table(20), 20)
    assert len(chosen) == 20 and set(chosen["reason"]) == {""}


def test_reasons_share_the_cases_evenly_and_no_sample_is_taken_twice():
    for kind in ("binary", "multiclass", "multilabel"):
        chosen = choose(table(kind=kind), 40)
        assert len(chosen) == 40 and chosen["sample_id"].is_unique
        assert chosen["reason"].value_counts().to_dict() == {"error": 10, "unsure": 10, "disagreement": 10, "confident": 10}


def test_reasons_are_what_they_say():
    given = table()
    full = given[given["modalities"] == "a+b"].set_index("sample_id")
    chosen = choose(given, 40).set_index("sample_id").join(full[["target", "prob"]])
    right = (chosen["prob"] >= 0.5) == chosen["target"].astype(bool)
    assert not right[chosen["reason"] == "error"].any() and right[chosen["reason"] == "confident"].all()
    doubt = (full["prob"] - 0.5).abs()
    assert (chosen["prob"] - 0.5).abs()[chosen["reason"] == "unsure"].max() <= doubt.nsmallest(40).max()
    assert (chosen["prob"] - 0.5).abs()[chosen["reason"] == "confident"].min() > doubt.median()
    single = given[given["modalities"] != "a+b"].pivot(index="sample_id", columns="modalities", values="prob")
    apart = (single["a"] - single["b"]).abs()
    assert apart[chosen.index[chosen["reason"] == "disagreement"]].min() > apart.median()


def test_the_seed_decides():
    given = table()
    assert choose(given, 40, seed=1).equals(choose(given, 40, seed=1))
    assert not choose(given, 40, seed=1).equals(choose(given, 40, seed=2))


def test_without_single_modalities_there_is_no_disagreement():
    chosen = choose(table(single=False), 30)
    assert len(chosen) == 30 and set(chosen["reason"]) == {"error", "unsure", "confident"}


def test_every_fold_can_give_cases():
    chosen = choose(table(folds=4), 60)
    assert set(chosen["fold"]) == {"f0", "f1", "f2", "f3"}


def test_nearly_all():
    assert len(choose(table(41), 40)) == 40 and len(choose(table(41), 1)) == 1
