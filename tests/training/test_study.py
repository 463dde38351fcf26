"""Facts about a study: what repeats, what is in the tables, what a stop leaves behind."""

import numpy as np
import pandas as pd
import pytest
import torch
from toy import Numbers, model_plan, training_plan

from mmdx.cells import plain_name
from mmdx.data.splits import HoldOut, KFold, LeaveOneSiteOut
from mmdx.errors import InputError
from mmdx.study import Study
from mmdx.training.module import MultimodalModule


def study(folder, dataset=None, split=None, training=None, **settings):
    return Study(dataset or Numbers(), model_plan(), training or training_plan(), split or HoldOut(), folder, **settings)


def weights(folder):
    return torch.load(folder / "models" / "model" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def test_same_seed_same_bits_whatever_the_workers(tmp_path):
    base = study(tmp_path / "a").run()
    assert base.equals(study(tmp_path / "b", training=training_plan(num_workers=2)).run())
    assert all(torch.equal(v, weights(tmp_path / "b")[k]) for k, v in weights(tmp_path / "a").items())
    assert not base["prob"].equals(study(tmp_path / "c", seeds=(1,)).run()["prob"])


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch):
    base = study(tmp_path / "whole").run()
    begin = MultimodalModule.on_train_epoch_start

    def stop(module):
        begin(module)
        if module.current_epoch == 2:
            raise KeyError("stop")

    with monkeypatch.context() as patch:
        patch.setattr(MultimodalModule, "on_train_epoch_start", stop)
        with pytest.raises(KeyError):
            study(tmp_path / "cut").run()
    assert not (tmp_path / "cut" / "predictions.parquet").exists()
    assert base.equals(study(tmp_path / "cut", resume=True).run())


def test_the_last_checkpoint_is_of_the_last_epoch_and_the_best_of_the_best(tmp_path):
    plan = training_plan(trainer={"max_epochs": 6}, monitor="train/loss", mode="max")
    study(tmp_path, training=plan).run()
    epochs = {}
    for name in ("best", "last"):
        kept = torch.load(tmp_path / "models" / "model" / "checkpoints" / f"{name}.ckpt", weights_only=True)
        epochs[name] = kept["epoch"]
    assert epochs == {"last": 5, "best": 0}  # the loss is the largest before anything is learned


def test_predictions_have_each_sample_once_a_subset_and_only_where_it_has_something(tmp_path):
    data = Numbers()
    frame = study(tmp_path, data, KFold(folds=3)).run()
    test = frame[frame["split"] == "test"]
    lacking = {"left": (data.missing == 0).sum(), "right": (data.missing == 1).sum(), "left+right": 0}
    for name, missing in lacking.items():
        rows = test[test["modalities"] == name]
        assert len(rows) == len(data) - missing and rows["sample_id"].is_unique
    assert test.loc[test["modalities"] == "left", "present"].eq("left").all()
    assert set(test["fold"]) == {"fold0", "fold1", "fold2"} or test["fold"].nunique() == 3
    assert {"sample_id", "patient_id", "split", "modalities", "target", "prob", "meta_site", "meta_sex"} <= set(frame.columns)


def test_retrained_models_never_saw_the_other_modality(tmp_path):
    frame = study(tmp_path, ablation="retrained").run()
    names = sorted(p.name for p in (tmp_path / "models").iterdir())
    assert names == ["model", "model-left", "model-right"] or names == ["left", "model", "right"]
    retrained = frame[frame["ablation"] == "retrained"]
    assert set(retrained["modalities"]) == {"left", "right", "left+right"}
    full = frame[frame["modalities"] == "left+right"]
    pair = [full[full["ablation"] == a].sort_values(["split", "sample_id"])["prob"].to_numpy() for a in ("offered", "retrained")]
    assert np.array_equal(*pair)


def test_patients_stay_on_one_side(tmp_path):
    frame = study(tmp_path, Numbers(patients=30)).run()
    assert frame.groupby("patient_id")["split"].nunique().max() == 1


def test_faulty_samples_are_set_aside_with_the_reason(tmp_path):
    class Faulty(Numbers):
        def __getitem__(self, index):
            from mmdx.errors import SampleError

            if index == 4:
                raise SampleError("left/4.bin has 0 bytes.", sample_id="s004", file="left/4.bin", row=5)
            return super().__getitem__(index)

    with pytest.raises(InputError, match=r"left/4\.bin has 0 bytes"):
        study(tmp_path / "stop", Faulty()).run()
    frame = study(tmp_path / "go", Faulty(), on_error="quarantine").run()
    assert "s004" not in set(frame["sample_id"])
    aside = pd.read_csv(tmp_path / "go" / "quarantine.csv")
    assert aside.to_dict("records") == [{"sample_id": "s004", "file": "left/4.bin", "row": 5, "reason": "left/4.bin has 0 bytes."}]


