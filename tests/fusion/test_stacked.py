"""Every fusion can be trained as one of a stack: a step, clipped, and weights that fit the head again."""

from functools import partial
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from mmdx.tasks.binary import Binary
from mmdx.training.stack import OneHead, Stack, loss_of
from mmdx.types import Features

PATHS = sorted((Path(__file__).parents[2] / "conf" / "fusion").glob("*.yaml"))
WIDTHS = {"image": 6, "text": 4}
RANDOM = ("embracenet", "flex_moe", "mopoe", "poe", "smil")
"""Fusions that draw in training: stacked other numbers than alone."""


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_stack_takes_the_step_that_each_head_takes_alone(path):
    torch.manual_seed(0)
    make = hydra.utils.instantiate(OmegaConf.load(path), _partial_=True)
    heads = [make(widths=WIDTHS, head=partial(nn.Linear, out_features=1)) for _ in range(2)]
    for module in (part for head in heads for part in head.modules()):
        if isinstance(module, nn.Dropout | nn.MultiheadAttention):
            setattr(module, "p" if isinstance(module, nn.Dropout) else "dropout", 0.0)
    groups = [[{"params": [name for name, _ in head.named_parameters()], "lr": 0.1}] for head in heads]
    features = {m: Features(torch.randn(2, 8, 3, width), torch.rand(2, 8, 3) > 0.2) for m, width in WIDTHS.items()}
    present = {"image": torch.rand(2, 8) > 0.3, "text": torch.ones(2, 8, dtype=torch.bool)}
    target = (torch.rand(2, 8) > 0.5).float()
    parts = (torch.optim.SGD, lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0), loss_of(Binary(), 1.0, 0.0), 1.0)
    stack = Stack(heads, groups, *parts)
    stack.begin([0, 1], 0)
    stack.step(features, present, target)
    for e, head in enumerate(heads):
        after = stack.state(e)
        alone = OneHead(head, groups[e], *parts)
        alone.begin([e], 0)
        alone.step({m: Features(f.tokens[e : e + 1], f.mask[e : e + 1]) for m, f in features.items()},
                   {m: here[e : e + 1] for m, here in present.items()}, target[e : e + 1])  # fmt: skip
        expected = {name: tensor.clone() for name, tensor in head.state_dict().items()}
        head.load_state_dict(after)
        if path.stem not in RANDOM:
            for name, tensor in expected.items():
                torch.testing.assert_close(after[name], tensor, atol=1e-5, rtol=1e-4, msg=lambda told, name=name: f"{name}: {told}")
