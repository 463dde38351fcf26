"""Cards: both files from one source, counts as the data has them, small groups out of sight, and JSON that Croissant's own library reads."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmdx.commands.data_card import card
from mmdx.data.cards.croissant import croissant, plain, validate
from mmdx.data.cards.groups import UNKNOWN, group_rows
from mmdx.data.cards.markdown import MARK, markdown
from mmdx.data.cards.reading import FOLDER, names_of_cards, read_source
from mmdx.data.cards.source import GAP
from mmdx.errors import InputError

CARDS = Path(__file__).resolve().parents[2] / "data_cards"
DATA = os.environ.get("MMDX_DATA")
NAMES = names_of_cards()
UNCOUNTED = "The data was not there to be counted"


def folder_of(name):
    """The real files of a card; a skip where they are not here."""
    if not DATA:
        pytest.skip("MMDX_DATA is not set: no real data here")
    return Path(DATA) / name.replace("_", "-")


def sentence(call, *words):
    with pytest.raises(InputError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


# ---- the cards of the repository


@pytest.mark.parametrize("name", NAMES)
def test_the_repositorys_card_says_what_its_source_says_and_has_no_gap(name):
    source = read_source(FOLDER / f"{name}.yaml")
    written, alone = (CARDS / f"{name}.md").read_text(), markdown(source, None)
    assert source.gaps() == []
    assert written.split("## Counts")[0] == alone.split("## Counts")[0]
    assert all(f"## {section.title}\n{section.text.strip()}\n" in written for section in source.sections)


@pytest.mark.parametrize("name", NAMES)
def test_the_repositorys_card_is_what_the_command_writes(name, tmp_path):
    counted = UNCOUNTED not in (CARDS / f"{name}.md").read_text()
    card([f"data={name}", f"data.root={folder_of(name)}"] if counted else [name], tmp_path)
    for suffix in (".md", ".json"):
        assert (tmp_path / f"{name}{suffix}").read_text() == (CARDS / f"{name}{suffix}").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_mlcroissant_accepts_every_card_with_and_without_counts(name):
    pytest.importorskip("mlcroissant")
    assert validate(json.loads((CARDS / f"{name}.json").read_text())) == []
    assert validate(croissant(read_source(FOLDER / f"{name}.yaml"), None)) == []


def test_overrides_that_a_data_set_needs_stand_where_it_is_opened():
    text = markdown(read_source(FOLDER / "medmnist.yaml"), None)
    assert text.count("data=medmnist data.root=FOLDER data.subset=pneumoniamnist split=given`") == 2


def test_mlcroissants_command_validates_a_card():
    pytest.importorskip("mlcroissant")
    command = [str(Path(sys.executable).parent / "mlcroissant"), "validate", "--jsonld", str(CARDS / f"{NAMES[0]}.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Done." in done.stderr and "arning" not in done.stderr


def test_mlcroissant_loads_the_rows_and_pictures_that_the_loader_loads(tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant")
    from mmdx.data.covid_cxr import CovidCxr
    from mmdx.data.readers import read_image

    root = folder_of("covid_cxr")
    for path in root.rglob("*"):
        if path.is_file():  # file by file: mlcroissant doesn't go into a linked folder
            link = tmp_path / path.relative_to(root)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)
    shutil.copy(CARDS / "covid_cxr.json", tmp_path)
    records = list(mlcroissant.Dataset(str(tmp_path / "covid_cxr.json")).records("images"))
    dataset = CovidCxr(root)
    assert len(records) == len(dataset) == 311
    for record, row in zip(records, dataset.rows, strict=True):
        assert record["images/filename"].decode() == row["filename"]
        assert (record["images/clinical_notes"] is None) == (row["clinical_notes"] is None)
        assert record["images/age"] == (None if row["age"] is None else float(row["age"]))
    for record in itertools.islice(records, 0, None, 60):
        picture = np.asarray(record["images/image"])  # as RGB
        assert (picture[..., 0] == read_image(root / "images" / record["images/filename"].decode())).all()
    counts = {(c["counts/what"], c["counts/value"]): c for c in mlcroissant.Dataset(str(tmp_path / "covid_cxr.json")).records("counts")}
    assert counts["all", "rows"]["counts/rows"] == 311 and counts["all", "rows"]["counts/patients"] == 153
    assert counts["text", "there"]["counts/rows"] == sum(row["clinical_notes"] is not None for row in dataset.rows)


# ---- small groups


def test_without_a_limit_the_groups_are_those_of_the_table():
    groups = group_rows("sex", ["F", "M", None, "F"], ["p", "q", "r", "p"], [1, 0, 1, 0], True, 1)
    assert [tuple(group)[1:] for group in groups] == [("F", 2, 1, 1), ("M", 1, 1, 0), (UNKNOWN, 1, 1, 1)]


def test_no_group_below_the_limit_is_shown_or_can_be_had_by_subtraction():
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = int(rng.integers(1, 60))
        units = rng.integers(0, rng.integers(1, 40), rows)
        values = np.array(list("abcdefgh"))[np.minimum(rng.geometric(0.4, rows) - 1, 7)]
        positive = (rng.random(rows) < rng.random()).astype(int)
        frame = pd.DataFrame({"value": values, "unit": units, "positive": positive})
        groups = group_rows("x", values, units, positive, True, 5)
        shown = [group for group in groups if group.rows is not None]
        assert all(group.patients >= 5 for group in shown)
        hidden = frame[~frame["value"].isin([group.value for group in shown if not group.value.startswith("others")])]
        assert hidden.empty or hidden["unit"].nunique() >= 5 or len(shown) == 0
        if shown:
            assert sum(group.rows for group in shown) == rows
        assert sum(group.positive is None for group in groups) != 1 or len(groups) == 1
        for group in shown:
            if group.positive is not None and not group.value.startswith("others"):
                part = frame[frame["value"] == group.value]
                sides = [part.loc[part["positive"] == side, "unit"].nunique() for side in (0, 1)]
                assert group.positive == part["positive"].sum() and not any(0 < side < 5 for side in sides)


def test_a_rare_value_is_not_named():
    groups = group_rows("country", ["Spain"] * 9 + ["Chile"], list(range(10)), None, True, 5)
    assert [group.value for group in groups] == ["others (2)"]
    groups = group_rows("country", ["Spain"] * 9 + ["Chile"] + ["Peru"] * 5, list(range(15)), None, True, 5)
    assert [(group.value, group.rows) for group in groups] == [("Spain", 9), ("others (2)", 6)]


# ---- a user's own data


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "img").mkdir()
    rows = []
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (20, 30 + i), dtype=np.uint8)).save(tmp_path / "img" / f"{i}.png")
        note = "" if i % 4 == 0 else f"Mrs. Verysecret {i % 3} has a cough | and fever"
        row = {"sample_id": i, "patient_id": f"p{i // 2}", "site": "ab"[i % 2], "xray": f"img/{i}.png", "note": note}
        rows.append(row | {"age": "" if i < 2 else 40.5 + i, "meta_ward": "rare" if i < 2 else "icu", "label": int(i % 5 == 0)})
    pd.DataFrame(rows).to_csv(tmp_path / "cohort.csv", index=False)
    return tmp_path


def test_a_manifest_gets_a_source_with_its_gaps_marked_and_a_card_without_anyones_text(own, capsys):
    out = own / "out"
    card([str(own / "cohort.csv")], out)
    assert sorted(path.name for path in out.iterdir()) == ["cohort.json", "cohort.md", "cohort.yaml"]
    for path in out.iterdir():
        assert "Verysecret" not in path.read_text() and "rare" not in path.read_text() and str(own) not in path.read_text()
    text, data = (out / "cohort.md").read_text(), json.loads((out / "cohort.json").read_text())
    assert "40 rows of 20 patients" in text and "| note | missing | 10 | 10 |" in text and "| `xray` | 40 (.png)" in text
    assert "| `age` | Float |" in text and "nearly all of 40" in text
    assert text.startswith(MARK) and GAP in text and GAP not in json.dumps(data)
    source = read_source(out / "cohort.yaml")
    assert {"title", "licence", "target", "tables.samples.columns.age.what", "sections.0.text"} <= set(source.gaps())
    assert source.modalities["xray"].files == "img/*.png" and source.tables["samples"].patient == "patient_id"
    assert f"{len(source.gaps())} values in cohort.yaml" in capsys.readouterr().out


def test_what_is_filled_in_stays_and_goes_into_both_files(own):
    card([str(own / "cohort.csv")], own)
    path = own / "cohort.yaml"
    words = path.read_text().replace('"TO FILL: one line"', "Coughs of Springfield").replace("[TO FILL]", "[{Organization: Springfield General}]")
    path.write_text(words)
    card([str(own / "cohort.csv")], own)
    assert path.read_text() == words
    data = json.loads((own / "cohort.json").read_text())
    assert data["alternateName"] == "Coughs of Springfield" and "# Coughs of Springfield\n" in (own / "cohort.md").read_text()
    assert data["creator"] == [{"@type": "sc:Organization", "name": "Springfield General"}]


def test_small_cells_are_shown_where_they_are_asked_for(own):
    card([str(own / "cohort.csv")], own, small_cells=True)
    text = (own / "cohort.md").read_text()
    assert "|  | rare | 2 | 1 | 1 (50 %) |" in text and "38 of 40" in text


def test_mlcroissant_loads_a_users_own_table(own):
    mlcroissant = pytest.importorskip("mlcroissant")
    card([str(own / "cohort.csv")], own)
    records = list(mlcroissant.Dataset(str(own / "cohort.json")).records("samples"))
    assert len(records) == 40 and records[7]["samples/age"] == 47.5 and records[7]["samples/label"] == 0


def test_names_with_spaces_and_a_column_called_like_its_modality_load(own):
    mlcroissant = pytest.importorskip("mlcroissant")
    table = pd.read_csv(own / "cohort.csv").rename(columns={"age": "Age at visit", "note": "Age_at_visit", "xray": "chest film"})
    table.to_csv(own / "my cohort.csv", index=False)
    card([str(own / "my cohort.csv")], own)
    path = own / "my cohort.yaml"
    path.write_text(path.read_text().replace('"of the modality chest film (image)"', "{what: the film, names: chest film}"))
    card([str(own / "my cohort.csv")], own)
    records = list(mlcroissant.Dataset(str(own / "my cohort.json")).records("samples"))
    assert records[7]["samples/Age_at_visit"].startswith(b"Mrs.") and records[7]["samples/Age_at_visit_"] == 47.5
    assert "samples/chest_film" in records[7] and "samples/chest_film_content" in records[7]


def test_pictures_in_a_folder_and_in_one_below_are_all_in_the_set_of_files(own):
    (own / "img" / "late").mkdir()
    (own / "img" / "7.png").rename(own / "img" / "late" / "7.png")
    table = own / "cohort.csv"
    table.write_text(table.read_text().replace("img/7.png", "img/late/7.png"))
    card([str(table)], own)
    files = json.loads((own / "cohort.json").read_text())["distribution"][1]
    assert files["includes"] == ["img/**/*.png", "img/*.png"]


def test_a_table_of_many_files_is_a_set_of_files(tmp_path):
    from mmdx.data.cards.count import MOST_FILES, Counts, _count_table
    from mmdx.data.cards.source import Table

    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.tsv").write_text("0\t1\n")
    counts = Counts("")
    _count_table("few", Table("1*.tsv", "pieces"), tmp_path, set(), counts)
    _count_table("many", Table("*.tsv", "pieces"), tmp_path, set(), counts)
    assert len(counts.tables["few"]) == 11 and counts.tables["many"] == []


def test_a_sample_that_cannot_be_read_is_counted_as_set_aside(own):
    (own / "img" / "3.png").write_bytes((own / "img" / "3.png").read_bytes()[:60])
    card([str(own / "cohort.csv")], own)
    assert "39 rows of 20 patients, 1 set aside" in (own / "cohort.md").read_text()


def test_a_manifest_called_like_a_public_data_set_has_a_card_of_its_own(own):
    (own / "cohort.csv").rename(own / "covid_cxr.csv")
    card([str(own / "covid_cxr.csv")], own)
    assert read_source(own / "covid_cxr.yaml").title.startswith(GAP)


# ---- what goes wrong


@pytest.mark.parametrize("suffix", [".md", ".json"])
def test_a_file_that_is_no_card_is_not_written_over(own, suffix):
    (own / f"cohort{suffix}").write_text("{}")
    sentence(lambda: card([str(own / "cohort.csv")], own), f"cohort{suffix}", "--out")
    assert (own / f"cohort{suffix}").read_text() == "{}" and not (own / "cohort.yaml").exists()


def test_an_unknown_name_lists_the_cards(tmp_path):
    sentence(lambda: card(["nobody"], tmp_path), "nobody", "covid_cxr", "manifest")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("licence:", "license:", 1), ("unknown key 'license'", "'licence'")),
        (lambda text: text.replace("url: https", "site: https", 1), ("'url' is missing", GAP)),
        (lambda text: text.replace("rai: dataBiases", "rai: biases"), ("sections[0].rai=biases", "dataBiases")),
        (lambda text: text.replace("type: Float", "type: float"), ("columns.age.type=float", "Float")),
        (lambda text: text.replace("names: image", "names: picture"), ("columns.filename.names=picture", "image")),
        (lambda text: text.replace("patient: patientid", "patient: nobody"), ("images.patient=nobody", "patientid")),
        (lambda text: text.replace("version: 2020.0.0", "version: [1]"), ("version", "text")),
        (lambda text: text + "\nname: other\n", ("'name'",)),
        (lambda text: text + "\n  : : [", ("line", "not YAML")),
        (lambda text: "just words", ("keys with values",)),
    ],
)
def test_a_wrong_source_is_told_with_its_key(change, words, tmp_path):
    path = tmp_path / "covid_cxr.yaml"
    path.write_text(change((FOLDER / "covid_cxr.yaml").read_text()))
    sentence(lambda: read_source(path), "covid_cxr.yaml", *words)


def test_what_mlcroissant_refuses_is_told(tmp_path):
    pytest.importorskip("mlcroissant")
    wrong = croissant(read_source(FOLDER / "covid_cxr.yaml"), None)
    wrong["recordSet"][0]["field"][0]["source"]["fileSet"]["@id"] = "nowhere"
    sentence(lambda: validate(wrong), "covid_cxr", "nowhere")


def test_without_mlcroissant_the_card_is_written_and_says_that_it_was_not_checked(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlcroissant", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    card(["covid_cxr"], tmp_path)
    assert "mmdx[cards]" in capsys.readouterr().out and UNCOUNTED in (tmp_path / "covid_cxr.md").read_text()
    sentence(lambda: validate({}), "mmdx[cards]")


def test_markdown_becomes_plain_text():
    assert plain("**A b.** see [c](d)\n  `x-*/y` *e f* and x-*/y-*/z") == "A b. see c (d) `x-*/y` e f and x-*/y-*/z"
    assert plain("**`X` is a hole.** But") == "`X` is a hole. But"


def test_a_table_becomes_a_list_of_rows():
    text = "As it is:\n\n| a | b |\n|---|:--|\n| 1 | `x` |\n\nThat is all, `| c |` too."
    assert plain(text) == "As it is: a, b; 1, `x`; That is all, `| c |` too."


def test_a_points_list_is_a_list_of_statements():
    source = read_source(FOLDER / "openi_reports.yaml")
    data = croissant(source, None)
    assert len(data["rai:dataBiases"]) == 4 and data["rai:dataBiases"][1].startswith("`XXXX` is a hole. De-identification")
    assert data["rai:dataPreprocessingProtocol"][-1].startswith("`OpeniReports.left_out`")
    biases = croissant(read_source(FOLDER / "yaseen2018.yaml"), None)["rai:dataBiases"]
    assert len(biases) == 6 and biases[0].startswith("Published accuracies")  # a paragraph before the points
