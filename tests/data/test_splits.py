"""Facts about splits: every row tested once, patients whole, labels and sites even, the same from any order of rows."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from mmdx.data import stratify
from mmdx.data.covid_cxr import CovidCxr
from mmdx.data.physionet2016 import Physionet2016
from mmdx.data.splits import Fold, Given, HoldOut, KFold, LeaveOneSiteOut, Nested, Repeated, check_split
from mmdx.errors import InputError


def cohort(n=200, patients=None, sites=("A", "B"), seed=0):
    rng = np.random.default_rng(seed)
    owners = [None] * n if patients is None else [f"p{i}" for i in rng.integers(0, patients, n)]
    table = {"sample_id": [f"s{i:04d}" for i in range(n)], "patient_id": pd.Series(owners, dtype=object)}
    return pd.DataFrame({**table, "site": rng.choice(sites, n), "target": (rng.random(n) < 0.3).astype(int)})


def ids(table, rows):
    return set(table["sample_id"].iloc[rows])


def as_ids(table, folds):
    return [(fold.name, *(frozenset(ids(table, getattr(fold, part))) for part in ("train", "val", "test"))) for fold in folds]


def real(name):
    if "MMDX_DATA" not in os.environ:
        pytest.skip(f"needs real data: set MMDX_DATA to the folder that holds {name}")
    return Path(os.environ["MMDX_DATA"]) / name


SPLITS = [HoldOut(), KFold(), Nested(), Repeated(repeats=2, folds=3), LeaveOneSiteOut()]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: type(split).__name__)
@pytest.mark.parametrize("patients", [None, 60])
def test_parts_are_disjoint_cover_all_rows_and_keep_patients_whole(split, patients):
    table = cohort(patients=patients)
    if isinstance(split, LeaveOneSiteOut) and patients:
        table["site"] = np.where(table["patient_id"].str[-1].isin(list("01234")), "A", "B")  # a patient belongs to one site
    for fold in split.folds(table):
        assert sorted(np.concatenate([fold.train, fold.val, fold.test])) == list(range(len(table)))
        assert check_split(fold, table) is fold
        if patients:
            owners = [set(table["patient_id"].iloc[part]) for part in (fold.train, fold.val, fold.test)]
            assert not owners[0] & owners[1] and not owners[0] & owners[2] and not owners[1] & owners[2]


@pytest.mark.parametrize("patients", [None, 70])
def test_each_row_is_in_exactly_one_test_part_of_k_folds(patients):
    table = cohort(patients=patients)
    tested = np.concatenate([fold.test for fold in KFold(folds=7).folds(table)])
    assert sorted(tested) == list(range(200))


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: type(split).__name__)
@pytest.mark.parametrize("patients", [None, 60])
def test_the_order_of_rows_changes_nothing_and_the_seed_does(split, patients):
    table = cohort(patients=patients)
    if isinstance(split, LeaveOneSiteOut):
        table["patient_id"] = None
    shuffled = table.sample(frac=1, random_state=3)
    assert as_ids(table, split.folds(table)) == as_ids(shuffled, split.folds(shuffled))
    other = type(split)(seed=1)
    assert as_ids(table, type(split)(seed=0).folds(table)) != as_ids(table, other.folds(table))


@pytest.mark.parametrize("seed", range(5))
def test_without_groups_every_label_in_every_site_is_even_within_one(seed):
    table = cohort(n=213, sites=("A", "B", "B", "B", "C"), seed=seed)
    counts = pd.DataFrame([table.iloc[fold.test].groupby(["site", "target"]).size() for fold in KFold(5, seed=seed).folds(table)]).fillna(0)
    labels = pd.DataFrame([table.iloc[fold.test]["target"].value_counts() for fold in KFold(5, seed=seed).folds(table)])
    assert (counts.max() - counts.min() <= 1).all() and (labels.max() - labels.min() <= 1).all()


def test_strata_smaller_than_the_number_of_folds_are_spread_too():
    table = cohort(n=100)
    table["site"] = [f"hospital {i % 50}" for i in range(100)]  # two rows a site
    sizes = [(len(fold.test), table.iloc[fold.test]["target"].sum()) for fold in KFold(5).folds(table)]
    assert np.ptp([n for n, _ in sizes]) <= 1 and np.ptp([positive for _, positive in sizes]) <= 1


def test_shares_are_those_asked_for():
    table = cohort(n=1000)
    [fold] = HoldOut(test=0.3, val=0.1).folds(table)
    assert abs(len(fold.test) - 300) <= 2 and abs(len(fold.val) - 70) <= 2
    for part in (fold.train, fold.val, fold.test):
        assert abs(table.iloc[part]["target"].mean() - table["target"].mean()) < 0.02


def test_small_test_parts_do_not_lack_large_patients():
    sizes = np.repeat([1, 2, 4, 8], 100)
    table = pd.DataFrame({"patient_id": np.repeat([f"p{i:03d}" for i in range(400)], sizes)})
    table = table.assign(sample_id=[f"s{i}" for i in range(len(table))], site=None, target=np.arange(len(table)) % 2)
    [fold] = HoldOut(test=0.2, val=0.2).folds(table)
    mean = {part: table.iloc[getattr(fold, part)].groupby("patient_id").size().mean() for part in ("train", "val", "test")}
    assert max(mean.values()) - min(mean.values()) < 0.2


def test_rows_of_unknown_patients_are_groups_of_their_own():
    table = cohort(patients=20)
    table.loc[50:, "patient_id"] = None
    for fold in KFold(5).folds(table):
        check_split(fold, table)
        assert 39 <= len(fold.test) <= 41


def test_several_labels_are_spread_each():
    rng = np.random.default_rng(0)
    table = cohort(n=400).drop(columns="target").assign(site=None)
    for name, share in {"a": 0.4, "b": 0.1, "c": 0.03}.items():
        table[f"target_{name}"] = (rng.random(400) < share).astype(float)
    table.loc[::7, "target_a"] = np.nan
    counts = pd.DataFrame([table.iloc[fold.test].filter(like="target").eq(1).sum() for fold in KFold(4).folds(table)])
    assert (counts.max() - counts.min() <= [3, 2, 1]).all()


def test_labels_may_be_given_instead_of_the_table_s():
    table, labels = cohort(), np.arange(200) % 4
    for fold in KFold(5).folds(table, labels):
        assert np.bincount(labels[fold.test]).tolist() == [10, 10, 10, 10]


def test_of_several_labels_the_rarest_are_as_even_as_iterative_stratification_makes_them():
    """Sechidis et al. 2011, section 4, reach a deviation of about a row for each label; without groups so does the deal."""
    rng = np.random.default_rng(1)
    table = cohort(n=3000).drop(columns="target").assign(site=None)
    for i, share in enumerate(np.geomspace(0.4, 0.005, 12)):
        table[f"target_{i}"] = (rng.random(3000) < share).astype(int)
    counts = pd.DataFrame([table.iloc[fold.test].filter(like="target").sum() for fold in KFold(5).folds(table)])
    assert (counts - table.filter(like="target").sum() / 5).abs().max().max() < 2


def test_inner_folds_test_each_row_outside_the_outer_test_part_once_and_no_other():
    table = cohort(patients=60)
    split, labels = Nested(folds=4, inner=3), np.arange(200) % 2
    assert as_ids(table, split.folds(table)) == as_ids(table, KFold(4).folds(table))
    for outer in split.folds(table, labels):
        inner = split.inner_folds(outer, table, labels)
        assert [fold.name for fold in inner] == [f"{outer.name}-fold{k}" for k in range(3)]
        assert sorted(np.concatenate([fold.test for fold in inner])) == sorted([*outer.train, *outer.val])
        for fold in inner:
            check_split(fold, table)
            assert not set(outer.test) & {*fold.train, *fold.val, *fold.test}


def test_the_order_of_rows_changes_no_inner_fold_and_the_inner_seed_does():
    table = cohort(patients=60)
    shuffled = table.sample(frac=1, random_state=3)
    drawn = [as_ids(t, Nested(3).inner_folds(Nested(3).folds(t)[0], t)) for t in (table, shuffled)]
    other = Nested(3, inner_seed=1)
    assert drawn[0] == drawn[1] != as_ids(table, other.inner_folds(other.folds(table)[0], table))
    assert as_ids(table, Nested(3).folds(table)) == as_ids(table, other.folds(table))


def test_too_few_patients_for_the_inner_folds():
    table = cohort(patients=8)
    split = Nested(folds=2, inner=9)
    with pytest.raises(InputError, match="split.inner=9: the data has 4 patients, fewer than folds; give at most 4"):
        split.inner_folds(split.folds(table)[0], table)


def test_the_type_of_columns_changes_nothing():
    table = cohort(patients=60, sites=("A", "B", None))
    table.loc[150:, "patient_id"] = None
    plain = table.astype({"sample_id": object, "patient_id": object, "site": object})
    arrow = table.astype(dict.fromkeys(("sample_id", "patient_id", "site"), pd.ArrowDtype(pa.string())))
    assert as_ids(plain, KFold().folds(plain)) == as_ids(arrow, KFold().folds(arrow)) == as_ids(table, KFold().folds(table))


@pytest.mark.parametrize("patients", [None, 1500])
@pytest.mark.parametrize("split", [HoldOut(test=0.3), KFold(7)], ids=lambda split: type(split).__name__)
def test_groups_dealt_in_bulk_are_as_even_as_those_dealt_one_by_one(split, patients, monkeypatch):
    table = cohort(n=5000, patients=patients, sites=("A", "B", "B", "C", "D"))
    monkeypatch.setattr(stratify, "BULK", 0)
    shuffled = table.sample(frac=1, random_state=3)
    folds = split.folds(table)
    assert as_ids(table, folds) == as_ids(shuffled, split.folds(shuffled))
    for fold in folds:
        check_split(fold, table)
        share = len(fold.test) / 5000
        assert abs(len(fold.test) - (1500 if len(folds) == 1 else 5000 / 7)) < 3
        assert abs(table["target"].iloc[fold.test].sum() - table["target"].sum() * share) < 2
        strata = table.iloc[fold.test].groupby(["site", "target"]).size() - table.groupby(["site", "target"]).size() * share
        assert strata.abs().max() < (2 if patients is None else 9)
    if len(folds) > 1:
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(5000))


def test_a_hundred_thousand_patients_are_dealt_in_seconds():
    table = cohort(n=200_000, patients=100_000, sites=[f"hospital {i}" for i in range(20)])
    start = time.process_time()
    [fold] = HoldOut().folds(table)
    check_split(fold, table)
    assert time.process_time() - start < 8  # about 2 on an idle core
    assert abs(len(fold.test) - 40_000) < 4 and abs(table["target"].iloc[fold.test].mean() - table["target"].mean()) < 1e-4


def test_leave_one_site_out_tests_each_site_even_of_one_class():
    table = cohort(sites=("A", "B", "C"))
    table.loc[table["site"] == "C", "target"] = 1
    folds = LeaveOneSiteOut().folds(table)
    assert [fold.name for fold in folds] == ["A", "B", "C"]
    assert all(set(table["site"].iloc[fold.test]) == {fold.name} for fold in folds)


def test_given_takes_the_column_and_draws_only_missing_validation_rows():
    table = cohort().assign(split=["train"] * 120 + ["val"] * 30 + ["test"] * 50)
    [fold] = Given().folds(table)
    assert [len(fold.train), len(fold.val), len(fold.test)] == [120, 30, 50] and fold.test.tolist() == list(range(150, 200))
    [fold] = Given(val=0.2).folds(table.assign(split=["train"] * 150 + ["test"] * 50))
    assert abs(len(fold.val) - 30) <= 1 and fold.test.tolist() == list(range(150, 200))


def sites_with_one_patient():
    return pd.DataFrame({"sample_id": list("abcd"), "patient_id": list("ppqq"), "site": list("ABAB"), "target": [0, 1, 0, 1]})


@pytest.mark.parametrize(
    ("split", "table", "words"),
    [
        (KFold(5), cohort(patients=3), "split.folds=5: the data has 3 patients, fewer than folds; give at most 3."),
        (KFold(5), cohort(n=4), "split.folds=5: the data has 4 samples, fewer than folds"),
        (Repeated(2, 5), cohort(patients=3), "split.folds=5: the data has 3 patients"),
        (Nested(5), cohort(patients=3), "split.folds=5: the data has 3 patients"),
        (HoldOut(), cohort(patients=2), "split=holdout: the data has 2 patients, and train, val and test need one each"),
        (KFold(2), cohort().assign(target=[1] * 3 + [0] * 197), "val part has only one class (0)"),
        (KFold(5), cohort().assign(target=[1] * 2 + [0] * 198), "part has only one class (0)"),
        (LeaveOneSiteOut(), cohort(sites=("A",)), "all samples are from site A, and at least two sites are needed"),
        (LeaveOneSiteOut(), cohort().assign(site=None), "the site of 200 of 200 samples is not known"),
        (LeaveOneSiteOut(), cohort(patients=60), "Put all its rows into one part"),
        (Given(), cohort(), "the data set has no column split"),
        (Given(), cohort().assign(split="train"), "the column split has no test row"),
        (Given(), cohort().assign(split="dev"), "the column split holds 'dev'"),
        (Given(), sites_with_one_patient().assign(split=["train", "test", "train", "test"]), "patient 'p' is in train and in test"),
    ],
)
def test_what_cannot_be_split_is_refused(split, table, words):
    with pytest.raises(InputError) as caught:
        split.folds(table)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: HoldOut(test=1.5), "split.test=1.5: must be greater than 0 and less than 1"),
        (lambda: KFold(val=0), "split.val=0: must be greater than 0 and less than 1"),
        (lambda: KFold(folds=1), "split.folds=1: must be a whole number, at least 2"),
        (lambda: Nested(inner=1), "split.inner=1: must be a whole number, at least 2"),
        (lambda: Nested(inner_seed=-1), "split.inner_seed=-1: must be a whole number, at least 0"),
        (lambda: Repeated(repeats=1), "split.repeats=1: must be a whole number, at least 2"),
    ],
)
def test_arguments_out_of_range(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_check_split_names_what_is_on_both_sides():
    table = cohort(n=4).assign(patient_id=["p", "q", "p", None])
    with pytest.raises(InputError, match="patient 'p' is in train and in test"):
        check_split(Fold("f", np.array([0]), np.array([1]), np.array([2])), table)
    with pytest.raises(InputError, match="sample 's0003' is in val and in test"):
        check_split(Fold("f", np.array([0]), np.array([3]), np.array([3])), table)


def test_heart_sounds_are_even_by_label_and_database_within_one_recording():
    table = Physionet2016(real("physionet2016")).table
    folds = KFold(5).folds(table)
    counts = pd.DataFrame([table.iloc[fold.test].groupby(["site", "target"]).size() for fold in folds])
    assert (counts.max() - counts.min() <= 1).all() and sorted(len(fold.test) for fold in folds) == [219, 220, 220, 220, 220]
    assert [fold.name for fold in LeaveOneSiteOut().folds(table)] == list("abcdf")


@pytest.mark.parametrize("seed", range(3))
def test_x_rays_of_few_patients_are_as_even_as_scikit_learn_makes_them_or_more(seed):
    table = CovidCxr(real("covid-cxr")).table
    ours = [fold.test for fold in KFold(5, seed=seed).folds(table)]
    theirs = [
        test for _, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(table, table["target"], table["patient_id"])
    ]
    share = lambda parts: np.ptp([table["target"].iloc[part].mean() for part in parts])  # noqa: E731
    assert np.ptp([len(part) for part in ours]) <= min(2, np.ptp([len(part) for part in theirs]))
    assert share(ours) <= max(0.02, share(theirs)) and share(ours) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_unequal_shares_reach_small_strata_too(seed):
    table = cohort(n=300, seed=seed)
    table["site"] = [f"hospital {i % 60}" for i in range(300)]  # five rows a site
    [fold] = HoldOut(test=0.2, val=0.15, seed=seed).folds(table)
    whole, test = (t.groupby(["site", "target"]).size() for t in (table, table.iloc[fold.test]))
    assert (test.reindex(whole.index, fill_value=0) - 0.2 * whole).abs().max() < 1.01
    assert abs(len(fold.test) - 60) <= 1 and abs(len(fold.val) - 36) <= 1
