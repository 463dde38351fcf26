"""Disentangled fusion: logit pooling, the divergence and the attention of each output are the paper's formulas."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, kl_divergence

from mmdx.errors import InputError
from mmdx.fusion.drfuse import DisentangledFusion, divergence, pool_logits
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}


def three(width):
    return nn.Linear(width, 3)


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def test_logit_pooling_of_two_is_the_papers_formula_and_of_one_is_that_one():
    a, b = torch.randn(2, 4, 6)
    expected = ((2 * (a + b).exp() + a.exp() + b.exp()) / (2 + a.exp() + b.exp())).log()
    both = torch.ones(4, 2, dtype=torch.bool)
    torch.testing.assert_close(pool_logits(torch.stack([a, b], dim=1), both), expected)
    first = torch.tensor([True, False]).expand(4, 2)
    torch.testing.assert_close(pool_logits(torch.stack([a, b], dim=1), first), a)


def test_divergence_is_that_of_jensen_and_shannon():
    logits = 3 * torch.randn(4, 3, 6)
    here = torch.tensor([[True, True, True], [True, False, True], [False, True, True], [False, True, False]])
    for row in range(4):
        each = Bernoulli(logits=logits[row, here[row]])
        middle = Bernoulli(probs=each.probs.mean(dim=0))
        expected = torch.stack([kl_divergence(Bernoulli(probs=p), middle) for p in each.probs]).mean()
        torch.testing.assert_close(divergence(logits, here, pool_logits(logits, here))[row], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("names", [("text",), ("audio", "text"), ("audio", "image", "text")])
def test_each_output_attends_to_the_distinct_parts_there_and_the_shared_one(names):
    fusion = DisentangledFusion(WIDTHS, three, hidden=6).eval()
    x = {m: f.pooled for m, f in features().items()}
    shared = {m: fusion.shared_space(fusion.shared[m](x[m])) for m in names}
    distinct = [fusion.distinct[m](x[m]) for m in names]
    prob = torch.stack([shared[m].sigmoid() for m in names]).mean(dim=0)
    parts = [*distinct, prob.logit()]
    query = sum(fusion.query(part) for part in parts) / len(parts)
    logits, attention = [], []
    for k in range(3):
        keys = [part @ fusion.keys.weight[6 * k : 6 * k + 6].T + fusion.keys.bias[6 * k : 6 * k + 6] for part in parts]
        weight = torch.stack([(query * key).sum(dim=1) / math.sqrt(6) for key in keys], dim=1).softmax(dim=1)
        attended = sum(weight[:, [i]] * fusion.value(part) for i, part in enumerate(parts))
        logits.append(attended @ fusion.head.weight[k] + fusion.head.bias[k])
        attention.append(weight)
    output = fusion(features(), present(*names))
    torch.testing.assert_close(output.logits, torch.stack(logits, dim=1))
    mean = torch.stack(attention).mean(dim=0)
    torch.testing.assert_close(output.weights[names[0]], mean[:, 0] + mean[:, -1] / len(names))
    torch.testing.assert_close(output.per_modality[names[-1]], fusion.head(fusion.value(distinct[-1])))
    likeness = [torch.cosine_similarity(shared[m], d).abs() for m, d in zip(names, distinct, strict=True)]
    torch.testing.assert_close(output.aux_losses["disentangling"], torch.cat(likeness).mean())


def test_alignment_counts_the_samples_with_two_modalities_or_more_and_is_zero_without_one():
    fusion = DisentangledFusion(WIDTHS, three, hidden=6).eval()
    mixed = present("image", "text")
    mixed["text"] = torch.tensor([True, False, False, True])
    x = features()
    paired = {m: Features(f.tokens[[0, 3]], f.mask[[0, 3]]) for m, f in x.items()}
    expected = fusion(paired, present("image", "text", batch=2)).aux_losses["alignment"]
    torch.testing.assert_close(fusion(x, mixed).aux_losses["alignment"], expected)
    assert fusion(x, present("image")).aux_losses["alignment"] == 0


@pytest.mark.parametrize("key", ["alignment_weight", "disentangling_weight"])
def test_a_negative_weight_is_refused(key):
    with pytest.raises(InputError, match=rf"fusion\.{key}=-1: must be 0"):
        DisentangledFusion(WIDTHS, three, **{key: -1})
