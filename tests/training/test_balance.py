"""Facts about balancing modalities."""

from dataclasses import replace
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
from mmdx.training.balance.inforeg import InformationRegulation, gaps, growth
from mmdx.training.balance.mmpareto import ParetoIntegration, integrate
from mmdx.training.balance.ogm_ge import GradientModulation, coefficients, modulate, true_class
from mmdx.training.balance.sustained_boosting import SustainedBoosting, behind, boosted, residual_loss
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


def test_the_window_is_open_while_the_trace_grows():
    assert growth([1.0, 2.0], 1) == growth([9.0, 1.0, 2.0], 1) == 0.5 and growth([2.0, 1.0], 1) == -1.0
    assert growth([], 1) == growth([3.0], 1) == growth([0.0, 0.0], 1) == -np.inf, "two epochs are needed, and an encoder that learns"
    assert growth([2.0] * 4, 10) == 0.25 and growth([2.0] * 10, 10) == 0.1 and growth([2.0] * 11, 10) == 0.0


def test_the_gap_is_the_mean_distance_to_those_below():
    scores = torch.tensor([[-10.0, 10.0], [-5.0, 10.0], [-2.0, 10.0], [0.0, 0.0]])
    torch.testing.assert_close(gaps(scores), torch.tensor([0.0, 0.5, (0.8 + 0.3) / 2, 0.0]))
    assert gaps(scores[[0, 3]]).tolist() == gaps(scores[[0, 0]]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("batches", [1, 2])
def test_who_is_ahead_in_its_window_is_drawn_to_where_the_epoch_began(batches):
    step = step_of()
    joint_loss(step).backward()
    plain = {m: gradient_of(step.model, m).clone() for m in MODALITIES}
    step = step_of()
    balance = with_heads(InformationRegulation, average=1)
    own = torch.stack([*balance.own_losses(step, balance.own_logits(step.features)).values()]).detach()
    gap = gaps(torch.stack([-own, torch.ones(3)], dim=1))
    ahead = [m for m, here in zip(MODALITIES, gap > 0, strict=True) if here]
    balance.traces = {m: [1.0, 0.5] if m == ahead[0] else [1.0, 2.0] for m in MODALITIES}  # the first one's window is over
    for _ in range(batches):
        features = step.model.encode(step.batch)
        now = step._replace(features=features, output=step.model.fusion(features, step.batch.present))
        (balance.loss(now, joint_loss(now)) / batches).backward()
    for p in step.model.encoders.parameters():
        p.data.add_(0.1)
    balance.before_step(step.model, batches, 0)
    assert len(ahead) == 2 and all(p.grad is not None for p in balance.parameters())
    for m, strength in zip(MODALITIES, torch.exp(0.9 * torch.tanh(gap)), strict=True):
        torch.testing.assert_close(gradient_of(step.model, m), plain[m] + (0.1 * strength if m == ahead[1] else 0.0))
    logged = balance.end_epoch()
    np.testing.assert_allclose([logged[f"fisher_{m}"] for m in MODALITIES], [float(plain[m] @ plain[m]) for m in MODALITIES], rtol=1e-4)
    assert [logged[f"regulated_{m}"] for m in MODALITIES] == [float(m == ahead[1]) for m in MODALITIES]


def test_the_trace_is_the_mean_over_steps_whose_gradients_are_finite():
    step = step_of(lacking=("c",))
    balance = with_heads(InformationRegulation)
    for factor in (1.0, 2.0, float("inf")):
        features = step.model.encode(step.batch)
        now = step._replace(features=features, output=step.model.fusion(features, step.batch.present))
        step.model.zero_grad()
        balance.loss(now, joint_loss(now)).backward()
        for p in step.model.encoders.parameters():
            p.grad.mul_(factor)
        if factor == 1.0:
            one = float(gradient_of(step.model, "a").square().sum())
        balance.before_step(step.model, 1, 0)
    assert balance.end_epoch()["fisher_a"] == pytest.approx((1 + 4) / 2 * one, rel=1e-4)
    assert balance.end_epoch() == {}, "there were no steps"
    twin = with_heads(InformationRegulation)
    twin.take_up(balance.progress())
    assert twin.traces == balance.traces and len(twin.traces["a"]) == 1


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_encoders_learn_from_the_heads_of_inforeg_by_a_weight(weight):
    step = step_of()
    balance = with_heads(InformationRegulation, own_loss=weight)
    own = torch.stack([*balance.own_losses(step, balance.own_logits(step.features)).values()]).sum()
    parameters = [*step.model.encoders.parameters(), *balance.parameters()]
    of_joint = torch.autograd.grad(joint_loss(step), parameters, retain_graph=True, allow_unused=True)
    of_own = torch.autograd.grad(own, parameters, retain_graph=True)
    balance.loss(step, joint_loss(step)).backward()
    for p, joint, alone in zip(parameters, of_joint, of_own, strict=True):
        torch.testing.assert_close(p.grad, alone if joint is None else joint + weight * alone)


def test_residual_labels_leave_out_what_is_predicted_already():
    """Of classes, of a binary outcome with labels [1 - y, y], and of labels of which some are not known."""
    draw = torch.Generator().manual_seed(0)
    logits, before = torch.randn(4, 3, generator=draw), torch.randn(4, 3, generator=draw)
    classes = torch.tensor([2, 0, 1, 1])
    truth = nn.functional.one_hot(classes, 3)
    residual = truth - 0.4 * truth * before.softmax(1)
    torch.testing.assert_close(residual_loss(logits, before, classes, 0.4), -(residual * logits.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(residual_loss(logits, before, classes, 0.0), nn.functional.cross_entropy(logits, classes))
    zero = torch.zeros(4)
    one, y = logits[:, 0], torch.tensor([1.0, 0.0, 1.0, 0.0])
    as_classes = [torch.stack([zero, own], dim=1) for own in (one, before[:, 0])]
    torch.testing.assert_close(residual_loss(logits[:, :1], before[:, :1], y, 0.4), residual_loss(*as_classes, y.long(), 0.4))
    labels = torch.full((4, 3), float("nan"))
    labels[:, 1] = y
    torch.testing.assert_close(residual_loss(logits, before, labels, 0.4), residual_loss(logits[:, 1:2], before[:, 1:2], y, 0.4))


def test_the_boosted_loss_is_of_the_last_classifier_of_all_and_of_those_before():
    task, target = Multiclass(["x", "y", "z"]), torch.tensor([2, 0, 1, 1])
    first, second, third = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(boosted(task, [first], target, 0.5), task.loss(first, target))
    expected = residual_loss(third, first + second, target, 0.5) + task.loss(first + second + third, target) + task.loss(first + second, target)
    torch.testing.assert_close(boosted(task, [first, second, third], target, 0.5), expected)


def test_behind_is_who_has_a_lower_score_than_the_others_by_more_than_tau():
    scores = torch.tensor([[6.0, 10.0], [9.0, 10.0], [0.0, 0.0]])
    assert behind(scores, 1.0, 0.01).tolist() == [True, False, False], "no rows, no classifier"
    assert not behind(scores, 1.0, 0.31).any() and not behind(scores, 1.5, 0.01).any(), "0.9 is not above 0.6 by more"
    assert not behind(scores[[0, 2]], 1.0, 0.0).any(), "there is no other"
    assert behind(torch.tensor([[6.0, 10.0], [9.0, 10.0], [7.0, 10.0]]), 1.0, 0.01).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("task", "target"),
    [(Binary(), None), (Multiclass(["x", "y", "z"]), torch.arange(8) % 3), (Multilabel(["x", "y"]), (torch.arange(16) % 2).reshape(8, 2).float())],
)
def test_classifiers_learn_once_they_are_assigned(task, target):
    step = step_of(task, target, lacking=("c",))
    balance = with_heads(SustainedBoosting, task.outputs, kind=task.kind, hidden=6, classifiers=3, epochs=2)
    balance.scores = torch.tensor([[6.0, 10.0], [9.0, 10.0], [0.0, 0.0]])
    assert balance.end_epoch()["classifiers_a"] == 1, "it is not time yet"
    balance.scores = torch.tensor([[6.0, 10.0], [9.0, 10.0], [0.0, 0.0]])
    assert balance.end_epoch()["classifiers_a"] == 2 and balance.assigned == {"a": 2, "b": 1, "c": 1}
    joint = joint_loss(step)
    logits = balance.each(step.features)
    expected = joint + sum(boosted(task, logits[m], step.batch.target, 0.5) for m in "ab")
    loss = balance.loss(step, joint)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(balance.scores[0], true_class(sum(logits["a"]), step.batch.target))
    loss.backward()
    assert all(p.grad is not None for p in [*balance.parameters(), *step.model.encoders.parameters()]), "as distributed training wants it"
    balance.before_step(step.model, 1, 0)
    learning = {m: [layer.weight.grad is not None for layer in balance.heads[m]] for m in MODALITIES}
    assert learning == {"a": [True, True, False], "b": [True, False, False], "c": [True, False, False]}
    twin = with_heads(SustainedBoosting)
    twin.take_up(balance.progress())
    assert twin.progress() == {"assigned": {"a": 2, "b": 1, "c": 1}, "waited": 0}


def test_no_modality_gets_more_classifiers_than_there_are():
    balance = with_heads(SustainedBoosting, classifiers=2)
    for _ in range(3):
        balance.scores = torch.tensor([[6.0, 10.0], [9.0, 10.0], [9.0, 10.0]])
        balance.end_epoch()
    assert balance.assigned == {"a": 2, "b": 1, "c": 1}
    with pytest.raises(InputError, match="balance.sigma=0.5: must be 1 or more"):
        with_heads(SustainedBoosting, sigma=0.5)


def test_only_tasks_of_true_classes_have_their_probability():
    with pytest.raises(InputError, match="balance=ogm_ge: is for tasks of kind binary, multiclass, multilabel, and this one is regression"):
        with_heads(GradientModulation, kind="regression")
    with pytest.raises(InputError, match="balance=sustained_boosting: is for tasks of kind binary, multiclass, multilabel, and this one is survival"):
        with_heads(SustainedBoosting, kind="survival")
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
    "inforeg": InformationRegulation,
    "sustained_boosting": partial(SustainedBoosting, hidden=32),
}


def trained(folder, name, **trainer):
    plan = training_plan(modality_dropout=ModalityDropout(0.0), balance=METHODS[name], checkpoint="last", trainer={"max_epochs": 8} | trainer)
    return Study(Uneven(), model_plan(), plan, HoldOut(), folder)


def test_classifiers_assigned_later_learn_with_momentum_too(tmp_path):
    study = trained(tmp_path, "sustained_boosting", max_epochs=3)
    study.training = replace(study.training, optimizer=partial(torch.optim.SGD, momentum=0.9), lr=0.1)
    study.run()
    last = torch.load(tmp_path / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["balance"]["assigned"] == {"left": 1, "right": 4}
    bias = [last["state_dict"][f"balance.heads.right.{i}.bias"].abs().max() > 0 for i in range(10)]
    assert bias == [True] * 3 + [False] * 7, "they begin at zero; the fourth was assigned after the last epoch"


@pytest.mark.parametrize("name", METHODS)
def test_each_trains_is_loaded_without_its_heads_and_goes_on_where_it_stopped(tmp_path, monkeypatch, name):
    study = trained(tmp_path / "whole", name)
    frame = study.run()
    cell = next(study.cells(study.folds()))
    again = study.predict(cell, study.load(tmp_path / "whole", cell))
    pd.testing.assert_frame_equal(again.reset_index(drop=True), frame)
    last = torch.load(tmp_path / "whole" / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    heads = {key.removeprefix("balance.") for key in last["state_dict"] if key.startswith("balance.")}
    assert heads == (set(METHODS[name]({"left": 8, "right": 8}, partial(nn.Linear, out_features=1)).state_dict()) if METHODS[name] else set())
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
    further = {
        "inforeg, own_loss=1": partial(InformationRegulation, own_loss=1.0),
        "sustained_boosting, classifiers=1": partial(SustainedBoosting, classifiers=1),
    }
    for name, method in (METHODS | further).items():
        plan = training_plan(
            lr=0.02,
            optimizer=partial(torch.optim.SGD, momentum=0.9),
            balance={"gradient_blending": GradientBlending, "sustained_boosting": SustainedBoosting}.get(name, method),
            modality_dropout=ModalityDropout(0.0),
            checkpoint="last",
            trainer={"max_epochs": 20},
        )
        model = ModelPlan({m: EncoderPlan(lambda transform: Layers()) for m in Numbers.modalities}, Concatenation, Binary)
        frame = Study(OneIsEasy(), model, plan, HoldOut(), tmp_path / name, seeds=(0, 1, 2, 3)).run()
        own = frame[(frame["split"] == "test") & (frame["modalities"] == "right")]
        alone[name] = [area_under_roc(one["target"].to_numpy(), one["prob"].to_numpy()) for _, one in own.groupby("seed")]
        print(f"{name:33} right alone {np.mean(alone[name]):.3f} ({min(alone[name]):.3f} to {max(alone[name]):.3f})")
    for name in ("auxiliary", "mmpareto", "inforeg, own_loss=1"):
        assert min(alone[name]) > max(alone["none"])
