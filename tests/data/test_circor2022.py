"""Facts about the CirCor DigiScope heart sounds as this data set gives them, on a tiny copy of the upstream layout."""

import numpy as np
import pytest
import soundfile

from mmdx.data.circor2022 import Circor2022
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_dataset

HEADER = (
    "Patient ID,Recording locations:,Age,Sex,Height,Weight,Pregnancy status,Murmur,Murmur locations,Most audible location,Systolic murmur timing,"
    "Systolic murmur shape,Systolic murmur grading,Systolic murmur pitch,Systolic murmur quality,Diastolic murmur timing,Diastolic murmur shape,"
    "Diastolic murmur grading,Diastolic murmur pitch,Diastolic murmur quality,Outcome,Campaign,Additional ID"
)
NOTHING = ",".join(["nan"] * 12)
ROWS = [  # patient, locations, age, sex, height, weight, pregnancy, murmur, outcome, campaign, additional
    ("2530", "AV+PV+TV+MV", "Child", "Female", "98.0", "15.9", "False", "Absent", "Abnormal", "CC2015", "nan"),
    ("9979", "AV+MV", "Child", "Female", "103.0", "13.1", "False", "Present", "Abnormal", "CC2015", "nan"),
    ("13918", "AV+PV", "Infant", "Male", "nan", "nan", "False", "Unknown", "Normal", "CC2015", "50379"),
    ("50379", "MV+Phc", "Child", "Male", "92.0", "14.0", "False", "Absent", "Normal", "CC2014", "nan"),
    ("50052", "MV+MV", "nan", "Female", "nan", "nan", "True", "Present", "Normal", "CC2014", "nan"),
]


def sound(path, seed, seconds=2.0, rate=4000):
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 60 * time) * (time * 1.2 % 1 < 0.2) + noise, rate, subtype="PCM_16")


