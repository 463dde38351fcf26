"""Facts about the training step."""

import numpy as np
import torch
from torch import nn

from mmdx.data.collate import Example, collate
from mmdx.fusion.late import MeanOfLogits
from mmdx.tasks.binary import Binary
from mmdx.training.model import MultimodalModel
from mmdx.training.module import MultimodalModule
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
    torch.testing.assert_close(module._own_losses(module.model(batch), batch), expected)
