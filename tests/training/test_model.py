"""Facts about the model: absent items reach no layer, bags join under one mask."""

import numpy as np
import torch
from torch import nn

from mmdx.data.collate import Example, collate
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.training.model import MultimodalModel
from mmdx.types import Features


class Normed(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(2, 4), nn.BatchNorm1d(4)
        self.calls = []

    def forward(self, items):
        self.calls.append(len(items))
        return Features(self.norm(self.layer(items))[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def model():
    torch.manual_seed(0)
    return MultimodalModel({"b": Normed(), "a": Normed()}, GatedMultimodalUnit({"a": 4, "b": 4}, lambda w: nn.Linear(w, 1), hidden=4))


def batch(*presence):
    torch.manual_seed(1)
    return collate([
        Example(i, {"a": [torch.randn(2)] * a, "b": [torch.randn(2)] * b}, np.float32(0)) for i, (a, b) in enumerate(presence)
    ])


def test_only_items_that_are_there_are_encoded():
    net = model()
    net(batch((1, 2), (0, 1), (3, 0)))
    assert net.encoders["a"].calls == [4] and net.encoders["b"].calls == [3]


def test_content_of_absent_slots_changes_no_bit_in_training_or_evaluation():
    for training in (True, False):
        results = []
        for value in (0.0, float("nan"), 1e30):
            net = model().train(training)
            data = batch((1, 2), (0, 1), (2, 0), (1, 1))
            for m, inputs in data.inputs.items():
                inputs[~data.items[m]] = value
            net(data).logits.sum().backward()
            state = [*net.state_dict().values(), *(p.grad for p in net.parameters())]
            results.append([net(data).logits, *state])
        for other in results[1:]:
            assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_a_batch_without_a_modality_still_has_a_gradient_for_every_weight():
    net = model()
    net(batch((1, 0), (2, 0))).logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad.eq(0).all() for p in net.encoders["b"].parameters())
    assert net.encoders["b"].calls == []


def test_offering_a_subset_is_the_same_as_a_batch_that_has_only_it():
    net = model().eval()
    data = batch((1, 1), (0, 1), (2, 1))
    logits, rows = net.offered(net.encode(data), data.present, ("a",))
    data.present["b"][:] = False
    expected = net(data).logits[rows]
    assert rows.tolist() == [0, 2]
    torch.testing.assert_close(logits, expected)
