"""Facts about pretraining by alignment alone, and about encoders that a run takes from an earlier one."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from toy import Line, Numbers, training_plan

from mmdx.data.splits import Fold, HoldOut, KFold
from mmdx.encoders.tuning import Frozen
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.strategies.alignment import InfoNCE
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.build import build_model, pretrained_transforms
from mmdx.training.fit import load_model
from mmdx.training.frozen import FrozenEncoders
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.training.pretrained import PretrainedEncoder
from mmdx.types import Features, Transform

ALONE = {"fused_loss": 0.0, "monitor": "val/alignment", "mode": "min"}
DATA = {"name": "numbers", "seed": 0}


class Scaled(Transform):
    """Numbers divided by the largest of the training part."""

    largest = 1.0

    def fit(self, prepared):
        self.largest = max(float(np.abs(own).max()) for own in prepared)
        return {"largest": self.largest}

    def load(self, state):
        self.largest = state["largest"]

    def __call__(self, prepared, rng):
        return torch.as_tensor(prepared, dtype=torch.float32) / self.largest


class Rows:
    """A split at two rows."""

    def __init__(self, train, val):
        self.at = train, val

    def folds(self, table, labels):
        return [Fold("fold0", *np.split(np.arange(len(table)), self.at))]


def fusion(widths, head):
    return InfoNCE(widths, Concatenation(widths, head, hidden=8, dropout=0.0), weight=1.0, width=4, adapter=0)


SMALL = partial(Concatenation, hidden=8)


def plan(pretrained=(), fused=SMALL, encoder=Line, **parts):
    def part(name):
        given = PretrainedEncoder(str(dict(pretrained)[name]), name, DATA) if name in dict(pretrained) else None
        return EncoderPlan(lambda transform: encoder(), Scaled(), pretrained=given, **parts)

    return ModelPlan({m: part(m) for m in Numbers.modalities}, fused, Binary)


def study(folder, model, split=None, data=None, **training):
    settings = {key: training.pop(key) for key in ("seeds",) if key in training}
    return Study(data or Numbers(80), model, training_plan(**training), split or HoldOut(), folder, ablation="none", **settings)


def finished(folder, own, labels=False, names=Numbers.modalities, **config):
    """A study's run with what the command writes beside it."""
    own.run()
    training = {"fused_loss": float(labels), "per_modality_loss": 0.0, "checkpoint": "best", "encode_once": False}
    OmegaConf.save({"encoders": {m: {} for m in names}, "training": training, "data": DATA, **config}, folder / "config.yaml")
    (folder / "metrics.json").write_text("{}")
    return folder


def pretrain(folder, **settings):
    return finished(folder, study(folder, plan(fused=fusion), **ALONE, **settings))


