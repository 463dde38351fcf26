"""Facts about a user's own manifest: what each cell becomes, and the sentence for each fault."""

import pickle

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from mmdx.data.manifest import Manifest
from mmdx.errors import InputError, SampleError

HEADER = "sample_id,patient_id,split,site,xray,sound,note,age,sex,label"
ROWS = [
    "0001,p1,train,A,x.png,s.wav,Cough for three weeks.,61,M,1",
    '0002,p1,train,A,x.png;y.png,,"Fever, chills and cough.",,F,0',
    "0003,p2,test,B,,s.wav,,35,,1",
    "0004,p3,test,B,y.png,,No known illness so far.,50,M,0",
]


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate("xy"):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    soundfile.write(tmp_path / "s.wav", np.sin(np.arange(500)), 1000)
    return tmp_path


def write(folder, rows=ROWS, header=HEADER, name="manifest.csv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


def faults(folder, *rows, **options):
    data = Manifest(write(folder, [*ROWS, *rows]), **options)
    found = list(data.faults)
    for index in range(len(data)):
        try:
            data[index]
        except SampleError as fault:
            found.append(fault)
    return [(fault.row, str(fault)) for fault in found]


def test_the_kinds_of_columns_are_inferred(folder):
    data = Manifest(write(folder))
    assert data.roles == {
        "sample_id": "sample_id",
        "patient_id": "patient_id",
        "split": "split",
        "site": "site",
        "xray": "xray (image)",
        "sound": "sound (audio)",
        "note": "note (text)",
        "age": "tabular (tabular)",
        "sex": "tabular (tabular)",
        "label": "label",
    }
    assert data.modalities == ("xray", "sound", "note", "tabular") and data.unit == "patient" and not data.faults


def test_cells_become_raw_inputs_and_empty_ones_are_absent(folder):
    data = pickle.loads(pickle.dumps(Manifest(write(folder))))
    first, second, third = data[0], data[1], data[2]
    assert first.inputs["xray"].shape == (8, 8) and first.inputs["sound"].rate == 1000
    assert first.inputs["tabular"] == {"age": 61.0, "sex": "M"} and first.target == 1
    assert first.meta == {"sample_id": "0001", "patient_id": "p1", "site": "A"}
    assert isinstance(second.inputs["xray"], list) and len(second.inputs["xray"]) == 2
    assert second.inputs["note"] == "Fever, chills and cough." and second.inputs["tabular"] == {"age": None, "sex": "F"}
    assert set(third.inputs) == {"sound", "tabular"}


def test_ids_keep_their_zeros_and_parquet_gives_the_same_as_csv(folder):
    csv = Manifest(write(folder)).table
    assert csv["sample_id"].tolist() == ["0001", "0002", "0003", "0004"]
    frame = pd.read_csv(folder / "manifest.csv", dtype={"sample_id": str})
    frame["age"] = frame["age"].astype(float)
    frame.to_parquet(folder / "manifest.parquet")
    parquet = Manifest(folder / "manifest.parquet")
    pd.testing.assert_frame_equal(parquet.table, csv)
    assert parquet[0].inputs["tabular"] == {"age": 61.0, "sex": "M"}


def test_whole_numbers_in_parquet_stay_whole(folder):
    pd.DataFrame({"sample_id": [1, 2], "patient_id": [7.0, None], "note": ["a b c", "d e f"], "label": [0, 1]}).to_parquet(folder / "m.parquet")
    table = Manifest(folder / "m.parquet").table
    assert table["sample_id"].tolist() == ["1", "2"] and table["patient_id"][0] == "7" and table["patient_id"].isna()[1]


def test_modalities_can_be_named_in_short_and_in_long(folder):
    (folder / "n.txt").write_bytes("Hustén.".encode("latin-1"))
    path = write(folder, [row.replace("Cough for three weeks.", "n.txt") for row in ROWS])
    spec = {
        "image": "xray",
        "text": {"column": "note", "kind": "text", "encoding": "latin-1"},
        "audio": {"column": "sound", "expected_rate": 1000},
        "labs": ["age"],
    }
    data = Manifest(path, modalities=spec)
    assert data.modalities == ("image", "text", "audio", "labs") and data.roles["sex"] == "unused"
    assert data[0].inputs["text"] == "Hustén." and data[0].inputs["labs"] == {"age": 61.0}
    spec["audio"]["expected_rate"] = 2000
    with pytest.raises(SampleError, match=r"^manifest.csv, row 1: audio file 's.wav' has a sampling rate of 1000 Hz, expected 2000 Hz"):
        Manifest(path, modalities=spec)[0]


def test_a_kind_of_ones_own(folder):
    (folder / "e.ecg").write_text("1 2 3")
    path = write(folder, ["1,e.ecg,0", "2,e.ecg,1"], "sample_id,lead,label")
    data = Manifest(path, modalities={"ecg": {"column": "lead", "kind": "ecg"}}, readers={"ecg": lambda path, place: path.read_text().split()})
    assert data[1].inputs["ecg"] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["1", "0", "1", "0"], {}, [1, 0, 1, 0]),
        (["True", "False", "true", "false"], {}, [1, 0, 1, 0]),
        (["ill", "well", "ill", "unsure"], {"positive": "ill"}, [1, 0, 1, 0]),
        (["1", "2", "2", "3"], {"positive": 2}, [0, 1, 1, 0]),
        (["b", "a", "b", "c"], {}, ["b", "a", "b", "c"]),
        (["1", "2", "2", "3"], {}, ["1", "2", "2", "3"]),
    ],
)
def test_one_label_is_binary_or_names_of_classes(folder, values, options, expected):
    path = write(folder, [f"{i},{value},a b c d" for i, value in enumerate(values)], "sample_id,label,note")
    assert Manifest(path, **options).table["target"].tolist() == expected


