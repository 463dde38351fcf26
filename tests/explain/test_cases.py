"""Case files of small trained studies: what is in them, what is not, and where they are."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from PIL import Image
from toy import Line, Numbers, training_plan

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import resolved
from mmdx.data.splits import HoldOut, KFold
from mmdx.encoders.image import ImageTransform, SmallCNN
from mmdx.encoders.text import HashedBagOfWords, HashedWords
from mmdx.encoders.tuning import Frozen
from mmdx.errors import InputError
from mmdx.explain import cases as module
from mmdx.explain.cases import write_cases
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.parts import study_from
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.plan import EncoderPlan, ModelPlan

PLACED = ["image=small_cnn", "text=small_transformer", "audio=logmel_cnn", "tabular=mlp"]


def models_of(study):
    study.run()
    return [(cell, study.load(study.folder, cell)) for cell in study.cells(study.folds())]


@pytest.fixture(scope="module")
def tri_modal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    placed = [f"+encoder/{e.split('=')[0]}@encoders.{e}" for e in PLACED]
    small = ["data.samples=40", "encoders.text.transform.max_length=24", "encoders.image.transform.size=32"]
    overrides = ["data=simulated", *small, "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none"]
    with initialize_config_dir(config_folder(), version_base="1.3"):
        study = study_from(resolved(compose("train", overrides=[*placed, *overrides])), folder)
    models = models_of(study)
    write_cases(folder, models, study, 100, notes=False)
    return study, models, json.loads((folder / "cases" / "cases.json").read_text(encoding="utf-8"))


class Notes:
    """A cohort that is not simulated: a film and a note, which may be anything."""

    modalities = ("left/film", "note")

    def __init__(self, samples=60):
        self.table = Numbers(samples).table
        self.samples = samples

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        sample = Numbers(self.samples)[index]
        film = np.full((16, 24), 40 + 100 * sample.target, np.uint8)
        sample.inputs = {"left/film": [film, film], "note": f"secret <script>{index}</script> " + "ill " * sample.target}
        return sample


def toy_study(dataset, encoders, folder, **options):
    plan = ModelPlan(encoders, partial(GatedMultimodalUnit, hidden=8), Binary)
    return Study(dataset, plan, training_plan(), HoldOut(), folder, **options)


def notes_study(folder):
    film, words = ImageTransform(size=16), HashedWords(64)
    encoders = {
        "left/film": EncoderPlan(lambda transform: SmallCNN(transform, width=8, blocks=2), film),
        "note": EncoderPlan(lambda transform: HashedBagOfWords(transform, width=8), words),
    }
    return toy_study(Notes(), encoders, folder)


def test_every_test_sample_is_a_case_with_what_it_has(tri_modal):
    study, models, written = tri_modal
    cell = models[0][0]
    assert len(written["cases"]) == len(cell.fold.test)
    assert written["schema"] == 1 and written["kind"] == "binary" and written["outputs"] == [""] and written["full"] == "audio+image+tabular+text"
    rows = {s: i for i, s in enumerate(study.dataset.table["sample_id"])}
    for case in written["cases"]:
        there = {m for m in study.dataset.modalities if study.dataset.present[m][rows[case["sample_id"]]]}
        assert set(case["inputs"]) == set(case["contribution"]) == there
        assert set(case["share"]) in (there, set())
        assert abs(sum(case["contribution"].values()) - (case["value"] - case["baseline"])) <= case["error"] + 1e-3
        assert case["error"] < 0.02


def test_the_log_odds_are_those_of_the_predictions(tri_modal):
    study, _, written = tri_modal
    table = pd.read_parquet(study.folder / "predictions.parquet")
    full = table[(table["modalities"] == written["full"]) & (table["split"] == "test")].set_index("sample_id")
    for case in written["cases"]:
        assert 1 / (1 + np.exp(-case["value"])) == pytest.approx(full["prob"][case["sample_id"]], abs=1e-3)


def test_files_open_and_none_is_left_over(tri_modal):
    study, _, written = tri_modal
    root = study.folder / "cases"
    named = {"cases.json"}
    for case in written["cases"]:
        assert case["folder"].isdigit() and case["sample_id"] not in case["folder"]
        for entry in case["inputs"].values():
            for item in entry.get("items", []):
                files = [item[key] for key in ("file", "overlay", "spectrogram") if key in item]
                assert all(file.startswith(case["folder"] + "/") for file in files)
                named |= set(files)
                if entry["kind"] == "audio":
                    assert soundfile.info(root / item["file"]).duration == pytest.approx(item["seconds"], abs=0.002)
                for file in files:
                    if not file.endswith("mp3"):
                        with Image.open(root / file) as picture:
                            picture.load()
    assert {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} == named
    kinds = {m: entry["kind"] for case in written["cases"] for m, entry in case["inputs"].items()}
    assert kinds == {"image": "image", "text": "text", "audio": "audio", "tabular": "table"}


def test_simulated_notes_are_written(tri_modal):
    study, _, written = tri_modal
    rows = {s: i for i, s in enumerate(study.dataset.table["sample_id"])}
    for case in written["cases"]:
        if "text" in case["inputs"]:
            assert case["inputs"]["text"]["text"] == study.dataset[rows[case["sample_id"]]].inputs["text"]


def test_the_same_again_is_the_same_and_takes_the_old_ones_place(tri_modal, tmp_path):
    study, models, _ = tri_modal
    folder = tmp_path / "again"
    folder.mkdir()
    shutil.copy(study.folder / "predictions.parquet", folder)
    (folder / "cases" / "0999").mkdir(parents=True)
    (folder / "other.txt").write_text("kept")
    write_cases(folder, models, study, 100, notes=False)
    assert sorted(p.name for p in folder.iterdir()) == ["cases", "other.txt", "predictions.parquet"]
    assert not (folder / "cases" / "0999").exists()
    for path in (study.folder / "cases").rglob("*"):
        if path.is_file():
            assert (folder / "cases" / path.relative_to(study.folder / "cases")).read_bytes() == path.read_bytes()


def test_a_stop_midway_leaves_the_old_cases(tri_modal, tmp_path, monkeypatch):
    study, models, _ = tri_modal
    shutil.copy(study.folder / "predictions.parquet", tmp_path)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "cases.json").write_text("old")

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_text", stop)
    with pytest.raises(KeyboardInterrupt):
        write_cases(tmp_path, models, study, 3, notes=False)
    assert (tmp_path / "cases" / "cases.json").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cases", "predictions.parquet"]


def test_what_a_kill_between_the_renames_left_is_put_back(tmp_path):
    (tmp_path / ".cases.old").mkdir()
    (tmp_path / ".cases.old" / "cases.json").write_text("old")
    with pytest.raises(RuntimeError), module._replacing(tmp_path / "cases"):
        assert (tmp_path / "cases" / "cases.json").read_text() == "old"
        raise RuntimeError
    assert (tmp_path / "cases" / "cases.json").read_text() == "old"


def test_notes_of_patients_are_withheld_unless_asked_for(tmp_path):
    study = notes_study(tmp_path)
    models = models_of(study)
    write_cases(tmp_path, models, study, 100, notes=False)
    text = (tmp_path / "cases" / "cases.json").read_text(encoding="utf-8")
    assert "secret" not in text and "script" not in text
    case = json.loads(text)["cases"][0]
    index = list(study.dataset.table["sample_id"]).index(case["sample_id"])
    note = study.dataset[index].inputs["note"]
    assert case["inputs"]["note"] == {"kind": "text", "withheld": True, "characters": len(note)}
    items = case["inputs"]["left/film"]["items"]
    assert [item["file"] for item in items] == ["0001/left_film_0.jpg", "0001/left_film_1.jpg"]
    write_cases(tmp_path, models, study, 100, notes=True)
    case = json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))["cases"][0]
    assert case["inputs"]["note"]["text"] == note


def test_an_unknown_kind_has_its_weight_alone_and_only_the_first_seed_is_used(tmp_path):
    encoders = {m: EncoderPlan(lambda transform: Line()) for m in Numbers.modalities}
    study = toy_study(Numbers(), encoders, tmp_path, seeds=(3, 4), ablation="retrained")
    write_cases(tmp_path, models_of(study), study, 5, notes=False)
    written = json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))["cases"]
    assert len(written) == 5 and {case["seed"] for case in written} == {"3"}
    for case in written:
        for m, entry in case["inputs"].items():
            assert entry["kind"] == "other" and entry["note"] == "shape 3" and -1 <= entry["weight"] <= 1
            assert (tmp_path / "cases" / case["folder"]).is_dir() and m in case["contribution"]


def test_a_run_without_predictions_or_without_cases_is_refused(tri_modal, tmp_path):
    study, models, _ = tri_modal
    with pytest.raises(InputError, match="no such file"):
        write_cases(tmp_path, models, study, 3, notes=False)
    with pytest.raises(InputError, match="cases=0"):
        write_cases(study.folder, models, study, 0, notes=False)


def test_features_computed_beforehand_are_shown_on_what_the_encoder_read(tmp_path):
    study = notes_study(tmp_path)
    for part in study.model.encoders.values():
        part.tuning = Frozen()
    study.encode_once = True
    write_cases(tmp_path, models_of(study), study, 100, notes=True)
    for case in json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))["cases"]:
        assert case["error"] < 0.01
        for item in case["inputs"].get("left/film", {}).get("items", []):
            with Image.open(tmp_path / "cases" / item["overlay"]) as overlay:
                assert overlay.size == (4, 4)  # the encoder's grid


def test_each_fold_explains_its_own_rows_and_the_first_where_predictions_are_means(tmp_path):
    encoders = {m: EncoderPlan(lambda transform: Line()) for m in Numbers.modalities}
    study = toy_study(Numbers(), encoders, tmp_path)
    study.split = KFold(folds=2)
    models = models_of(study)
    write_cases(tmp_path, models, study, 1000, notes=False)
    written = json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))["cases"]
    ids = study.dataset.table["sample_id"].to_numpy()
    for cell, _ in models:
        assert {case["sample_id"] for case in written if case["fold"] == cell.fold.name} == set(ids[cell.fold.test])
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    table[table["split"] == "test"].drop(columns="fold").to_parquet(tmp_path / "predictions.parquet")
    everything = [(replace(cell, fold=replace(cell.fold, test=study.rows)), trained) for cell, trained in models]
    write_cases(tmp_path, everything, study, 1000, notes=False)
    again = json.loads((tmp_path / "cases" / "cases.json").read_text(encoding="utf-8"))["cases"]
    assert {case["fold"] for case in again} == {""} and len({case["sample_id"] for case in again}) == len(again) == len(ids)