def weights(folder, name="best", model="model"):
    return torch.load(folder / "models" / model / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_the_head_learns_nothing_the_encoders_do_and_targets_change_nothing(tmp_path):
    flipped = Numbers(80)
    flipped.table["target"] = 1 - flipped.table["target"]
    one = weights(pretrain(tmp_path / "one", split=Rows(50, 65)), "last")
    other = weights(pretrain(tmp_path / "other", split=Rows(50, 65), data=flipped), "last")
    assert all(torch.equal(one[name], other[name]) for name in one)
    heads = [value for name, value in one.items() if "fusion.fusion" in name and "head" in name]
    assert heads and all((value == 0).all() for value in heads)


def test_the_checkpoint_is_that_of_the_least_validation_alignment(tmp_path):
    own = study(tmp_path, plan(fused=fusion), **ALONE, lr=0.3, trainer={"max_epochs": 6})
    own.run()
    found = []
    for name in ("best", "last"):
        trained = load_model(tmp_path / "models" / "model", own.model, replace(own.training, checkpoint=name))
        batches = trained.batches(own.cohort, own.target, own.folds()[0].val, own.training)
        trained.model.eval()
        with torch.no_grad():
            losses = [(float(trained.model.fusion.measure(trained.model.encode(batch), batch.present)), len(batch)) for batch in batches]
        found.append(sum(loss * count for loss, count in losses) / sum(count for _, count in losses))
    kept = torch.load(tmp_path / "models" / "model" / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    assert found[0] <= found[1]
    assert any(float(state.get("best") or -1) == pytest.approx(found[0], abs=1e-5) for state in kept.values())


def test_in_evaluation_the_measure_is_the_loss_of_training_without_its_weight():
    torch.manual_seed(0)
    made = InfoNCE({"a": 4, "b": 6}, Concatenation({"a": 4, "b": 6}, lambda width: nn.Linear(width, 1), dropout=0.0), weight=0.5, width=3, adapter=4)
    features = {m: Features(torch.randn(7, 2, width), torch.ones(7, 2, dtype=torch.bool)) for m, width in made.widths.items()}
    present = {m: torch.ones(7, dtype=torch.bool) for m in features}
    assert made.eval()(features, present).aux_losses == {}
    torch.testing.assert_close(0.5 * made.measure(features, present), made.train()(features, present).aux_losses["alignment"])


def test_pretraining_without_an_alignment_is_refused(tmp_path):
    with pytest.raises(InputError, match="training=pretraining: Concatenation of left, right has no alignment to learn from"):
        study(tmp_path, plan(), **ALONE).run()
    with pytest.raises(InputError, match="nothing to learn from; .*training=pretraining"):
        training_plan(fused_loss=0.0)
    with pytest.raises(InputError, match="training.monitor=val/alignment: is for training=pretraining"):
        training_plan(monitor="val/alignment", mode="min")


def test_an_encoder_begins_as_the_earlier_run_left_it_with_its_transform_and_may_be_evaluated_without_that_run(tmp_path):
    run = pretrain(tmp_path / "run")
    model = plan({"left": run})
    transforms = pretrained_transforms(model)
    saved = json.loads((run / "models" / "model" / "fitted.json").read_text())["inputs"]["left"]
    assert transforms["left"].largest == saved["largest"] and transforms["right"].largest == 1.0
    built = build_model(model, transforms, 1).encoders["left"].state_dict()
    assert all(torch.equal(value, weights(run)[f"model.encoders.left.{name}"]) for name, value in built.items())

    next_run = study(tmp_path / "next", model, data=Numbers(100))
    frame = next_run.run()
    assert json.loads((tmp_path / "next" / "models" / "model" / "fitted.json").read_text())["inputs"]["left"] == saved  # not fitted again
    assert next_run.earlier()["encoders.left.pretrained"][0]["run"] == str(run / "models" / "model")
    run.rename(tmp_path / "gone")
    again = study(tmp_path / "again", plan({"left": run}), data=Numbers(100))
    again.prepare()
    [cell] = again.cells(next_run.folds())
    assert again.predict(cell, again.load(tmp_path / "next", cell))["prob"].tolist() == frame["prob"].tolist()


def test_frozen_features_follow_from_the_weights_and_the_fitted_transform(tmp_path):
    runs = [pretrain(tmp_path / str(seed), seeds=(seed,)) for seed in (0, 1)]
    keys = [FrozenEncoders(plan({m: run for m in Numbers.modalities}, tuning=Frozen()), torch.device("cpu")).key("left") for run in (*runs, runs[0])]
    assert keys[0] == keys[2] != keys[1]
    frozen = FrozenEncoders(plan({m: runs[0] for m in Numbers.modalities}, tuning=Frozen()), torch.device("cpu"))
    assert frozen.transforms["left"].largest > 1.0


class Wide(Line):
    def __init__(self):
        super().__init__()
        self.body[0] = nn.Linear(3, 9)


@pytest.mark.parametrize("case", ["no run", "unfinished", "another network", "no such encoder", "several models", "frozen features", "no such model",
                                  "broken config", "no encoders"])  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, case):
    run = tmp_path / "run"
    encoder, given = Line, run
    if case == "several models":
        pretrain(run, split=KFold(folds=2))
    elif case != "no run":
        pretrain(run)
    if case == "unfinished":
        (run / "metrics.json").unlink()
    if case == "another network":
        encoder = Wide
    if case == "no such encoder":
        (run / "models.json").write_text((run / "models.json").read_text().replace('"left"', '"middle"'))
        OmegaConf.update(config := OmegaConf.load(run / "config.yaml"), "encoders", {"middle": {}, "right": {}}, merge=False)
        OmegaConf.save(config, run / "config.yaml")
    if case == "frozen features":
        OmegaConf.update(config := OmegaConf.load(run / "config.yaml"), "training.encode_once", True)
        OmegaConf.save(config, run / "config.yaml")
    if case == "no such model":
        given = run / "models" / "seed3"
    if case == "broken config":
        (run / "config.yaml").write_text("seed: [1\n")
    if case == "no encoders":
        (run / "config.yaml").write_text(json.dumps({"data": {}, "encoders": 3, "training": {}}))
    told = {
        "broken config": r"encoders.left.pretrained=.*run: .*config.yaml: not a config \(line 2: ",
        "no encoders": r"encoders.left.pretrained=.*run: .*config.yaml: encoders is 3, but must be a mapping",
        "no run": r"encoders.left.pretrained=.*run: no run there \(no config.yaml\)",
        "unfinished": "has not finished",
        "another network": r"encoders.left.pretrained=.*run: do not fit Wide: 2 of another shape \(such as body.0.weight, body.0.bias\)",
        "no such encoder": "has no encoder of that name; it has middle, right",
        "several models": r"holds 2 models \(fold0, fold1\); name one: .*run/models/fold0",
        "frozen features": "kept no encoders",
        "no such model": "the run has no such model; it has model",
    }
    with pytest.raises(InputError, match=told[case]):
        study(tmp_path / "next", plan({"left": given}, encoder=encoder)).run()


def test_one_of_several_models_is_named_by_its_folder(tmp_path):
    run = pretrain(tmp_path / "run", seeds=(0, 1))
    built = build_model(model := plan({"left": run / "models" / "seed1"}), pretrained_transforms(model), 1)
    own = weights(run, model="seed1")
    assert all(torch.equal(value, own[f"model.encoders.left.{name}"]) for name, value in built.encoders["left"].state_dict().items())


def test_it_is_said_on_how_many_test_samples_an_encoder_was_pretrained_and_labels_of_these_are_refused(tmp_path, capsys):
    """Runs that know rows 0 to 59 of 80, and next ones that test on rows from 60 or from 40 on."""
    before, fair, leaking = Rows(40, 60), Rows(40, 60), Rows(20, 40)
    run = pretrain(tmp_path / "run", split=before)
    for split, told in ((fair, "0 of the 20"), (leaking, "20 of the 40")):
        study(tmp_path / told[:2], plan({"left": run}), split=split).run()
        assert f"encoders.left: pretrained, without labels, on {told} test samples or their patients." in capsys.readouterr().out

    labels = finished(tmp_path / "labels", study(tmp_path / "labels", plan(), split=before), labels=True)
    study(tmp_path / "fair", plan({"left": labels}), split=fair).run()
    again = finished(tmp_path / "again", study(tmp_path / "again", plan({"left": labels}, fused=fusion), split=fair, **ALONE),
                     encoders={"left": {"pretrained": str(labels)}, "right": {}})  # fmt: skip
    for source in (labels, again):  # also where an alignment lay between
        with pytest.raises(InputError, match="labels was trained with labels on 20 of the 40 test samples or their patients"):
            study(tmp_path / "leak", plan({"left": source}), split=leaking).run()