def test_several_labels_may_be_unlabelled_or_uncertain(folder):
    path = write(folder, ["1,a b c,1,0", "2,a b c,0,", "3,a b c,,1", "4,a b c,-1,1"], "sample_id,note,label_effusion,label_nodule")
    data = Manifest(path)
    np.testing.assert_array_equal(data.table["target_effusion"], [1, 0, np.nan, -1])
    assert data[1].target == {"effusion": 0, "nodule": None}
    assert list(Manifest(path, target=["label_nodule"]).table.filter(like="target")) == ["target_nodule"]


def test_columns_to_audit(folder):
    data = Manifest(write(folder), meta=["sex"], modalities={"image": "xray", "audio": "sound"})
    assert data.table["meta_sex"].fillna("?").tolist() == ["M", "F", "?", "M"] and data[0].meta["sex"] == "M" and data[2].meta["sex"] is None


def test_without_patients_the_unit_is_the_sample(folder):
    data = Manifest(write(folder, ["1,a b c,0", "2,d e f,1"], "sample_id,note,label"))
    assert data.unit == "sample" and data.table["patient_id"].isna().all() and "split" not in data.table


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0001,p9,train,A,x.png,,,,,1", "sample_id '0001' is already in row 1"),
        (",p9,train,A,x.png,,,,,1", "column 'sample_id' is empty"),
        ("9,p9,train,A,x.png,,,,,", "label column 'label' is empty"),
        ("9,p9,train,A,,,,,,1", "sample '9' has no modality at all: xray, sound, note, tabular are all empty"),
        ("9,p9,tests,A,x.png,,,,,1", "column 'split' is 'tests', expected train, val or test; did you mean 'test'?"),
        ("9,p9,train,A,gone.png,,,,,1", "image file 'gone.png' is missing"),
        ("9,p9,train,A,x.png,empty.wav,,,,1", "audio file 'empty.wav' has 0 bytes"),
        ("9,p9,train,A,../x.png,,,,,1", "image file '../x.png' lies outside the table's folder"),
        ("9,p9,train,A,/etc/passwd,,,,,1", "image file '/etc/passwd' lies outside the table's folder"),
        ("9,p9,train,A,link.png,,,,,1", "image file 'link.png' lies outside the table's folder"),
        ("9,p9,train,A,;,,,,,1", "no path between its ';'"),
    ],
)
def test_a_faulty_row_is_set_aside_and_named(folder, row, words):
    (folder / "empty.wav").write_bytes(b"")
    (folder / "link.png").symlink_to("/etc/hostname")
    [(number, text)] = faults(folder, row)
    assert number == 5 and text.startswith("manifest.csv, row 5: ") and words in text and "data.on_error=quarantine" in text


def test_a_label_that_is_no_label(folder):
    rows = ["1,a b c,1", "2,a b c,0", "3,a b c,maybe"]
    data = Manifest(write(folder, rows, "sample_id,note,label_effusion"))
    assert [fault.row for fault in data.faults] == [3] and "label column 'label_effusion' is 'maybe'" in str(data.faults[0])


