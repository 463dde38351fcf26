"""Facts about reading predictions: the kinds, and one sentence for whatever is wrong."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made

from mmdx.errors import InputError
from mmdx.evaluation.predictions import checked, kind_of, read_predictions

BINARY = pd.DataFrame({"sample_id": ["a", "b", "c"], "target": [0, 1, 1], "prob": [0.2, 0.7, 0.6]})
MULTICLASS = pd.DataFrame({"sample_id": ["a", "b"], "target": ["x", "y"], "prob_x": [0.7, 0.4], "prob_y": [0.3, 0.6]})
MULTILABEL = pd.DataFrame(
    {"sample_id": ["a", "b"], "target_p": [0, 1], "prob_p": [0.3, 0.6], "target_q": [np.nan, 1], "prob_q": [0.3, 0.6]}
)


def test_the_kind_follows_from_the_columns():
    assert [kind_of(f) for f in (BINARY, MULTICLASS, MULTILABEL)] == ["binary", "multiclass", "multilabel"]


@pytest.mark.parametrize("frame", [BINARY, MULTICLASS, MULTILABEL])
def test_optional_columns_have_the_documented_defaults(frame):
    found = checked(frame)
    assert set(found["modalities"]) == {"all"} and set(found["split"]) == {"test"} and set(found["ablation"]) == {"offered"}


def test_names_of_a_subset_are_put_in_order():
    assert set(checked(BINARY.assign(modalities="text+image"))["modalities"]) == {"image+text"}


def test_a_folder_a_parquet_file_and_a_csv_file_give_the_same(tmp_path):
    frame = made(20)
    frame.to_parquet(tmp_path / "predictions.parquet")
    frame.to_csv(tmp_path / "other.csv", index=False)
    tables = [checked(read_predictions(p)) for p in (tmp_path, tmp_path / "predictions.parquet", tmp_path / "other.csv")]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    np.testing.assert_allclose(tables[0]["prob"], tables[2]["prob"])
    assert tables[0]["sample_id"].tolist() == tables[2]["sample_id"].tolist()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (BINARY.drop(columns="prob"), ["target", "prob"]),
        (BINARY.drop(columns="sample_id"), ["sample_id"]),
        (BINARY.assign(prob=[0.2, 1.2, 0.6]), ["row 2", "prob=1.2", "0 to 1"]),
        (BINARY.assign(prob=[0.2, 0.7, np.nan]), ["row 3", "prob=nan", "0 to 1"]),
        (BINARY.assign(oracle=[0.2, 0.7, -1]), ["row 3", "oracle=-1", "0 to 1"]),
        (BINARY.assign(target=[0, 1, 2]), ["row 3", "target=2", "1 or 0"]),
        (BINARY.assign(target=["0", "yes", "1"]), ["row 2", "target=yes", "1 or 0"]),
        (BINARY.assign(sample_id=["a", "b", "b"]), ["row 3", "sample_id=b", "second time"]),
        (BINARY.assign(sample_id=["a", None, "b"]), ["row 2", "sample_id"]),
        (BINARY.assign(split="train"), ["no test rows", "train"]),
        (BINARY.assign(target=1), ["class 1", "3 test rows"]),
        (BINARY.assign(ablation="removed"), ["ablation=removed", "offered, retrained"]),
        (BINARY.assign(sample_id=["a", "b", "b"], fold=["0", "0", "1"], target=[0, 1, 0]), ["'b'", "different values of target"]),
        (BINARY.assign(sample_id=["a", "b", "b"], fold=["0", "0", "1"], patient_id=["1", "2", "3"]), ["'b'", "patient_id"]),
        (MULTICLASS.assign(target=["x", "z"]), ["row 2", "target=z", "['x', 'y']"]),
        (MULTICLASS.assign(prob_x=[0.7, 0.7]), ["row 2", "sum to 1"]),
        (MULTILABEL.drop(columns="prob_q"), ["'q'", "prob_q"]),
        (MULTILABEL.drop(columns="target_q"), ["'q'", "target_q"]),
        (MULTILABEL.assign(target_p=[0, -1]), ["row 2", "target_p=-1", "1 or 0, or empty"]),
        (MULTILABEL.assign(target_p=1), ["one class of each label"]),
        (BINARY.iloc[:0], ["no test rows"]),
    ],
)
def test_what_is_wrong_gets_one_sentence(frame, words):
    with pytest.raises(InputError) as fault:
        checked(frame, "run/predictions.parquet")
    assert all(word in str(fault.value) for word in words), str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        read_predictions(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"predictions\.parquet: no such file"):
        read_predictions(tmp_path)
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match=r"predictions\.parquet: cannot be read"):
        read_predictions(tmp_path)


def test_a_patient_on_both_sides_is_refused_but_not_in_different_folds():
    frame = made(60, folds=1).assign(fold="0")
    test, val = (frame["split"] == part for part in ("test", "val"))
    patient = frame.loc[test, "patient_id"].iloc[0]
    sample = frame.loc[val, "sample_id"].iloc[0]
    moved = frame.assign(patient_id=frame["patient_id"].where(~(val & (frame["sample_id"] == sample)), patient))
    with pytest.raises(InputError, match="is on both sides, in val and in test rows, fold 0") as told:
        checked(moved)
    assert "\n" not in str(told.value)
    checked(moved.assign(fold=np.where(test, "0", "1")))
    checked(moved.assign(patient_id=None))
