"""Facts about the Open-i chest X-rays as this data set gives them, on a tiny copy of each layout."""

import os
from pathlib import Path

import pytest
from made_files import write_dicom, write_png

from mmdx.data.openi import Openi
from mmdx.data.openi_reports import OpeniReports
from mmdx.errors import InputError
from mmdx.testing import check_dataset

REPORTS = """uid,MeSH,Problems,image,indication,comparison,findings,impression
1,normal,normal,PA,Cough,None.,Clear lungs.,Normal.
2,x,Cardiomegaly;Opacity,PA,,None.,"Large heart, opacity.",Cardiomegaly.
3,x,Opacity,PA,Fever,,,
4,No Indexing,No Indexing,PA,Pain,,Clear.,Normal.
5,normal,normal,PA,,,Clear.,Normal.
"""
PROJECTIONS = """uid,filename,projection
1,1_IM-0001-4001.dcm.png,Frontal
1,1_IM-0001-3001.dcm.png,Lateral
2,2_IM-0652-1001.dcm.png,Frontal
4,4_IM-2050-1001.dcm.png,Frontal
"""
VIEWS = {"Frontal+Lateral": 3314, "Frontal": 289, "Lateral": 156}
XML = """<eCitation><uId id="CXR{uid}"/><MedlineCitation><Article><ArticleTitle>PA</ArticleTitle><Abstract>
<AbstractText Label="COMPARISON">{comparison}</AbstractText><AbstractText Label="INDICATION">{indication}</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText></Abstract></Article>
</MedlineCitation><MeSH>{terms}</MeSH>{films}</eCitation>"""


