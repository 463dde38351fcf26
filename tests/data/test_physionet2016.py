"""Facts about the heart sounds of the PhysioNet/CinC Challenge 2016 as this data set gives them."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmdx.data.physionet2016 import Physionet2016
from mmdx.errors import InputError, SampleError


@pytest.fixture
def root(tmp_path):
    """Two sub-databases of three recordings each, the first of which names an ECG that is not there."""
    for letter, labels in {"a": (1, -1, 1), "b": (-1, -1, 1)}.items():
        folder = tmp_path / f"training-{letter}"
        folder.mkdir()
        for i in range(3):
            sound = np.sin(np.arange(2000) / (i + 3)).astype(np.float32)
            soundfile.write(folder / f"{letter}000{i}.wav", sound, 2000)
            (folder / f"{letter}000{i}.hea").write_text(f"{letter}000{i} 2 2000 2000\n{letter}000{i}.wav 16\n{letter}000{i}.dat 16\n")
        (folder / "REFERENCE.csv").write_text("".join(f"{letter}000{i},{label}\n" for i, label in enumerate(labels)))
    return tmp_path


def test_a_row_is_a_recording_with_its_database_as_site_and_no_patient(root):
    data = Physionet2016(root)
    assert data.table["sample_id"].tolist() == ["a0000", "a0001", "a0002", "b0000", "b0001", "b0002"]
    assert data.table["target"].tolist() == [1, 0, 1, 0, 0, 1] and data.table["site"].tolist() == list("aaabbb")
    assert data.table["patient_id"].isna().all() and data.unit == "recording" and not data.faults
    sample = data[4]
    assert sample.target == 0 and sample.meta == {"sample_id": "b0001", "patient_id": None, "site": "b"}
    assert sample.inputs["audio"].rate == 2000 and sample.inputs["audio"].samples.shape == (2000,)


def test_it_can_be_pickled_and_restricted(root):
    data = pickle.loads(pickle.dumps(Physionet2016(root, databases=["b"])))
    assert len(data) == 3 and data[0].meta["site"] == "b"


def test_missing_folder_says_what_it_holds(tmp_path):
    with pytest.raises(InputError, match=r"^data.root=/nonexistent/here: no such folder. Give the folder that holds training-a, training-b, "):
        Physionet2016("/nonexistent/here")
    with pytest.raises(InputError, match="there is no folder training-a"):
        Physionet2016(tmp_path)


def test_a_database_or_reference_that_is_not_there(root):
    with pytest.raises(InputError, match=r"data.databases=\['a', 'z'\]: no training-z .* There are: a, b"):
        Physionet2016(root, databases=["a", "z"])
    (root / "training-b" / "REFERENCE.csv").unlink()
    with pytest.raises(InputError, match="no training-b/REFERENCE.csv"):
        Physionet2016(root)


def test_faulty_rows_are_set_aside_and_named(root):
    (root / "training-a" / "a0000.wav").unlink()
    (root / "training-b" / "b0000.wav").write_bytes(b"")
    with (root / "training-b" / "REFERENCE.csv").open("a") as file:
        file.write("b0001,1\nb0009,0\n")
    data = Physionet2016(root)
    assert data.table["sample_id"].tolist() == ["a0001", "a0002", "b0001", "b0002"]
    assert [(fault.sample_id, fault.row) for fault in data.faults] == [("a0000", 1), ("b0000", 1), ("b0001", 4), ("b0009", 5)]
    words = ["'training-a/a0000.wav' is missing", "'training-b/b0000.wav' has 0 bytes", "there a second time", "the label '0'"]
    assert all(word in str(fault) for word, fault in zip(words, data.faults, strict=True))
    assert str(data.faults[1]).startswith("training-b/REFERENCE.csv, row 1: audio file")


def test_one_class_only_is_refused(root):
    for letter in "ab":
        (root / f"training-{letter}" / "REFERENCE.csv").write_text(f"{letter}0000,1\n")
    with pytest.raises(InputError, match=r"the target has only one class in 2 rows \(class 1\)"):
        Physionet2016(root)


def test_another_sampling_rate_is_refused_when_read(root):
    soundfile.write(root / "training-a" / "a0001.wav", np.sin(np.arange(900)), 4000)
    with pytest.raises(SampleError, match=r"training-a/REFERENCE.csv, row 2: .*4000 Hz, expected 2000 Hz"):
        Physionet2016(root)[1]


def test_the_published_counts():
    if "MMDX_DATA" not in os.environ:
        pytest.skip("needs the real recordings: set MMDX_DATA to the folder that holds physionet2016")
    data = Physionet2016(Path(os.environ["MMDX_DATA"]) / "physionet2016")
    counts = data.table.groupby("site")["target"].agg(["size", "sum"])
    assert len(data) == 1099 and not data.faults
    assert counts["size"].to_dict() == {"a": 409, "b": 490, "c": 31, "d": 55, "f": 114}
    assert counts["sum"].to_dict() == {"a": 292, "b": 104, "c": 24, "d": 28, "f": 34}
    for index in range(0, 1099, 100):
        assert 5 <= len(data[index].inputs["audio"].samples) / 2000 <= 122
