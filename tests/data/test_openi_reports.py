"""Facts about the Open-i chest X-ray reports as this data set gives them."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmdx.data.openi_reports import OpeniReports
from mmdx.errors import InputError

TABLE = """uid,MeSH,Problems,image,indication,comparison,findings,impression
1,normal,normal,PA,Cough,None.,Clear lungs.,Normal.
2,x,Cardiomegaly;Opacity,PA,,None.,"Large heart, opacity.",Cardiomegaly.
3,x,Opacity,PA,Fever,,,
4,No Indexing,No Indexing,PA,Pain,,Clear.,Normal.
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "indiana_reports.csv").write_text(TABLE)
    return tmp_path


def real(**options):
    if "MMDX_DATA" not in os.environ:
        pytest.skip("needs the real reports: set MMDX_DATA to the folder that holds openi-reports")
    return OpeniReports(Path(os.environ["MMDX_DATA"]) / "openi-reports", **options)


def test_by_default_it_reads_the_indication_only(root):
    data = OpeniReports(root)
    assert data.modalities == ("text",) and data.table["sample_id"].tolist() == ["1", "3"]
    assert data[0].inputs == {"text": "Cough"} and data[0].target == 0 and data[1].target == 1
    assert data.table["patient_id"].tolist() == ["1", "3"]


def test_what_cannot_be_used_is_left_out_and_counted(root):
    assert OpeniReports(root).left_out == {"without text": 1, "not indexed": 1}
    assert OpeniReports(root, target="problems", problems=["Opacity"]).left_out == {"without text": 1, "not indexed": 0}


def test_columns_can_be_modalities_by_name(root):
    data = OpeniReports(root, modalities={"text": "indication", "report": "findings"})
    assert data[0].inputs == {"text": "Cough", "report": "Clear lungs."}
    assert data[1].inputs == {"report": "Large heart, opacity."} and data[2].inputs == {"text": "Fever"}


def test_problems_are_labels_and_reports_nobody_indexed_are_unlabelled(root):
    data = OpeniReports(root, modalities={"text": "findings", "before": "indication"}, target="problems", problems=2)
    assert [name for name in data.table.columns if name.startswith("target")] == ["target_Opacity", "target_Cardiomegaly"]
    np.testing.assert_array_equal(data.table["target_Opacity"], [0, 1, 1, np.nan])
    assert data[1].target == {"Opacity": 1, "Cardiomegaly": 1} and data[3].target["Opacity"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "normal"}, "data.target=normal: must be one of abnormal, problems"),
        ({"modalities": {"text": "report"}}, "data.modalities.text=report: must be one of indication, comparison"),
        ({"target": "problems", "problems": 3}, "data.problems=3: must be from 1 to 2"),
        ({"target": "problems", "problems": ["Nodule"]}, r"no report has \['Nodule'\]. The most frequent are: Opacity; Cardiomegaly"),
    ],
)
def test_arguments_out_of_range(root, options, words):
    with pytest.raises(InputError, match=words):
        OpeniReports(root, **({"modalities": {"text": "indication", "report": "findings"}} | options))


def test_faulty_rows_are_set_aside_and_named(root):
    with (root / "indiana_reports.csv").open("a") as file:
        file.write("1,normal,normal,PA,Again,,,\n,normal,normal,PA,No id,,,\n9,,,PA,No label,,,\n")
    data = OpeniReports(root)
    assert [fault.row for fault in data.faults] == [5, 6, 7]
    words = ["report 1 is already in row 1", "'uid' is empty", "'Problems' is empty"]
    assert all(word in str(fault) for word, fault in zip(words, data.faults, strict=True))


def test_the_published_counts():
    texts = {name: name for name in ("indication", "comparison", "findings", "impression")}
    data, labels = real(modalities=texts), real(modalities=texts, target="problems").table
    assert data.left_out == {"without text": 25, "not indexed": 92} and len(data) == 3851 - 25 - 92
    assert (data.table["target"] == 0).sum() == 1379 - 25  # every report without text is a normal one
    assert labels["target_Cardiomegaly"].sum() == 345 and labels["target_Cardiomegaly"].isna().sum() == 92


def test_86_reports_have_no_indication():
    data = real()
    assert data.left_out == {"without text": 86, "not indexed": 87} and len(data) == 3851 - 86 - 87