def write(root, rows=ROWS):
    """The files as version 1.0.3 has them: ``50052_MV_1.wav`` where a place was recorded more than once."""
    folder = root / "training_data"
    folder.mkdir()
    lines = [HEADER]
    for seed, (patient, places, age, sex, height, weight, pregnancy, murmur, outcome, campaign, other) in enumerate(rows):
        lines.append(f"{patient},{places},{age},{sex},{height},{weight},{pregnancy},{murmur},{NOTHING},{outcome},{campaign},{other}")
        names = places.split("+")
        for k, place in enumerate(names):
            name = f"{patient}_{place}_{names[:k].count(place) + 1}" if names.count(place) > 1 else f"{patient}_{place}"
            sound(folder / f"{name}.wav", 10 * seed + k)
            (folder / f"{name}.hea").write_text(f"{name} 1 4000 8000\n{name}.wav 16 1 16 0 0 0 0 {place}\n")
            (folder / f"{name}.tsv").write_text("0.0\t0.1\t1\n")
        (folder / f"{patient}.txt").write_text(f"{patient} {len(names)} 4000\n#Murmur: {murmur}\n")
    (root / "training_data.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path)


def replace(root, old, new):
    path = root / "training_data.csv"
    path.write_text(path.read_text().replace(old, new))


def test_it_is_a_data_set(root):
    check_dataset(Circor2022(root))
    check_dataset(Circor2022(root, target="murmur", unknown="class", columns=[]))


def test_a_row_is_a_patient_with_a_bag_of_recordings_in_the_order_of_places(root):
    data = Circor2022(root)
    assert data.table["sample_id"].tolist() == ["2530", "9979", "50379", "50052"] and data.unit == "patient" and not data.faults
    assert [path.stem for path in data.paths_of(0)["audio"]] == ["2530_AV", "2530_PV", "2530_TV", "2530_MV"]
    assert [path.stem for path in data.paths_of(3)["audio"]] == ["50052_MV_1", "50052_MV_2"]
    bag = data[0].inputs["audio"]
    assert len(bag) == 4 and {one.rate for one in bag} == {4000} and bag[0].samples.shape == (8000,)
    assert data[0].inputs["tabular"] == {"age": "Child", "sex": "Female", "height": 98.0, "weight": 15.9, "pregnancy": "False"}
    assert data[3].inputs["tabular"] == {"age": None, "sex": "Female", "height": None, "weight": None, "pregnancy": "True"}
    assert data[0].meta == {"sample_id": "2530", "patient_id": "2530", "site": "CC2015", "age": "Child", "sex": "Female"}


def test_a_murmur_that_could_not_be_told_is_left_out_and_counted_or_a_class(root):
    data = Circor2022(root)
    assert data.table["target"].tolist() == [0, 1, 0, 1] and data.left_out["murmur unknown"] == 1
    classes = Circor2022(root, unknown="class")
    assert classes.table["target"].tolist() == ["Absent", "Present", "Unknown", "Absent", "Present"] and classes.left_out["murmur unknown"] == 0


def test_the_outcome_is_asked_of_everybody(root):
    assert Circor2022(root, target="outcome").table["target"].tolist() == [1, 1, 0, 0, 0]


def test_a_child_of_both_campaigns_is_one_patient_whichever_row_says_so(root):
    assert Circor2022(root, target="outcome").table["patient_id"].tolist() == ["2530", "9979", "13918", "13918", "50052"]
    replace(root, "CC2015,50379", "CC2015,nan")
    replace(root, "CC2014,nan\n50052", "CC2014,13918.0\n50052")
    assert Circor2022(root, target="outcome").table["patient_id"].tolist() == ["2530", "9979", "13918", "13918", "50052"]


def test_two_rows_that_name_the_same_third_one_are_one_patient(root):
    replace(root, "Absent," + NOTHING + ",Abnormal,CC2015,nan", "Absent," + NOTHING + ",Abnormal,CC2015,7")
    replace(root, "CC2015,50379", "CC2015,7")
    assert Circor2022(root, target="outcome").table["patient_id"].tolist() == ["2530", "9979", "2530", "50379", "50052"]


def test_only_some_places(root):
    data = Circor2022(root, locations=["MV", "Phc"])
    names = [[path.stem for path in paths] for paths in data.recordings]
    assert names == [["2530_MV"], ["9979_MV"], ["50379_MV", "50379_Phc"], ["50052_MV_1", "50052_MV_2"]]
    assert Circor2022(root, target="outcome", locations=["PV"]).left_out["no recording at the locations"] == 3


def test_a_patient_who_is_there_twice_is_set_aside(tmp_path):
    data = Circor2022(write(tmp_path, [*ROWS, ROWS[0]]))
    (fault,) = data.faults
    assert len(data) == 4 and str(fault).startswith("training_data.csv, row 6: patient 2530 is already in row 1.")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "training_data" / "2530_TV.wav").unlink(), "row 1: audio file 'training_data/2530_TV.wav' is missing"),
        (lambda root: (root / "training_data" / "9979_AV.wav").write_bytes(b""), "row 2: audio file 'training_data/9979_AV.wav' has 0 bytes"),
        (lambda root: replace(root, "92.0,14.0", "tall,14.0"), "row 4: 'Height' is 'tall', expected a number"),
        (lambda root: replace(root, "True,Present", "True,Maybe"), "row 5: 'Murmur' is 'Maybe', expected Present, Absent, Unknown"),
        (lambda root: replace(root, "50052,MV", ",MV"), "row 5: 'Patient ID' is empty"),
    ],
)
def test_each_fault_is_one_sentence_with_its_row(root, spoil, words):
    spoil(root)
    (fault,) = Circor2022(root).faults
    assert str(fault).startswith(f"training_data.csv, {words}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "valve"}, "data.target=valve: must be one of murmur, outcome"),
        ({"unknown": "keep"}, "data.unknown=keep: must be one of leave_out, class"),
        ({"columns": ["bmi"]}, r"data.columns=\['bmi'\]: must be from age, sex"),
        ({"locations": ["XX"]}, r"data.locations=\['XX'\]: must be one or more of AV, PV"),
    ],
)
def test_arguments_out_of_range(root, options, words):
    with pytest.raises(InputError, match=words):
        Circor2022(root, **options)


def test_a_folder_without_the_recordings_or_the_table(root):
    (root / "training_data").rename(root / "elsewhere")
    with pytest.raises(InputError, match="there is no folder training_data in it"):
        Circor2022(root)
    with pytest.raises(InputError, match="no such folder. Give the folder that holds training_data.csv and training_data"):
        Circor2022(root / "nowhere")
    with pytest.raises(InputError, match=r"no column 'Campaign' .*Additional ID"):
        replace(root, "Campaign", "Tour")
        (root / "elsewhere").rename(root / "training_data")
        Circor2022(root)


def test_another_sampling_rate_is_refused_when_read(root):
    sound(root / "training_data" / "2530_AV.wav", 0, rate=2000)
    with pytest.raises(SampleError, match="training_data.csv, row 1: .*2000 Hz, expected 4000 Hz"):
        Circor2022(root)[0]
