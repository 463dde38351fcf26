"""What a run was trained on is told by content, so that nothing of it is tested again as new."""

import numpy as np
import pandas as pd
import pytest

from mmdx.data.kept_folds import KeptFolds
from mmdx.data.splits import Fold
from mmdx.errors import InputError

TABLE = pd.DataFrame({"sample_id": [f"s{i}" for i in range(6)], "patient_id": ["p0", "p0", "p1", "p2", None, None]})
CONTENTS = np.array([f"c{i}" for i in range(6)], dtype=object)
KEPT = KeptFolds.of([Fold("holdout", np.array([0, 1, 4]), np.array([2]), np.array([3, 5]))], TABLE, CONTENTS)


def test_folds_come_back_by_id_in_any_order():
    order = [5, 3, 1, 0, 2, 4]
    fold = KEPT.folds(TABLE.iloc[order].reset_index(drop=True))[0]
    named = {part: {TABLE["sample_id"][order[row]] for row in getattr(fold, part)} for part in ("train", "val", "test")}
    assert named == {"train": {"s0", "s1", "s4"}, "val": {"s2"}, "test": {"s3", "s5"}}


def test_rows_trained_on_are_left_out_under_any_name_and_order(tmp_path):
    KEPT.write(tmp_path)
    new = pd.DataFrame({"sample_id": list("abcde"), "patient_id": ["x"] * 5})
    contents = np.array(["c4", "new", "c2", "c3", "other"], dtype=object)
    assert KeptFolds.read(tmp_path).unseen(new, contents, np.arange(5)).tolist() == [1, 3, 4]


def test_new_rows_of_a_trained_patient_are_left_out_of_the_same_cohort_alone():
    table = pd.DataFrame({"sample_id": ["a", "b"], "patient_id": ["p0", "p9"]})
    assert KEPT.unseen(table, np.array(["new", "c3"], dtype=object), np.arange(2)).tolist() == [1]
    other = np.array(["new", "newer"], dtype=object)  # another cohort whose patients are called alike
    assert KEPT.unseen(table, other, np.arange(2)).tolist() == [0, 1]


def test_a_sample_that_is_gone_is_named():
    with pytest.raises(InputError, match="sample 's4' of the run is not in the data any more"):
        KEPT.folds(TABLE.drop(index=4))


def test_unknown_patients_are_not_taken_for_one():
    nobody = pd.DataFrame({"sample_id": ["a", "b"], "patient_id": [None, None]})
    kept = KeptFolds.of([Fold("holdout", np.array([4]), np.array([2]), np.array([3]))], TABLE.assign(patient_id=None), CONTENTS)
    assert kept.unseen(nobody, np.array(["c3", "c4"], dtype=object), np.arange(2)).tolist() == [0]


def test_a_model_knows_its_rows_and_their_patients_by_id_where_the_cohort_is_the_same():
    table = pd.DataFrame({"sample_id": ["s0", "a", "b", "s3"], "patient_id": ["x", "p1", "p9", None]})
    alike = np.array(["new", "newer", "c4", "newest"], dtype=object)  # one row's content is known, so ids count
    assert KEPT.knows("holdout", table, alike, np.arange(4), same=False).tolist() == [True, True, True, False]
    other = np.array(["new", "newer", "newest", "last"], dtype=object)
    assert KEPT.knows("holdout", table, other, np.arange(4), same=False).tolist() == [False] * 4
    assert KEPT.knows("holdout", table, other, np.arange(4), same=True).tolist() == [True, True, False, False]
    assert KEPT.knows("another fold", table, other, np.arange(4), same=True).tolist() == [False] * 4
