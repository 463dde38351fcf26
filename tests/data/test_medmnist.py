"""Facts about MedMNIST as this data set gives it, on tiny files of the published form."""

import pickle

import numpy as np
import pytest

from mmdx.data.medmnist import SUBSETS, MedMnist
from mmdx.errors import InputError
from mmdx.testing import check_dataset

COUNTS = {"train": 12, "val": 6, "test": 8}


def write(root, subset, size=28, rgb=False, compressed=True, **changes):
    """``SUBSET.npz`` with images and labels as the publisher has them: uint8 [n, S, S] or [n, S, S, 3], and [n, 1] or [n, 14]."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in COUNTS.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, size, size, *[3] * rgb), dtype=np.uint8)
        number = len(SUBSETS[subset].classes)
        labels = np.arange(count)[:, None] % number if subset != "chestmnist" else (np.arange(count)[:, None] + np.arange(number)) % 3 == 0
        arrays[f"{split}_labels"] = labels.astype(np.uint8)
    path = root / (f"{subset}.npz" if size == 28 else f"{subset}_{size}.npz")
    arrays = {name: values for name, values in (arrays | changes).items() if values is not None}
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return arrays


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(("subset", "size", "rgb"), [("pneumoniamnist", 28, False), ("chestmnist", 64, False), ("bloodmnist", 28, True)])
def test_it_is_a_data_set(root, subset, size, rgb):
    write(root, subset, size, rgb)
    check_dataset(MedMnist(root, subset, size))


@pytest.mark.parametrize("compressed", [True, False])
def test_images_are_those_of_the_file_with_the_official_division(root, compressed):
    arrays = write(root, "pneumoniamnist", compressed=compressed)
    data = MedMnist(root, "pneumoniamnist")
    assert data.table["split"].value_counts().to_dict() == COUNTS and data.table["patient_id"].isna().all() and data.unit == "image"
    assert data.table["sample_id"].iloc[[0, 12, 25]].tolist() == ["train/0", "val/0", "test/7"]
    np.testing.assert_array_equal(data[0].inputs["image"], arrays["train_images"][0])
    np.testing.assert_array_equal(data[25].inputs["image"], arrays["test_images"][7])
    assert data.table["target"].tolist() == [int(v) for split in COUNTS for v in arrays[f"{split}_labels"][:, 0]]


def test_one_is_the_diagnosis_although_breastmnist_numbers_malignant_tumours_zero(root):
    arrays = write(root, "breastmnist")
    assert MedMnist(root, "breastmnist").table["target"].tolist()[:4] == [1 - int(v) for v in arrays["train_labels"][:4, 0]]


def test_several_classes_have_their_published_names_and_findings_are_labels(root):
    write(root, "retinamnist", rgb=True)
    write(root, "chestmnist")
    assert MedMnist(root, "retinamnist").table["target"].tolist()[:6] == ["0", "1", "2", "3", "4", "0"]
    table = MedMnist(root, "chestmnist").table
    labels = [column.removeprefix("target_") for column in table if column.startswith("target_")]
    assert len(labels) == 14 and labels[:2] == ["atelectasis", "cardiomegaly"] and labels[-1] == "hernia"
    assert table["target_atelectasis"].tolist()[:4] == [1, 0, 0, 1]


def test_what_is_sent_to_a_process_holds_no_image(root):
    write(root, "bloodmnist", 224, rgb=True)
    data = MedMnist(root, "bloodmnist", 224)
    assert len(pickle.dumps(data)) < 20_000 < data[0].inputs["image"].nbytes


def test_arrays_are_laid_open_once_and_anew_where_the_file_changed(root):
    write(root, "pneumoniamnist")
    MedMnist(root, "pneumoniamnist", unpack_to=root / "open")
    before = {path: path.stat().st_mtime_ns for path in (root / "open").iterdir()}
    assert len(before) == 6 and MedMnist(root, "pneumoniamnist", unpack_to=root / "open")
    assert {path: path.stat().st_mtime_ns for path in (root / "open").iterdir()} == before
    other = np.zeros((12, 28, 28), np.uint8)
    write(root, "pneumoniamnist", train_images=other)
    np.testing.assert_array_equal(MedMnist(root, "pneumoniamnist", unpack_to=root / "open")[0].inputs["image"], other[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"val_labels": None}, "pneumoniamnist.npz: there is no array val_labels in it"),
        ({"val_images": np.zeros((6, 28, 28))}, r"val_images is float64 of shape \(6, 28, 28\), expected 28 x 28 pixels of uint8"),
        ({"test_images": np.zeros((8, 32, 32), np.uint8)}, r"test_images is uint8 of shape \(8, 32, 32\), expected 28 x 28"),
        ({"test_labels": np.zeros((7, 1), np.uint8)}, r"test_labels is uint8 of shape \(7, 1\), expected whole numbers \[8, 1\]"),
        ({"test_labels": np.full((8, 1), 2, np.uint8)}, "test_labels has 2 to 2, expected 0 to 1"),
        ({"train_labels": np.array([[None]] * 12, dtype=object)}, "train_labels is not a plain array"),
    ],
)
def test_another_form_is_refused(root, changes, words):
    write(root, "pneumoniamnist", **changes)
    with pytest.raises(InputError, match=words):
        MedMnist(root, "pneumoniamnist")


def test_a_file_that_is_missing_or_damaged(root):
    with pytest.raises(InputError, match=r"there is no pneumoniamnist_64.npz in it"):
        MedMnist(root, "pneumoniamnist", 64)
    write(root, "pneumoniamnist")
    path = root / "pneumoniamnist.npz"
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"pneumoniamnist.npz: damaged or cut short .* Get the file anew"):
        MedMnist(root, "pneumoniamnist")


def test_a_byte_that_changed_is_found(root):
    write(root, "pneumoniamnist", compressed=False)
    path = root / "pneumoniamnist.npz"
    data = bytearray(path.read_bytes())
    data[5000] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"damaged or cut short \(Bad CRC-32"):
        MedMnist(root, "pneumoniamnist")
    assert not list((root / "cache" / "mmdx" / "medmnist").glob("*train_images*"))


def test_a_folder_that_cannot_be_written_says_how_to_name_another(root):
    write(root, "pneumoniamnist")
    (root / "taken").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be laid open .* Give a folder with room by data.unpack_to=FOLDER"):
        MedMnist(root, "pneumoniamnist", unpack_to=root / "taken")


@pytest.mark.parametrize(
    ("subset", "size", "words"), [("mnist", 28, "data.subset=mnist: must be one of pathmnist"), ("breastmnist", 32, "data.size=32: must be one")]
)
def test_arguments_out_of_range(root, subset, size, words):
    with pytest.raises(InputError, match=words):
        MedMnist(root, subset, size)
