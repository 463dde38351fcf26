"""Facts about balancing modalities."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from toy import Numbers, model_plan, training_plan

from mmdx.data.loading import ModalityDropout
from mmdx.data.splits import HoldOut
from mmdx.errors import InputError
from mmdx.evaluation.metrics import area_under_roc
from mmdx.fusion.concat import Concatenation
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.tasks.multiclass import Multiclass
from mmdx.tasks.multilabel import Multilabel
from mmdx.training.balance.auxiliary import AuxiliaryLosses
from mmdx.training.balance.base import Step, encoder_parameters
from mmdx.training.balance.gradient_blending import GradientBlending, at_least, blending_weights
from mmdx.training.balance.mmpareto import ParetoIntegration, integrate
from mmdx.training.balance.ogm_ge import GradientModulation, coefficients, modulate, true_class
from mmdx.training.model import MultimodalModel
from mmdx.training.module import MultimodalModule
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.types import Batch, Features

MODALITIES = ("a", "b", "c")


class Widen(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)

    def forward(self, items):
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def step_of(task=None, target=None, lacking=()):
    """One batch of eight rows of a small model, with gradients; nobody has the lacking modalities."""
    torch.manual_seed(0)
    task = task or Binary()
    target = torch.tensor([0.0, 1.0] * 4) if target is None else target
    fusion = Concatenation(dict.fromkeys(MODALITIES, 4), partial(nn.Linear, out_features=task.outputs))
    model = MultimodalModel({m: Widen() for m in MODALITIES}, fusion).eval()  # without dropout
    there = torch.ones(8, dtype=torch.bool)
    present = {m: torch.zeros_like(there) if m in lacking else there for m in MODALITIES}
    batch = Batch({m: torch.randn(8, 1, 3) for m in MODALITIES}, {m: there[:, None] for m in MODALITIES}, present, target, {})
    features = model.encode(batch)
    return Step(model, task, batch, features, model.fusion(features, present))


def joint_loss(step):
    return step.task.loss(step.output.logits, step.batch.target)


def gradient_of(model, modality):
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in encoder_parameters(model, modality)])


def with_heads(method, outputs=1, **settings):
    torch.manual_seed(1)
    return method(dict.fromkeys(MODALITIES, 4), partial(nn.Linear, out_features=outputs), **settings)


def test_the_probability_of_what_is_true():
    logits = torch.tensor([[0.3, -1.0, 0.2], [2.0, 0.0, 1.0]])
    p = logits.softmax(1)
    torch.testing.assert_close(true_class(logits, torch.tensor([2, 0])), torch.tensor([p[0, 2] + p[1, 0], 2.0]))
    one = torch.tensor([[0.3], [2.0]])
    p = one.sigmoid()
    torch.testing.assert_close(true_class(one, torch.tensor([1.0, 0.0])), torch.tensor([p[0, 0] + 1 - p[1, 0], 2.0]))
    labels = torch.tensor([[1.0, float("nan"), 0.0], [float("nan"), 0.0, 1.0]])
    p = logits.sigmoid()
    torch.testing.assert_close(true_class(logits, labels), torch.tensor([p[0, 0] + 1 - p[0, 2] + 1 - p[1, 1] + p[1, 2], 4.0]))


def test_coefficients_are_the_papers_of_two_and_leave_out_who_is_not_there():
    scores = torch.tensor([[6.0, 10.0], [9.0, 10.0]])
    torch.testing.assert_close(coefficients(scores, 0.7), torch.tensor([1.0, 1 - np.tanh(0.7 * 1.5)], dtype=torch.float32))
    torch.testing.assert_close(coefficients(torch.cat([scores, torch.zeros(1, 2)]), 0.7)[:2], coefficients(scores, 0.7))
    assert coefficients(torch.tensor([[6.0, 10.0], [0.0, 0.0]]), 0.7).tolist() == [1.0, 1.0]
    of_three = coefficients(torch.tensor([[6.0, 10.0], [9.0, 10.0], [4.0, 5.0]]), 0.7)
    torch.testing.assert_close(of_three, torch.tensor([1.0, 1 - np.tanh(0.7 * 0.9 / 0.7), 1 - np.tanh(0.7 * 0.8 / 0.75)], dtype=torch.float32))


@pytest.mark.parametrize(
    ("task", "target"),
    [(Binary(), None), (Multiclass(["x", "y", "z"]), torch.arange(8) % 3), (Multilabel(["x", "y"]), (torch.arange(16) % 2).reshape(8, 2).float())],
)
def test_the_one_ahead_learns_less_and_the_others_as_before(task, target):
    step = step_of(task, target)
    joint_loss(step).backward()
    plain = {m: gradient_of(step.model, m).clone() for m in MODALITIES}
    step = step_of(task, target)
    balance = with_heads(GradientModulation, task.outputs, kind=task.kind, noise=0.0)
    balance.loss(step, joint_loss(step)).backward()
    k = coefficients(balance.scores, balance.alpha)
    balance.before_step(step.model, 1, 0)
    assert 0 < (k < 1).sum() < 3, "some are ahead of the others' mean, not all"
    for m, own in zip(MODALITIES, k, strict=True):
        torch.testing.assert_close(gradient_of(step.model, m), own * plain[m])
    assert all(p.grad is not None for p in balance.parameters())


def test_noise_has_the_gradients_own_spread_and_follows_from_the_seed():
    torch.manual_seed(0)
    gradient = 3 * torch.randn(200_000)
    found = []
    for _ in range(2):
        own = gradient.clone()
        modulate(own, torch.tensor(0.5), 1.0, torch.Generator().manual_seed(3))
        found.append(own - 0.5 * gradient)
    torch.testing.assert_close(found[0], found[1])
    assert abs(float(found[0].std()) - 3) < 0.03 and abs(float(found[0].mean())) < 0.03


def test_a_fixed_weight_of_each_loss():
    step = step_of(lacking=("c",))
    balance = with_heads(AuxiliaryLosses, weights={"a": 0.5, "b": 2.0})
    joint = joint_loss(step)
    own = {m: step.task.loss(balance.heads[m](step.features[m].pooled), step.batch.target) for m in "ab"}
    total = balance.loss(step, joint)
    torch.testing.assert_close(total, joint + 0.5 * own["a"] + 2.0 * own["b"])
    total.backward()
    assert all(p.grad is not None for p in [*balance.parameters(), *step.model.encoders.parameters()]), "as distributed training wants it"
    with pytest.raises(InputError, match="balance.weights.a=-1: must be 0 or more"):
        with_heads(AuxiliaryLosses, weights={"a": -1})


@pytest.mark.parametrize("seed", range(20))
def test_the_integrated_direction_is_against_neither_loss(seed):
    draw = torch.Generator().manual_seed(seed)
    j, u = torch.randn(30, generator=draw), torch.randn(30, generator=draw) * 4.0 ** torch.randn((), generator=draw)
    found = integrate(j, u)
    assert found @ j >= 0 and found @ u >= 0
    torch.testing.assert_close(found.norm(), (j + u).norm())
    if j @ u >= 0:
        torch.testing.assert_close(found, j + u)
    else:  # the nearest to zero of what lies between, whose products with both ends are the same
        torch.testing.assert_close(found @ j, found @ u, rtol=1e-3, atol=1e-4)
    assert integrate(j, -3 * j).abs().max() == 0 and integrate(0 * j, 0 * j).abs().max() == 0


@pytest.mark.parametrize("batches", [1, 2])
def test_encoders_take_the_integrated_gradient_and_the_rest_the_sum(batches):
    step = step_of()
    balance = with_heads(ParetoIntegration, rescale=1.25)
    for p in step.model.fusion.parameters():
        p.data.neg_()  # so that it is in conflict with what the heads want
    joint = step.task.loss(step.model(step.batch).logits, step.batch.target)
    own = balance.own_losses(step, balance.own_logits(step.model.encode(step.batch)))
    expected = {}
    for m in MODALITIES:
        parameters = encoder_parameters(step.model, m)
        parts = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)]) for loss in (joint, own[m])]
        expected[m] = 1.25 * integrate(*parts)
    fusion = torch.autograd.grad(joint, [*step.model.fusion.parameters()])
    for _ in range(batches):  # the same one twice is that one's mean
        features = step.model.encode(step.batch)
        now = step._replace(features=features, output=step.model.fusion(features, step.batch.present))
        (balance.loss(now, joint_loss(now)) / batches).backward()
    balance.before_step(step.model, batches, 0)
    for m in MODALITIES:
        torch.testing.assert_close(gradient_of(step.model, m), expected[m])
    for p, g in zip(step.model.fusion.parameters(), fusion, strict=True):
        torch.testing.assert_close(p.grad, g)


def test_blending_weights_are_the_papers_ratio():
    """Validation falls by 0.2 while the gap grows by 0.1; by 0.1 with 0.1; by 0.4 with 0.4."""
    found = blending_weights([1.0, 1.0, 1.0], [1.1, 1.1, 1.1], [0.7, 0.8, 0.2], [0.9, 1.0, 0.7])
    expected = np.array([0.2 / 0.1**2, 0.1 / 0.1**2, 0.4 / 0.4**2])
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-6)
    assert blending_weights([1.0, 1.0], [1.0, 1.0], [0.9, 0.8], [1.2, 0.7])[0] == 0, "what generalises worse than before weighs nothing"
    assert blending_weights([1.0], [1.0], [0.9], [1.2]) == []
    np.testing.assert_allclose(at_least(0.1, [0.75, 0.25, 0.0]), [0.625, 0.275, 0.1])


def test_losses_are_blended_by_weights_that_change_every_few_epochs():
    step = step_of(lacking=("c",))
    balance = with_heads(GradientBlending, epochs=1)
    joint = joint_loss(step)
    own = balance.own_losses(step, balance.own_logits(step.features))
    torch.testing.assert_close(balance.loss(step, joint), (joint + own["a"] + own["b"]) / 4)
    balance.validate(step)
    torch.testing.assert_close(balance.sums["train"], balance.sums["val"])
    assert balance.sums["val"][:, 1].tolist() == [8, 8, 8, 0]
    balance.end_epoch()
    balance.sums = {"train": torch.tensor([[0.5, 1], [0.3, 1], [0.2, 1], [0, 0]]), "val": torch.tensor([[0.6, 1], [0.5, 1], [0.4, 1], [0, 0]])}
    before, means = balance.before, [[0.5, 0.3, 0.2, 0], [0.6, 0.5, 0.4, 0]]
    expected = at_least(0.05, blending_weights(*before, *means))
    np.testing.assert_allclose(list(balance.end_epoch().values()), expected, rtol=1e-4)
    twin = with_heads(GradientBlending, epochs=1)
    twin.take_up(balance.progress())
    assert twin.progress() == balance.progress()


def test_only_tasks_of_true_classes_have_their_probability():
    with pytest.raises(InputError, match="balance=ogm_ge: is for tasks of kind binary, multiclass, multilabel, and this one is regression"):
        with_heads(GradientModulation, kind="regression")
    with pytest.raises(InputError, match="nothing to balance; use balance=none"):
        Study(Numbers(), model_plan(), training_plan(balance=GradientModulation), HoldOut(), "", encode_once=True)
    with pytest.raises(InputError, match="fused_loss=0 encoders learn apart"):
        training_plan(balance=GradientModulation, fused_loss=0.0, per_modality_loss=1.0)


class Uneven(Numbers):
    """The left modality says much of the target, the right one less."""

    def __init__(self):
        super().__init__(400)
        rng = np.random.default_rng(1)
        shift = self.table["target"].to_numpy() - 0.5
        self.values = rng.normal(0, 1, (400, 2, 3))
        self.values[:, 0] += 2.0 * shift[:, None]
        self.values[:, 1] = 0.2 * (self.values[:, 1] + 0.8 * shift[:, None])
        self.missing[:] = 5


METHODS = {
    "none": None,
    "ogm_ge": GradientModulation,
    "mmpareto": ParetoIntegration,
    "gradient_blending": partial(GradientBlending, epochs=2),
    "auxiliary": AuxiliaryLosses,
}


def trained(folder, name, **trainer):
    plan = training_plan(modality_dropout=ModalityDropout(0.0), balance=METHODS[name], checkpoint="last", trainer={"max_epochs": 8} | trainer)
    return Study(Uneven(), model_plan(), plan, HoldOut(), folder)


@pytest.mark.parametrize("name", METHODS)
def test_each_trains_is_loaded_without_its_heads_and_goes_on_where_it_stopped(tmp_path, monkeypatch, name):
    study = trained(tmp_path / "whole", name)
    frame = study.run()
    cell = next(study.cells(study.folds()))
    again = study.predict(cell, study.load(tmp_path / "whole", cell))
    pd.testing.assert_frame_equal(again.reset_index(drop=True), frame)
    last = torch.load(tmp_path / "whole" / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    heads = [key for key in last["state_dict"] if key.startswith("balance.")]
    assert len(heads) == (0 if name == "none" else 4)
    begin = MultimodalModule.on_train_epoch_start

    def stop(module):
        begin(module)
        if module.current_epoch == 5:
            raise KeyError("stop")

    with monkeypatch.context() as patch:
        patch.setattr(MultimodalModule, "on_train_epoch_start", stop)
        with pytest.raises(KeyError):
            trained(tmp_path / "cut", name).run()
    resumed = trained(tmp_path / "cut", name)
    resumed.resume = True
    assert frame.equals(resumed.run())


def test_one_modality_needs_no_balance(tmp_path):
    study = trained(tmp_path, "ogm_ge")
    del study.model.encoders["right"]
    study.run()
    last = torch.load(tmp_path / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    assert not [key for key in last["state_dict"] if key.startswith("balance.")]


class OneIsEasy(Numbers):
    """The left modality is linear in the target and nearly enough, the right one says it by the product of two signs."""

    def __init__(self):
        super().__init__(800)
        rng = np.random.default_rng(1)
        side = 2 * self.table["target"].to_numpy() - 1
        self.values = rng.normal(0, 1, (800, 2, 3))
        self.values[:, 0] += 1.5 * side[:, None]
        sign = rng.choice([-1, 1], 800)
        self.values[:, 1] *= 0.7
        self.values[:, 1, 0] += sign
        self.values[:, 1, 1] += sign * side
        self.missing[:] = 5


class Layers(nn.Module):
    width = 16

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())

    def layers(self):
        return [self.body]

    def forward(self, items):
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


@pytest.mark.slow
def test_the_slow_modality_learns_more_where_it_has_a_loss_of_its_own(tmp_path):
    """AUROC of the right modality offered alone, over four seeds: what docs/strategies.md states, printed with pytest -s."""
    alone = {}
    for name, method in METHODS.items():
        plan = training_plan(
            lr=0.02,
            optimizer=partial(torch.optim.SGD, momentum=0.9),
            balance=GradientBlending if name == "gradient_blending" else method,
            modality_dropout=ModalityDropout(0.0),
            checkpoint="last",
            trainer={"max_epochs": 20},
        )
        model = ModelPlan({m: EncoderPlan(lambda transform: Layers()) for m in Numbers.modalities}, Concatenation, Binary)
        frame = Study(OneIsEasy(), model, plan, HoldOut(), tmp_path / name, seeds=(0, 1, 2, 3)).run()
        own = frame[(frame["split"] == "test") & (frame["modalities"] == "right")]
        alone[name] = [area_under_roc(one["target"].to_numpy(), one["prob"].to_numpy()) for _, one in own.groupby("seed")]
        print(f"{name:18} right alone {np.mean(alone[name]):.3f} ({min(alone[name]):.3f} to {max(alone[name]):.3f})")
    for name in ("auxiliary", "mmpareto"):
        assert min(alone[name]) > max(alone["none"])
