"""Facts about folders of classes."""

import pytest
from made_files import WRITERS

from mmdx.data.folder import Folder
from mmdx.errors import InputError
from mmdx.testing import check_dataset


def write(root, classes=("benign", "malignant"), suffix="png", count=3, splits=("",)):
    """``ROOT/[SPLIT/]CLASS/p1_0.png``: file k of patient k + 1."""
    for k, (split, name) in enumerate((split, name) for split in splits for name in classes):
        folder = root / split / name
        folder.mkdir(parents=True)
        for i in range(count):
            WRITERS[suffix](folder / f"p{i + 1}_{k}.{suffix}", 10 * k + i)
    return root


@pytest.mark.parametrize(("suffix", "modality"), [("png", "image"), ("wav", "audio"), ("txt", "text")])
def test_the_suffix_says_what_the_modality_is(tmp_path, suffix, modality):
    data = Folder(write(tmp_path, suffix=suffix))
    check_dataset(data)
    assert data.modalities == (modality,) and len(data) == 6 and data.table["target"].tolist() == ["benign"] * 3 + ["malignant"] * 3
    assert data.table["sample_id"][0] == f"benign/p1_0.{suffix}" and data.paths_of(0) == {modality: [tmp_path / "benign" / f"p1_0.{suffix}"]}
    assert data.table["patient_id"].isna().all() and data.unit == "sample" and "split" not in data.table


def test_splits_above_the_classes_become_the_column_split(tmp_path):
    data = Folder(write(tmp_path, splits=("train", "valid", "test")), positive="malignant")
    assert data.table["split"].tolist() == ["test"] * 6 + ["train"] * 6 + ["val"] * 6
    assert data.table["target"].tolist() == [0, 0, 0, 1, 1, 1] * 3 and data.table["sample_id"][0] == "test/benign/p1_4.png"


def test_the_patient_is_the_patterns_group(tmp_path):
    data = Folder(write(tmp_path), patient_pattern=r"^(p\d+)_")
    assert data.table["patient_id"].tolist() == ["p1", "p2", "p3"] * 2 and data.unit == "patient"
    WRITERS["png"](tmp_path / "benign" / "scan.png", 1)
    (fault,) = Folder(tmp_path, patient_pattern=r"^(p\d+)_").faults
    assert str(fault).startswith(r"file 'benign/scan.png': data.patient_pattern='^(p\d+)_' finds no patient in its name; remove it")


@pytest.mark.parametrize(("pattern", "words"), [("(p", "not a regular"), ("p.", "has 0 groups"), ("(p)(.)", "has 2 groups, must have one")])
def test_a_pattern_that_cannot_be_used(tmp_path, pattern, words):
    with pytest.raises(InputError, match=words):
        Folder(write(tmp_path), patient_pattern=pattern)


def test_folders_called_0_and_1_are_a_binary_target(tmp_path):
    assert Folder(write(tmp_path, classes=("0", "1"))).table["target"].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(InputError, match="data.positive=2: no such class. There are: 0, 1"):
        Folder(tmp_path, positive=2)


def test_hidden_files_and_files_beside_the_classes_are_passed_over(tmp_path):
    write(tmp_path)
    (tmp_path / "benign" / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("About these files.")
    assert len(Folder(tmp_path)) == 6 and not Folder(tmp_path).faults


def test_an_empty_class_is_named(tmp_path):
    write(tmp_path, splits=("train", "test"))
    (tmp_path / "test" / "normal").mkdir()
    (tmp_path / "test" / "normal" / ".keep").write_text("")
    with pytest.raises(InputError, match="class folder 'test/normal' is empty"):
        Folder(tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: (root / "benign" / "old").mkdir(), "there is a folder 'old' in class folder 'benign'. Expected CLASS/file, or SPLIT"),
        (lambda root: (root / "train").mkdir(), "folder 'benign' stands beside 'train'"),
        (lambda root: WRITERS["wav"](root / "benign" / "a.wav", 1), r"files of several kinds: audio \(benign/a.wav\), image \(benign/p1_0.png\)"),
    ],
)
def test_another_layout_is_refused(tmp_path, make, words):
    make(write(tmp_path))
    with pytest.raises(InputError, match=words):
        Folder(tmp_path)


def test_a_folder_without_folders_and_one_class(tmp_path):
    with pytest.raises(InputError, match="there is no folder in"):
        Folder(tmp_path)
    with pytest.raises(InputError, match="the target has only one class in 3 rows"):
        Folder(write(tmp_path, classes=("benign",)))


def test_links_that_lead_outside_are_refused(tmp_path):
    root, outside = write(tmp_path / "data"), tmp_path / "outside"
    outside.mkdir()
    WRITERS["png"](outside / "p9_0.png", 9)
    (root / "benign" / "p9_0.png").symlink_to(outside / "p9_0.png")
    (root / "benign" / "p8_0.png").symlink_to(root / "benign" / "p1_0.png")
    data = Folder(root)
    assert [fault.file for fault in data.faults] == ["benign/p9_0.png"] and "lies outside" in str(data.faults[0]) and len(data) == 7
    (root / "normal").symlink_to(outside)
    with pytest.raises(InputError, match="folder 'normal' is a link that leads outside"):
        Folder(root)


def test_files_that_cannot_be_used_are_faults(tmp_path):
    write(tmp_path)
    (tmp_path / "benign" / "notes.pdf").write_bytes(b"%PDF")
    (tmp_path / "malignant" / "p1_1.png").write_bytes(b"")
    words = ["file 'benign/notes.pdf' is of no kind that can be read (.png, ", "image file 'malignant/p1_1.png' has 0 bytes"]
    data = Folder(tmp_path)
    assert len(data) == 5 and all(str(fault).startswith(word) for word, fault in zip(words, data.faults, strict=True))


def test_what_systems_leave_behind_is_no_class(tmp_path):
    root = write(tmp_path)
    rows = len(Folder(root))
    (root / "__MACOSX").mkdir()
    (next(path for path in root.iterdir() if path.is_dir() and path.name != "__MACOSX") / "Thumbs.db").write_bytes(b"x")
    data = Folder(root)
    assert len(data) == rows and not data.faults
