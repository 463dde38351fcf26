"""The masks that an audit proposes, applied: by the command that writes them, in a run's config, and in what a model can see."""

import json

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from mmdx.commands.data_leakage import config_of, run
from mmdx.commands.data_source import composed
from mmdx.configuration import resolved, state_masks
from mmdx.errors import InputError
from mmdx.evaluate import own_masks
from mmdx.parts import dataset_from, study_from

FILLER = ["seen", "today", "at", "home", "with", "family", "after", "lunch", "and", "walk", "slowly", "since", "monday"]


def write(path, named=True, split=True):
    """A cohort of 120 notes in which only the diagnosis's name and a term tell who is ill."""
    rng = np.random.default_rng(0)
    label = np.arange(120) % 2
    notes = [" ".join(rng.choice(FILLER, 8)) for _ in label]
    if named:
        notes = [f"{note} {'Pneumonia, white-out' if ill else ''}" for note, ill in zip(notes, label, strict=True)]
    frame = pd.DataFrame({"sample_id": [f"s{i}" for i in range(120)], "patient_id": [f"p{i}" for i in range(120)], "note": notes, "label": label})
    if split:
        frame["split"] = np.where(np.arange(120) < 70, "train", np.where(np.arange(120) < 90, "val", "test"))
    frame.to_csv(path, index=False)
    return path


def source(path, *more):
    return ["data=manifest", f"data.path={path}", "data.modalities={note: note}", "data.roles={note: report}", "data.target_words=[pneumonia]", *more]


def test_the_command_writes_masks_that_mend_the_text(tmp_path, capsys):
    cohort, file = write(tmp_path / "cohort.csv"), tmp_path / "masks.json"
    with pytest.raises(SystemExit):
        run(source(cohort), as_json=True, seed=0, masks=file)
    out, err = capsys.readouterr()
    rows = json.loads(out)
    masks = json.loads(file.read_text())
    assert rows[0]["verdict"] == "leak" and {"pneumonia", "white out"} <= set(masks["note"])
    assert f"data.masks={file}" in err and "column split" not in err
    run(source(cohort, f"data.masks={file}"), as_json=True, seed=0)  # raises nothing: there is no leak left
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["names_the_target"] == 0 and rows[0]["verdict"] == "ok"


def test_without_a_split_only_names_are_proposed_and_that_is_said(tmp_path, capsys):
    cohort, file = write(tmp_path / "cohort.csv", split=False), tmp_path / "masks.json"
    with pytest.raises(SystemExit):
        run(source(cohort), as_json=True, seed=0, masks=file)
    assert json.loads(file.read_text()) == {"note": ["pneumonia"]} and "N-grams are learnt from training rows only" in capsys.readouterr().err


def test_where_there_is_nothing_to_mask_that_is_an_error(tmp_path):
    cohort = write(tmp_path / "cohort.csv", split=False)
    with pytest.raises(InputError, match=r"nothing to mask"):
        run([*source(cohort)[:-1]], as_json=True, seed=0, masks=tmp_path / "masks.json")


def test_a_runs_config_holds_the_masks_themselves(tmp_path):
    file = tmp_path / "masks.json"
    file.write_text('{"note": ["pneumonia", "19"]}')
    cfg = config_of(source(write(tmp_path / "cohort.csv"), f"data.masks={file}"))
    state_masks(cfg)
    again = resolved(OmegaConf.create(OmegaConf.to_yaml(cfg)))
    assert again.data.masks == {"note": ["19", "pneumonia"]}
    assert "neumonia" not in dataset_from(again)[1].inputs["note"]


def test_a_run_keeps_its_masks_on_other_data():
    trained = OmegaConf.create({"data": {"masks": {"note": ["pneumonia"]}}})
    assert own_masks(trained, {"masks": {}}) == own_masks(trained, {}) == {"note": ["pneumonia"]}
    assert own_masks(OmegaConf.create({"data": {}}), {}) == {}
    with pytest.raises(InputError, match=r"data.masks: a run keeps the masks"):
        own_masks(trained, {"masks": {"note": ["other"]}})


@pytest.mark.parametrize("training", ["end_to_end", "frozen_features"])
def test_a_model_trained_on_masked_text_cannot_see_the_words(tmp_path, training):
    """Its predictions are those of a model whose texts never had them."""
    parts = ["+encoder/text@encoders.note=bag_of_words", "fusion=concat", "split=given", "trainer.max_epochs=2", "logger=none"]
    parts.append(f"training={training}")
    if training == "frozen_features":
        parts.append("+encoder/tuning@encoders.note.tuning=frozen")
    predicted = {}
    for name, named, masks in (("masked", True, "{note: [pneumonia, white out]}"), ("never", False, "null"), ("whole", True, "null")):
        cfg = resolved(composed(source(write(tmp_path / f"{name}.csv", named), f"data.masks={masks}", *parts)))
        predicted[name] = study_from(cfg, tmp_path / f"{training}_{name}").run()["prob"].to_numpy()
    assert np.array_equal(predicted["masked"], predicted["never"]) and not np.allclose(predicted["masked"], predicted["whole"])
