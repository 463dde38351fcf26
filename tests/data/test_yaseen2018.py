"""Facts about Yaseen, Son and Kwon's heart sounds as this data set gives them, on a tiny copy of the upstream layout."""

import numpy as np
import pytest
import soundfile

from mmdx.data.yaseen2018 import CLASSES, Yaseen2018
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_dataset


def write(root, folder="{}", count=3):
    for k, name in enumerate(CLASSES):
        place = root / folder.format(name)
        place.mkdir()
        for i in range(1, count + 1):
            sound = np.random.default_rng(100 * k + i).normal(0, 0.1, 9600 + 800 * i)
            soundfile.write(place / f"New_{name}_{i:03}.wav", sound, 8000, subtype="PCM_16")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path)


def test_it_is_a_data_set(root):
    check_dataset(Yaseen2018(root))
    check_dataset(Yaseen2018(root, target="diagnosis"))


def test_a_row_is_a_file_with_no_patient_and_no_site(root):
    data = Yaseen2018(root)
    assert len(data) == 15 and data.unit == "recording" and not data.faults
    assert data.table["patient_id"].isna().all() and data.table["site"].isna().all()
    assert data.table["sample_id"].tolist()[:4] == ["New_AS_001", "New_AS_002", "New_AS_003", "New_MR_001"]
    assert data[0].inputs["audio"].rate == 8000 and data.paths_of(0)["audio"] == [root / "AS" / "New_AS_001.wav"]


def test_normal_against_the_rest_or_the_five_classes(root):
    assert Yaseen2018(root).table["target"].tolist() == [1] * 12 + [0] * 3
    assert Yaseen2018(root, target="diagnosis").table["target"].value_counts().to_dict() == dict.fromkeys(CLASSES, 3)


def test_the_names_of_upstreams_own_folders(tmp_path):
    assert len(Yaseen2018(write(tmp_path, "{}_New_3주기"))) == 15


def test_a_class_that_is_missing_or_empty_is_named(root):
    for path in (root / "MVP").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"the folder MVP holds no New_MVP_001.wav"):
        Yaseen2018(root)
    (root / "MVP").rmdir()
    with pytest.raises(InputError, match=r"there is no folder MVP \(mitral valve prolapse\) in it. Give the folder that holds the folders AS"):
        Yaseen2018(root)
    with pytest.raises(InputError, match="data.target=murmur: must be one of abnormal, diagnosis"):
        Yaseen2018(root, target="murmur")


def test_an_empty_file_is_a_fault_and_another_rate_one_when_read(root):
    (root / "MS" / "New_MS_002.wav").write_bytes(b"")
    soundfile.write(root / "N" / "New_N_001.wav", np.sin(np.arange(900)), 4000)
    data = Yaseen2018(root)
    assert [str(fault) for fault in data.faults] == ["audio file 'MS/New_MS_002.wav' has 0 bytes."] and len(data) == 14
    with pytest.raises(SampleError, match="'N/New_N_001.wav' has a sampling rate of 4000 Hz, expected 8000 Hz"):
        data[11]


def test_a_sound_of_another_name_is_told_and_not_passed_over(root):
    (root / "AS" / "New_AS_001.wav").rename(root / "AS" / "New_AS_001 (1).wav")
    data = Yaseen2018(root)
    assert len(data) == 14
    assert [str(fault) for fault in data.faults] == ["audio file 'AS/New_AS_001 (1).wav' is not called New_AS_NUMBER.wav, as all of AS are."]