def test_blank_lines_are_no_rows_but_count(folder):
    path = write(folder, [*ROWS[:2], "", *ROWS[2:], "9,p9,none,A,x.png,,,,,1", "", ""])
    data = Manifest(path)
    assert len(data) == 4 and [fault.row for fault in data.faults] == [6]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda s: s.replace("sample_id", "sampleid"), {}, r"no column 'sample_id' .*Did you mean 'sampleid'\? Columns: sampleid, patient_id"),
        (lambda s: s.replace(",label", ",diagnosis"), {}, "no column 'label', 'target' or 'label_...'. Name one with data.target"),
        (lambda s: s, {"target": "labels"}, r"no column 'labels' \(asked for by data.target\). Did you mean 'label'\?"),
        (lambda s: s, {"patient_id": "subject"}, r"no column 'subject' \(asked for by data.patient_id\)"),
        (lambda s: s, {"meta": ["weight"]}, r"no column 'weight' \(asked for by data.meta\)"),
        (lambda s: s, {"modalities": {"image": "xrays"}}, r"no column 'xrays' \(asked for by data.modalities.image\). Did you mean 'xray'\?"),
        (lambda s: s, {"modalities": {"image": {"column": "xray", "kind": "picture"}}}, "data.modalities.image.kind=picture: must be one of"),
        (lambda s: s, {"modalities": {"image": {"kind": "image"}}}, "data.modalities.image: must be a column, or have one of 'column'"),
        (lambda s: s, {"modalities": {"image": {"column": "xray", "rate": 3}}}, "data.modalities.image.rate: kind image has no such option"),
        (lambda s: s, {"modalities": {"a": {"columns": ["xray", "sound"], "kind": "image"}}}, "kind image takes one column"),
        (lambda s: s, {"modalities": {}}, "must name at least one modality"),
        (lambda s: s, {"positive": "ill"}, "data.positive=ill: no row has it in column 'label'. Values: 0, 1"),
        (lambda s: s.replace(",0\n", ",1\n"), {}, r"the target has only one class in 4 rows \(class 1\)"),
        (lambda s: s.replace("p3", "p1"), {}, "patient 'p1' is in test and train. Put all rows of a patient into one part"),
        (lambda s: s.replace("age,sex", "age,age"), {}, "column 'age' is there more than once"),
        (lambda s: s.replace('"', ""), {}, r"Expected 10 fields in line 3, saw 11. Put text that holds ',' or a line break in double quotes"),
        (lambda s: "", {}, "the file is empty"),
        (lambda s: HEADER + "\n", {}, "there is no row below the header"),
    ],
)
def test_a_faulty_table_is_refused(folder, change, options, words):
    path = write(folder)
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=words) as caught:
        Manifest(path, **options)
    assert not isinstance(caught.value, SampleError) and "\n" not in str(caught.value)


def test_a_split_column_can_be_left_aside(folder):
    path = write(folder)
    path.write_text(path.read_text().replace("p3", "p1"))
    assert "split" not in Manifest(path, split=None).table


def test_a_file_that_is_not_there_or_not_text(folder):
    with pytest.raises(InputError, match=r"^data.path=.*/no.csv: no such file. Give a CSV or Parquet file\.$"):
        Manifest(folder / "no.csv")
    (folder / "m.csv").write_bytes("sample_id,note\n1,Hustén\n".encode("latin-1"))
    with pytest.raises(InputError, match="m.csv: the file is not text in UTF-8"):
        Manifest(folder / "m.csv")
    (folder / "m.parquet").write_text("no")
    with pytest.raises(InputError, match="m.parquet: not a Parquet file that can be read"):
        Manifest(folder / "m.parquet")


def test_cells_are_kept_as_columns_of_arrow_and_not_as_objects(folder):
    data = Manifest(write(folder))
    assert all(isinstance(dtype, pd.StringDtype) for dtype in [*data.cells.dtypes, data.table["sample_id"].dtype, data.table["patient_id"].dtype])


def test_parquet_of_every_type_gives_what_its_csv_gives(folder):
    frame = pd.DataFrame({
        "sample_id": [f"s{i}" for i in range(4)],
        "patient_id": [1.0, 2.0, np.nan, 1.5],
        "note": [f"a b {i}" for i in range(4)],
        "meta_half": np.array([0.1, 2, 3, 4], np.float32),
        "meta_whole": np.array([1, 2, 3, 4], np.float16),
        "meta_day": pd.to_datetime(["2020-01-01", "2020-02-03", None, "2020-01-01"]),
        "meta_yes": [True, False, True, True],
        "label": [0, 1, 0, 1],
    })
    frame.to_parquet(folder / "m.parquet")
    frame.to_csv(folder / "m.csv", index=False)
    parquet, csv = (Manifest(folder / f"m.{kind}", modalities={"text": "note"}).table for kind in ("parquet", "csv"))
    pd.testing.assert_frame_equal(parquet, csv)
    assert parquet["meta_half"].tolist() == ["0.1", "2.0", "3.0", "4.0"] and parquet["meta_whole"].tolist() == ["1", "2", "3", "4"]


def test_a_list_of_paths_in_parquet_is_a_bag_and_other_nested_types_are_refused(folder):
    frame = pd.DataFrame({"sample_id": ["a", "b"], "xray": [["x.png", "y.png"], ["x.png"]], "label": [0, 1]})
    frame.to_parquet(folder / "m.parquet")
    assert len(Manifest(folder / "m.parquet", modalities={"xray": {"column": "xray", "kind": "image"}})[0].inputs["xray"]) == 2
    frame.assign(xray=[{"a": 1}, {"a": 2}]).to_parquet(folder / "m.parquet")
    with pytest.raises(InputError, match=r"^m.parquet: column 'xray' has the type struct<a: int64>, expected text"):
        Manifest(folder / "m.parquet")


def test_a_row_that_is_too_short_is_named_and_not_filled(folder):
    path = write(folder, ["1,a b c,0", "2,d e f", "3,g h i,1"], "sample_id,note,label")
    with pytest.raises(InputError, match=r"^manifest.csv: row 2 has 2 cells, others have 3"):
        Manifest(path)


def test_the_first_fault_is_told_where_it_leaves_one_class(folder):
    path = write(folder, ["1,a b c,Train,0", "2,d e f,train,1"], "sample_id,note,split,label")
    with pytest.raises(InputError, match=r"one class in 1 rows .* 1 rows were set aside, the first for this: manifest.csv, row 1: column 'split'"):
        Manifest(path)