def test_a_modality_that_the_data_lacks_is_named():
    plan = model_plan()
    plan.encoders["ecg"] = plan.encoders["left"]
    with pytest.raises(InputError, match=r"encoders\.ecg: the data set has no modality 'ecg'; it has left, right"):
        Study(Numbers(), plan, training_plan(), HoldOut(), "unused")


def test_loading_a_trained_model_gives_its_predictions_again(tmp_path):
    first = study(tmp_path)
    frame = first.run()
    again = study(tmp_path)
    again.prepare()
    assert frame.equals(again.evaluate(tmp_path, everything=False))


def test_a_checkpoint_that_is_a_pickle_is_refused_and_runs_nothing(tmp_path):
    import os
    import pickle

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    first = study(tmp_path)
    first.run()
    (tmp_path / "models" / "model" / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match=r"best.ckpt: not a checkpoint of tensors"):
        first.evaluate(tmp_path, everything=False)
    assert not (tmp_path / "ran").exists()


def test_a_second_run_in_the_same_folder_reports_its_own_model(tmp_path):
    first = study(tmp_path / "a").run()
    second = study(tmp_path / "a", seeds=(7,)).run()
    assert second.equals(study(tmp_path / "b", seeds=(7,)).run()) and not second.equals(first)


def evaluated(source, dataset, everything):
    again = study(source / "again", dataset=dataset)
    again.prepare()
    return again.evaluate(source, everything)


def test_evaluation_keeps_to_the_runs_own_folds_when_the_order_of_rows_changes(tmp_path):
    first = study(tmp_path).run()
    turned = Numbers()
    order = np.arange(len(turned))[::-1]
    turned.table = turned.table.iloc[order].reset_index(drop=True)
    turned.values, turned.missing = turned.values[order], turned.missing[order]
    again = evaluated(tmp_path, turned, everything=False)
    key = ["split", "modalities", "sample_id"]
    one, two = (f.sort_values(key)[[*key, "prob"]].reset_index(drop=True) for f in (first, again))
    pd.testing.assert_frame_equal(one, two)


def test_what_was_trained_on_is_never_a_test_row_of_a_larger_cohort(tmp_path, capsys):
    first = study(tmp_path).run()
    larger = Numbers(samples=120)
    more = Numbers(samples=150)
    more.values[:120], more.missing[:120] = larger.values, larger.missing
    more.table.loc[:119, "target"] = larger.table["target"]
    tested = evaluated(tmp_path, more, everything=True)
    fresh = {f"s{i:03d}" for i in range(120, 150)} | set(first.loc[first["split"] == "test", "sample_id"])
    assert set(tested["sample_id"]) == fresh
    assert "samples are left out" in capsys.readouterr().out


def test_a_site_may_be_called_anything_and_its_model_stays_in_the_run(tmp_path):
    cohort = Numbers()
    cohort.table["site"] = np.where(cohort.table["site"] == "site0", "../../up", "north/east")
    study(tmp_path / "runs" / "run", dataset=cohort, split=LeaveOneSiteOut()).run()
    assert sorted(p.name for p in (tmp_path / "runs" / "run" / "models").iterdir()) == ["_.._up", "north_east"]
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_names_of_models_never_meet():
    taken = set()
    assert [plain_name(name, taken) for name in ("a/b", "a_b", "a b", "A_B", "..", "")] == ["a_b", "a_b_2", "a_b_3", "A_B_4", "model", "model_2"]


def test_a_subset_that_too_few_have_is_not_trained_alone(tmp_path, capsys):
    cohort = Numbers()
    cohort.missing[:] = 1
    cohort.missing[:3] = 5
    frame = study(tmp_path, dataset=cohort, ablation="retrained").run()
    assert "not trained" in capsys.readouterr().out
    assert set(frame.loc[frame["ablation"] == "retrained", "modalities"]) == {"left", "left+right"}


def test_a_diverging_model_is_said_to_diverge(tmp_path):
    with pytest.raises(InputError, match="training diverged in epoch"):
        study(tmp_path, training=training_plan(lr=1e30, trainer={"gradient_clip_val": None})).run()