def film(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    (write_dicom if path.suffix == ".dcm" else write_png)(path, seed)


def write(root):
    """Kaggle's layout."""
    (root / "indiana_reports.csv").write_text(REPORTS)
    (root / "indiana_projections.csv").write_text(PROJECTIONS)
    for seed, line in enumerate(PROJECTIONS.splitlines()[1:]):
        film(root / "images" / "images_normalized" / line.split(",")[1], seed)
    return root


def write_upstream(root, suffix, name="NLMCXR_png"):
    """Upstream's own: XML reports, films in one folder (PNG) or a folder for each study (DICOM)."""
    (root / "ecgen-radiology").mkdir()
    films = {1: ["CXR1_1_IM-0001-4001", "CXR1_1_IM-0001-3001"], 2: ["CXR2_IM-0652-1001"], 3: []}
    reports = {
        1: dict(indication="Cough", comparison="None.", findings="Clear  lungs.", impression="Normal.", terms="<major>normal</major>"),
        2: dict(indication="", comparison="None.", findings="Large heart.", impression="Large.", terms="<major>Cardiomegaly/mild</major>"),
        3: dict(indication="Pain", comparison="", findings="", impression="", terms="<major>Opacity</major>"),
    }
    for uid, report in reports.items():
        shown = "".join(f'<parentImage id="{name}"/>' for name in films[uid])
        (root / "ecgen-radiology" / f"{uid}.xml").write_text(XML.format(uid=uid, films=shown, **report))
        for k, one in enumerate(films[uid]):
            plain = one.removeprefix("CXR1_").removeprefix("CXR")
            film(root / name / (f"{one}.png" if suffix == ".png" else f"{uid}/{plain}.dcm"), 10 * uid + k)
    return root


@pytest.fixture
def root(tmp_path):
    return write(tmp_path)


def test_it_is_a_data_set(root):
    check_dataset(Openi(root))
    check_dataset(Openi(root, modalities={}, target="problems", problems=["Opacity"]))


def test_a_row_is_a_study_with_a_bag_of_films(root):
    data = Openi(root)
    assert data.modalities == ("image", "text") and data.table["sample_id"].tolist() == ["1", "2", "3"]
    assert [path.name for path in data.paths_of(0)["image"]] == ["1_IM-0001-4001.dcm.png", "1_IM-0001-3001.dcm.png"]
    assert len(data[0].inputs["image"]) == 2 and data[0].inputs["image"][0].shape == (96, 80) and data[0].inputs["text"] == "Cough"
    assert set(data[1].inputs) == {"image"} and set(data[2].inputs) == {"text"} and data.paths_of(2) == {}
    assert data.left_out == {"without image or text": 1, "not indexed": 1}
    assert data.record["views"].tolist() == ["Frontal+Lateral", "Frontal", None]


def test_labels_are_those_of_the_reports(root):
    both = {"text": "indication", "report": "findings"}
    films, texts = Openi(root, modalities=both), OpeniReports(root, modalities=both)
    assert films.table.to_dict() == texts.table.to_dict()


def test_views_can_be_chosen(root):
    data = Openi(root, views=["Frontal"])
    assert [path.name for path in data.paths_of(0)["image"]] == ["1_IM-0001-4001.dcm.png"] and data.record["views"][0] == "Frontal"
    with pytest.raises(InputError, match=r"data.views=\['Oblique'\]: no film has the view Oblique. There are: Frontal, Lateral"):
        Openi(root, views=["Oblique"])


def test_films_alone(root):
    data = Openi(root, modalities={})
    assert data.modalities == ("image",) and data.table["sample_id"].tolist() == ["1", "2"] and set(data[0].inputs) == {"image"}


def test_the_layout_that_fetch_makes(root):
    (root / "indiana_projections.csv").unlink()
    (root / "indiana_images.csv").write_text("uid,filename\n1,CXR1_1_IM-0001-4001.png\n2,CXR2_IM-0652-1001.png\n")
    for old, new in (("1_IM-0001-4001.dcm", "CXR1_1_IM-0001-4001"), ("2_IM-0652-1001.dcm", "CXR2_IM-0652-1001")):
        (root / "images" / "images_normalized" / f"{old}.png").rename(root / "images" / f"{new}.png")
    data = Openi(root)
    assert [len(data[i].inputs.get("image", [])) for i in range(3)] == [1, 1, 0] and data.record["views"].isna().all()
    with pytest.raises(InputError, match=r"data.views=\['Frontal'\]: only indiana_projections.csv says which film is which view"):
        Openi(root, views=["Frontal"])


@pytest.mark.parametrize(("suffix", "name"), [(".png", "NLMCXR_png"), (".png", "images"), (".dcm", "NLMCXR_dcm")])
def test_upstreams_own_layout(tmp_path, suffix, name):
    if suffix == ".dcm":
        pytest.importorskip("pydicom")
    data = Openi(write_upstream(tmp_path, suffix, name), target="problems", problems=["Cardiomegaly"])
    assert data.table["sample_id"].tolist() == ["1", "2"] and data.table["target_Cardiomegaly"].tolist() == [0, 1]
    assert len(data[0].inputs["image"]) == 2 and data[0].inputs["text"] == "Cough" and not data.faults
    assert data.paths_of(1)["image"][0].suffix == suffix
    texts = OpeniReports(tmp_path, modalities={"text": "findings"})
    assert [texts[i].inputs["text"] for i in range(2)] == ["Clear lungs.", "Large heart."]


def test_a_report_that_is_not_xml_is_named(tmp_path):
    write_upstream(tmp_path, ".png")
    (tmp_path / "ecgen-radiology" / "2.xml").write_text("<eCitation>")
    with pytest.raises(InputError, match=r"ecgen-radiology/2.xml: not XML"):
        OpeniReports(tmp_path)


def test_a_film_that_is_missing_or_empty_is_a_fault(root):
    folder = root / "images" / "images_normalized"
    (folder / "4_IM-2050-1001.dcm.png").unlink()
    (folder / "1_IM-0001-3001.dcm.png").write_bytes(b"")
    data = Openi(root, target="problems", problems=["Cardiomegaly"])
    assert data.table["sample_id"].tolist() == ["2", "3"]
    faults = ["1: image file 'images/images_normalized/1_IM-0001-3001.dcm.png' has 0 bytes", "4: image file 'images/4_IM-2050-1001.dcm.png' is"]
    assert all(str(fault).startswith(f"indiana_reports.csv, row {word}") for word, fault in zip(faults, data.faults, strict=True))


def test_what_is_missing_is_named(root):
    with pytest.raises(InputError, match="data.modalities.image: the films have this name"):
        Openi(root, modalities={"image": "findings"})
    (root / "images").rename(root / "pictures")
    with pytest.raises(InputError, match="there is no folder images, NLMCXR_png, NLMCXR_dcm in it"):
        Openi(root)
    (root / "indiana_projections.csv").unlink()
    with pytest.raises(InputError, match="there is no indiana_projections.csv, indiana_images.csv or ecgen-radiology"):
        Openi(root)


def test_every_film_of_the_published_table_finds_its_study(tmp_path):
    if "MMDX_DATA" not in os.environ:
        pytest.skip("needs the real tables: set MMDX_DATA to the folder that holds openi-reports")
    real = Path(os.environ["MMDX_DATA"]) / "openi-reports"
    for name in ("indiana_reports.csv", "indiana_projections.csv"):
        (tmp_path / name).symlink_to(real / name)
    (tmp_path / "images").mkdir()
    for line in (real / "indiana_projections.csv").read_text().splitlines()[1:]:
        (tmp_path / "images" / line.split(",")[1]).write_bytes(b"film")  # stands in for the film, which is not read
    data = Openi(tmp_path)
    assert len(data) == 3851 - 92 and data.left_out == {"without image or text": 0, "not indexed": 92} and not data.faults
    assert all(len(data.paths_of(index)["image"]) >= 1 for index in range(len(data)))
    assert sum(map(len, data.films.values())) == 7466
    assert data.record["views"].value_counts().to_dict() == VIEWS
