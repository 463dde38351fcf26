"""Facts about strategies in runs: they come from the config, survive the grid, and heads at once with them are those trained alone."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict
from sklearn.metrics import roc_auc_score
from torch import nn
from toy import Numbers, training_plan

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.data.loading import ModalityDropout
from mmdx.data.splits import HoldOut, KFold
from mmdx.encoders.tuning import Frozen
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.grid import key_of
from mmdx.parts import model_plan
from mmdx.strategies.alignment import BarlowTwins, DeepCCA, InfoNCE, MaskedModality, SigLIP
from mmdx.strategies.distillation import FullModality
from mmdx.strategies.missing import CrossModalRegression, LearnedTokens, MeanImputation, NearestPrototypes
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.types import Features


class Fixed(nn.Module):
    """A frozen encoder."""

    width = 8

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 8)

    def layers(self):
        return [self.body]

    def forward(self, items):
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


class Named(Numbers):
    """Numbers whose rows a cache knows again."""

    def made_from(self, index):
        return f"{self.values[index].tolist()} {self.missing[index]}"


SAME = {
    "learned_tokens": LearnedTokens,
    "mean": MeanImputation,
    "regression": partial(CrossModalRegression, hidden=8),
    "nearest": partial(NearestPrototypes, prototypes=6),
    "infonce": partial(InfoNCE, width=4, adapter=4),
    "siglip": partial(SigLIP, width=4, adapter=4),
    "barlow_twins": partial(BarlowTwins, width=4, adapter=4),
    "cca": partial(DeepCCA, width=3, adapter=4),
    "masked_modality": partial(MaskedModality, width=4, adapter=4),
}


def run(folder, wrap, encode_once=True, dropout=0.0, **settings):
    """Plain gradient descent takes the same steps both ways; Adam would make steps of rounding alone where a gradient is none."""
    def fusion(widths, head):
        return wrap(widths, Concatenation(widths, head, hidden=8, dropout=0.0))

    plan = ModelPlan({m: EncoderPlan(lambda transform: Fixed(), tuning=Frozen()) for m in Numbers.modalities}, fusion, Binary)
    trainer = {"gradient_clip_val": 0.5, "max_epochs": settings.pop("epochs", 3)}
    optimizer = settings.pop("optimizer", partial(torch.optim.SGD, momentum=0.9))
    training = training_plan(modality_dropout=ModalityDropout(dropout), trainer=trainer, optimizer=optimizer, lr=settings.pop("lr", 0.2))
    return Study(Named(90), plan, training, settings.pop("split", HoldOut()), folder, encode_once=encode_once, ablation="none", **settings).run()




def weights(folder, name="model"):
    return torch.load(folder / "models" / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def far(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("name", SAME)
def test_stacked_heads_are_those_trained_alone(tmp_path, name):
    for stack in (True, False):
        run(tmp_path / str(stack), SAME[name], seeds=(0, 1), split=KFold(folds=2), stack=stack)
    names = [f"seed{seed}-fold{fold}" for seed in range(2) for fold in range(2)]
    assert max(far(weights(tmp_path / "True", own), weights(tmp_path / "False", own)) for own in names) < 1e-5


@pytest.mark.parametrize("name", ["regression", "infonce"])
def test_a_head_is_the_one_that_lightning_trains(tmp_path, name, monkeypatch):
    run(tmp_path / "here", SAME[name])
    monkeypatch.setattr("mmdx.study.needs_lightning", lambda training: "asked")
    run(tmp_path / "there", SAME[name])
    assert far(weights(tmp_path / "here"), weights(tmp_path / "there")) < 1e-5


@pytest.mark.parametrize("encode_once", [True, False])
def test_all_three_around_one_another_learn(tmp_path, encode_once):
    """What hides modalities at random draws in a stack as it does alone, though not the same."""

    def wrap(widths, fusion):
        return FullModality(widths, SAME["infonce"](widths, SAME["regression"](widths, fusion)))

    frame = run(tmp_path, wrap, encode_once, 0.2, seeds=(0, 1), stack=True, epochs=10, lr=0.01, optimizer=torch.optim.AdamW)
    assert all(roc_auc_score(rows["target"], rows["prob"]) > 0.75 for _, rows in frame.groupby("seed"))


def config(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", overrides=["+experiment=xray_text", *overrides]))
    check_config(cfg)
    return cfg


def built(cfg):
    return model_plan(cfg).fusion(widths={"image": 8, "text": 6}, head=lambda width: nn.Linear(width, 3))


def test_a_config_wraps_the_fusion_in_their_order():
    outer = built(config("missing=learned_tokens", "alignment=infonce", "alignment.width=7", "distillation=full_modality", "task=multiclass",
                         "task.classes=[a,b,c]"))  # fmt: skip
    assert isinstance(outer, FullModality) and outer.kind == "multiclass"
    assert isinstance(outer.fusion, InfoNCE) and outer.fusion.project["text"][1].out_features == 7
    assert isinstance(outer.fusion.fusion, LearnedTokens) and isinstance(outer.fusion.fusion.fusion, GatedMultimodalUnit)
    assert outer.method is GatedMultimodalUnit.method


def test_without_strategies_or_with_an_older_runs_config_the_fusion_stands_alone():
    cfg = config()
    assert isinstance(built(cfg), GatedMultimodalUnit)
    with open_dict(cfg):
        for group in ("missing", "alignment", "distillation"):
            cfg.pop(group)
    check_config(cfg)
    assert isinstance(built(cfg), GatedMultimodalUnit)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["missing=regression", "missing.hidden=0"], "missing.hidden=0: must be above 0"),
        (["alignment=cca", "+alignment.rigde=1"], "alignment .*rigde"),
        (["alignment=infonce", "alignment._target_=mmdx.tasks.binary.Binary"], "alignment._target_=mmdx.tasks.binary.Binary: is not"),
    ],
)
def test_a_wrong_setting_is_found_before_the_data_is_read(overrides, told):
    with pytest.raises(InputError, match=told):
        model_plan(config(*overrides))


def test_strategies_are_axes_of_the_grid_and_survive_another_fusion(tmp_path):
    path = Path(__file__).parents[2] / "scripts" / "grid.py"
    spec = importlib.util.spec_from_file_location("grid", path)
    grid = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grid)
    words = ["experiment=xray_text_features", "out=x", "fusion=concat,late_sum", "missing=none,mean", "alignment=siglip", "alignment.weight=0.5"]
    configs = [grid.config_of(overrides) for overrides in grid.combinations(*grid.asked(words)).values()]
    assert [cfg.fusion._target_.rpartition(".")[2] for cfg in configs] == ["Concatenation"] * 2 + ["SumOfLogits"] * 2
    assert [bool(cfg.missing) for cfg in configs] == [False, True] * 2 and all(cfg.alignment.weight == 0.5 for cfg in configs)
    assert len({key_of(cfg) for cfg in configs}) == 1  # the cohort is read once
    assert OmegaConf.to_container(configs[1].missing) == {"_target_": "mmdx.strategies.missing.MeanImputation"}
