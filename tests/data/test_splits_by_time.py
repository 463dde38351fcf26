"""Facts about splits by time: nothing that is trained on is later than what is tested, and no patient is on both sides."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import TimeSeriesSplit

from mmdx.data.splits import PARTS, ByTime, check_split
from mmdx.errors import InputError


def cohort(n=300, patients=None, times=None, seed=0):
    rng = np.random.default_rng(seed)
    days = rng.permutation(n) if times is None else rng.integers(0, times, n)
    owners = [None] * n if patients is None else [f"p{i}" for i in rng.integers(0, patients, n)]
    table = {"sample_id": [f"s{i:04d}" for i in range(n)], "patient_id": pd.Series(owners, dtype=object), "site": None}
    dates = (pd.Timestamp("2015-01-01") + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d")
    return pd.DataFrame({**table, "target": rng.integers(0, 2, n), "meta_time": dates.astype(object)})


@pytest.mark.parametrize("patients", [None, 150])
@pytest.mark.parametrize("times", [None, 12])
@pytest.mark.parametrize("folds", [1, 3])
def test_training_ends_before_validation_and_validation_before_test(patients, times, folds):
    table = cohort(patients=patients, times=times)
    for fold in ByTime(folds=folds).folds(table):
        check_split(fold, table)
        time = [table["meta_time"].iloc[getattr(fold, part)] for part in PARTS]
        assert time[0].max() < time[1].min() and time[1].max() < time[2].min()


def test_shares_are_those_asked_for_and_unknown_patients_lose_no_row():
    [fold] = ByTime(test=0.25, val=0.2).folds(cohort())
    assert fold.name == "by_time" and [len(fold.train), len(fold.val), len(fold.test)] == [180, 45, 75]


def test_a_patient_belongs_where_the_first_row_falls_and_later_rows_are_in_no_part():
    table = pd.DataFrame({"sample_id": list("abcdefgh"), "patient_id": list("ppqrsstp"), "site": None, "target": [0, 1, 0, 1, 0, 1, 0, 1]})
    table["meta_time"] = [1, 2, 3, 4, 5, 6, 7, 8]
    [fold] = ByTime(test=0.375, val=0.4).folds(table, np.arange(8) % 2)
    named = ["".join(table["sample_id"].iloc[getattr(fold, part)]) for part in PARTS]
    assert named == ["ab", "cd", "efg"]  # h is of p, who came in at 1, and lies in the time of the test


def test_windows_are_those_of_scikit_learn_where_no_patient_has_two_rows():
    table = cohort()
    order = np.argsort(table["meta_time"].to_numpy())
    folds = ByTime(test=0.15, folds=4).folds(table)
    theirs = list(TimeSeriesSplit(4, test_size=45).split(order))
    assert [fold.name for fold in folds] == [f"window{i}" for i in range(4)]
    for fold, (train, test) in zip(folds, theirs, strict=True):
        assert set(fold.test) == set(order[test]) and {*fold.train, *fold.val} == set(order[train])


def test_the_order_of_rows_and_the_form_of_times_change_nothing():
    table = cohort(patients=100)
    named = lambda t: [[set(t["sample_id"].iloc[getattr(fold, part)]) for part in PARTS] for fold in ByTime(folds=2).folds(t)]  # noqa: E731
    expected = named(table)
    date = pd.to_datetime(table["meta_time"])
    written = [date.dt.strftime(form) for form in ("%Y%m%d", "%Y-%m-%dT00:00:00+02:00")]
    for form in (date, date.dt.tz_localize("Asia/Tokyo"), date.astype("int64") / 7, *written):
        assert named(table.assign(meta_time=form)) == expected
    assert named(table.sample(frac=1, random_state=1)) == expected


def test_another_column_may_be_named():
    table = cohort().rename(columns={"meta_time": "meta_visit"})
    assert len(ByTime("visit").folds(table)[0].test) == len(ByTime("meta_visit").folds(table)[0].test) == 60


def with_time(row, value):
    table = cohort()
    table.loc[row, "meta_time"] = value
    return table


@pytest.mark.parametrize(
    ("split", "table", "words"),
    [
        (ByTime("visit"), cohort(), r"split.column=visit: the data has no column meta_visit; there are: time. A manifest .* data.meta='\[visit\]'"),
        (ByTime(), with_time(7, None), "split.column=time: the time of sample 's0007' is missing; write dates as 2019-12-31"),
        (ByTime(), with_time([7, 9], "31/12/2019"), "the time of sample 's0007' is '31/12/2019', no date or number, and 1 more cannot be used"),
        (ByTime(), cohort().assign(meta_time=[*range(299), "later"]), "the time of sample 's0299' is 'later', no date or number"),
        (ByTime(), cohort().assign(meta_time=[*range(299), np.inf]), "the time of sample 's0299' is 'inf'"),
        (ByTime(), cohort(times=1), "comes in at one time"),
        (ByTime(folds=4, test=0.2), cohort(times=3), "come in at 3 different times, too few for that many windows; give fewer folds"),
        (ByTime(), cohort().assign(target=[0, 1] * 20 + [1] * 260, meta_time=range(300)), "its val part has only one class"),
    ],
)
def test_what_cannot_be_split_is_refused(split, table, words):
    with pytest.raises(InputError, match=words):
        split.folds(table)


def test_windows_must_leave_something_to_train_on():
    with pytest.raises(InputError, match="split.folds=5: with split.test=0.2 nothing is left to train on"):
        ByTime(folds=5)
