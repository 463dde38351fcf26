"""Facts about the training step."""

import numpy as np
import pytest
import torch
from torch import nn
from toy import Numbers, model_plan, training_plan

from mmdx.data.collate import Example, collate
from mmdx.data.loading import ModalityDropout
from mmdx.data.splits import HoldOut
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.late import MeanOfLogits
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.model import MultimodalModel
from mmdx.training.module import MultimodalModule
from mmdx.training.plan import TrainingPlan
from mmdx.types import Features


class Same(nn.Module):
    width = 2

    def forward(self, items):
        return Features(items[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def test_own_losses_are_of_each_modality_on_the_rows_that_have_it():
    torch.manual_seed(0)
    fusion = MeanOfLogits({"a": 2, "b": 2}, lambda width: nn.Linear(width, 1))
    module = MultimodalModule(MultimodalModel({"a": Same(), "b": Same()}, fusion), Binary(), [], None, None, 0, per_modality_loss=1.0)
    rows = [({"a": 1, "b": 1}, 0), ({"a": 1, "b": 0}, 1), ({"a": 0, "b": 1}, 1)]
    data = {m: torch.randn(3, 2) for m in "ab"}
    batch = collate([Example(i, {m: [data[m][i]] * has[m] for m in "ab"}, np.float32(y)) for i, (has, y) in enumerate(rows)])
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = bce(fusion.heads["a"](data["a"][:2])[:, 0], torch.tensor([0.0, 1.0])) + bce(
        fusion.heads["b"](data["b"][[0, 2]])[:, 0], torch.tensor([0.0, 1.0])
    )
    torch.testing.assert_close(module._own_losses(module.model(batch), batch, [1.0, 1.0]), expected)


def module_of(fusion, **losses):
    return MultimodalModule(MultimodalModel({m: Same() for m in fusion.modalities}, fusion), Binary(), [], None, None, 0, **losses)


def batch_of(*rows):
    return collate([Example(i, {m: [torch.randn(2)] * has for m, has in row.items()}, np.float32(i % 2)) for i, row in enumerate(rows)])


def gradients(module, batch):
    module.log = lambda *args, **kwargs: None
    module.training_step(batch, 0).backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.model.fusion.named_parameters()}


def test_trained_separately_each_modality_learns_as_if_it_were_alone():
    torch.manual_seed(0)
    both = MeanOfLogits({"a": 2, "b": 2}, lambda width: nn.Linear(width, 1))
    alone = MeanOfLogits({"a": 2}, lambda width: nn.Linear(width, 1))
    alone.heads["a"].load_state_dict(both.heads["a"].state_dict())
    batch = batch_of({"a": 1, "b": 1}, {"a": 1, "b": 0}, {"a": 1, "b": 1})
    torch.testing.assert_close(
        gradients(module_of(both, fused_loss=0.0, per_modality_loss=1.0), batch)["heads.a.weight"],
        gradients(module_of(alone), batch)["heads.a.weight"],
    )


def test_a_batch_without_a_modality_gives_its_head_a_gradient_of_zero():
    fusion = MeanOfLogits({"a": 2, "b": 2}, lambda width: nn.Linear(width, 1))
    found = gradients(module_of(fusion, fused_loss=0.0, per_modality_loss=1.0), batch_of({"a": 1, "b": 0}, {"a": 1, "b": 0}))
    assert found["heads.b.weight"].abs().sum() == 0 and found["heads.a.weight"].abs().sum() > 0


def test_a_fusion_without_logits_of_each_modality_cannot_take_their_loss():
    fusion = Concatenation({"a": 2, "b": 2}, lambda width: nn.Linear(width, 1))
    with pytest.raises(InputError, match="training.per_modality_loss=1: Concatenation gives no logits of each modality"):
        gradients(module_of(fusion, per_modality_loss=1.0), batch_of({"a": 1, "b": 1}))


def test_a_plan_needs_a_loss():
    with pytest.raises(InputError, match="nothing to learn from"):
        TrainingPlan(fused_loss=0.0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_fused_step_clips_gradients_and_is_the_plain_step(tmp_path, monkeypatch, precision):
    """Clipped so far that AdamW's epsilon shows it; in mixed precision too, where Lightning clips for no optimiser that unscales by itself."""
    kept = {}
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr("mmdx.training.module.fused_form", lambda optimizer: optimizer)
        plan = training_plan(modality_dropout=ModalityDropout(0.0), trainer={"precision": precision, "gradient_clip_val": 1e-7})
        Study(Numbers(), model_plan(), plan, HoldOut(), tmp_path / str(fused)).run()
        last = torch.load(tmp_path / str(fused) / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
        assert bool(last["optimizer_states"][0]["param_groups"][0]["fused"]) is fused
        kept[fused] = last["state_dict"]
    for name, weight in kept[True].items():
        torch.testing.assert_close(weight, kept[False][name], rtol=1e-4, atol=1e-6)


def test_trained_in_bfloat16_a_model_predicts_in_32_bits_near_the_one_trained_in_32(tmp_path):
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        training = training_plan(trainer={"precision": precision})
        study = Study(Numbers(), model_plan(), training, HoldOut(), tmp_path / precision)
        found[precision] = study.run()["prob"].to_numpy()
        last = torch.load(tmp_path / precision / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
        assert {weight.dtype for weight in last["state_dict"].values()} == {torch.float32}
    assert 0 < np.abs(found["bf16-mixed"] - found["32-true"]).max() < 0.02
    assert np.abs(torch.tensor(found["bf16-mixed"]).bfloat16().double().numpy() - found["bf16-mixed"]).max() > 0
