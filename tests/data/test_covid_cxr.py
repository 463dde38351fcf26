"""Facts about the COVID-19 image data collection as this data set gives it."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdx.data.covid_cxr import CovidCxr
from mmdx.data.splits import KFold
from mmdx.errors import InputError, SampleError

HEADER = "patientid,filename,finding,sex,age,view,location,clinical_notes"
ROWS = [
    '1,a.jpg,"COVID-19, ARDS",M,61,AP,"Hospital, Rome, Italy",Fever.',
    "1,b.jpg,No Finding,M,61,L,Spain,",
    "2,c.jpg,Pneumocystis,,,PA,,Cough.",
    "3,a.jpg,COVID-19,F,39,PA,Spain,Fever.",
]


def write(folder, rows=ROWS):
    (folder / "images").mkdir(exist_ok=True)
    for i, name in enumerate("abc"):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (20, 16), dtype=np.uint8)).save(folder / "images" / f"{name}.jpg")
    (folder / "metadata.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def real(**options):
    if "MMDX_DATA" not in os.environ:
        pytest.skip("needs the real X-rays: set MMDX_DATA to the folder that holds covid-cxr")
    return CovidCxr(Path(os.environ["MMDX_DATA"]) / "covid-cxr", **options)


def test_a_row_is_an_image_with_what_is_known_of_it(tmp_path):
    data = CovidCxr(write(tmp_path))
    sample = data[0]
    assert sample.target == 1 and sample.inputs["text"] == "Fever." and sample.inputs["image"].shape == (20, 16)
    assert sample.inputs["tabular"] == {"age": 61.0, "sex": "M", "view": "AP"}
    names = {"sex": "M", "view": "AP", "age_group": "60 and over", "country": "Italy"}
    assert sample.meta == {"sample_id": "1/a.jpg", "patient_id": "1", "site": None, **names}
    assert data.table["target"].tolist() == [1, 0, 0, 1]


def test_what_is_missing_is_absent(tmp_path):
    data = CovidCxr(write(tmp_path), columns=["age", "sex"])
    assert "text" not in data[1].inputs and "tabular" not in data[2].inputs
    assert CovidCxr(tmp_path)[2].inputs["tabular"] == {"age": None, "sex": None, "view": "PA"}
    assert CovidCxr(tmp_path, columns=[]).modalities == ("image", "text")


def test_patients_who_share_a_picture_are_one(tmp_path):
    table = CovidCxr(write(tmp_path)).table
    assert table["sample_id"].tolist() == ["1/a.jpg", "1/b.jpg", "2/c.jpg", "3/a.jpg"]
    assert table["patient_id"].tolist() == ["1", "1", "2", "1"]


def test_rare_findings_are_other(tmp_path):
    targets = CovidCxr(write(tmp_path), target="finding", min_patients=1).table["target"]
    assert targets.tolist() == ["COVID-19", "No Finding", "Pneumocystis", "COVID-19"]
    with pytest.raises(InputError, match=r"only one class in 4 rows \(class Other\)"):
        CovidCxr(tmp_path, target="finding", min_patients=2)


def test_faulty_rows_are_set_aside_and_named(tmp_path):
    more = ["1,a.jpg,COVID-19,M,,AP,,", "4,gone.jpg,COVID-19,M,,AP,,", "5,../c.jpg,COVID-19,M,,AP,,", "6,c.jpg,,M,,AP,,", "7,c.jpg,Viral,M,old,AP,,"]
    data = CovidCxr(write(tmp_path, ROWS + more))
    words = ["already in row 1", "'images/gone.jpg' is missing", "not the bare name", "'finding' is empty", "age 'old'"]
    assert len(data) == 4 and [fault.row for fault in data.faults] == [5, 6, 7, 8, 9]
    assert all(word in str(fault) for word, fault in zip(words, data.faults, strict=True))


def test_a_damaged_image_is_named_when_read(tmp_path):
    path = write(tmp_path) / "images" / "b.jpg"
    data = pickle.loads(pickle.dumps(CovidCxr(tmp_path)))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SampleError, match=r"^metadata.csv, row 2: image file 'images/b.jpg' cannot be read"):
        data[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "finding_"}, "data.target=finding_: must be one of covid19, finding"),
        ({"columns": ["weight"]}, "data.columns=.*must be from age, sex, view"),
        ({"views": ["AP", "Lateral"]}, "no row has the view Lateral. There are: AP, L, PA"),
        ({"min_patients": 0}, "data.min_patients=0: must be at least 1"),
        ({"views": ["AP"]}, "only one class in 1 rows"),
    ],
)
def test_arguments_out_of_range(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        CovidCxr(write(tmp_path), **options)


def test_missing_folder_or_column(tmp_path):
    with pytest.raises(InputError, match="data.root=/nonexistent: no such folder. Give the folder that holds metadata.csv and images"):
        CovidCxr("/nonexistent")
    write(tmp_path)
    (tmp_path / "metadata.csv").write_text("patientid,filename,findings\n1,a.jpg,x\n")
    with pytest.raises(InputError, match=r"metadata.csv: no column 'finding' .* Did you mean 'findings'\?"):
        CovidCxr(tmp_path)


def test_the_published_counts_and_the_patients_joined():
    data = real()
    assert len(data) == 311 and data.table["target"].sum() == 210 and not data.faults
    published = data.table["sample_id"].str.split("/").str[0]
    assert published.nunique() == 156
    joined = published[published != data.table["patient_id"]]
    assert sorted(zip(joined.unique(), data.table["patient_id"][joined.drop_duplicates().index], strict=True)) == [
        ("178", "97"),
        ("339", "285"),
        ("340", "287"),
    ]
    assert sum("text" in data[i].inputs for i in range(311)) == 219


def test_no_picture_is_on_both_sides_of_a_split():
    data = real()
    small = {}
    for i in range(len(data)):
        image = Image.fromarray(data[i].inputs["image"]).resize((32, 32))
        small[i] = np.asarray(image, dtype=float).ravel()
    pictures = np.stack([(x - x.mean()) / x.std() for x in small.values()])
    alike = pictures @ pictures.T / pictures.shape[1] > 0.99
    for fold in KFold(5).folds(data.table):
        assert not alike[np.ix_(fold.test, np.r_[fold.train, fold.val])].any()
