"""What tests of fusions over tokens share: features, presence, and whether a fusion learns an exclusive or."""

import torch
from torch import nn

from mmdx.types import Features


def features(batch=4, tokens=3, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, tokens, d, generator=draw), torch.ones(batch, tokens, dtype=torch.bool)) for m, d in widths.items()}


def present(batch=4, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def accuracy_on_exclusive_or(build, lr, steps, signs=False, **settings):
    """Share of 64 samples that a fusion of two signs tells right after some steps on them; no sum of what each says can. With ``signs``
    the inputs are the signs themselves, the one that says nothing a tenth as large; else normal numbers.
    """
    torch.manual_seed(0)
    x = torch.randn(64, 2, 1, 2)
    x = x.sign() * torch.tensor([1.0, 0.1]) if signs else x
    target = (x[:, 0, 0, 0] * x[:, 1, 0, 0] > 0).float()
    fusion = build({"a": 2, "b": 2}, **settings).train()
    batch = {m: Features(x[:, i], torch.ones(64, 1, dtype=torch.bool)) for i, m in enumerate("ab")}
    optimiser = torch.optim.Adam(fusion.parameters(), lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        output = fusion(batch, present(64, a=True, b=True))
        logits = output.logits.diff(dim=1)[:, 0]
        (nn.functional.binary_cross_entropy_with_logits(logits, target) + sum(output.aux_losses.values())).backward()
        optimiser.step()
    return float(logits.gt(0).eq(target.bool()).float().mean())
