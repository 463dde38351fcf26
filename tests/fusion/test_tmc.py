"""Evidential fusion is Dempster's rule on the modalities' opinions."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdx.fusion.tmc import TrustedMultiview
from mmdx.testing import check_fusion
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def opinion(alpha):
    """Belief [C] and uncertainty of a Dirichlet."""
    return (alpha - 1) / alpha.sum(), len(alpha) / alpha.sum()


def dempster(first, second):
    """Definition 4, with the conflict summed pair by pair."""
    (b1, u1), (b2, u2) = first, second
    conflict = sum(b1[i] * b2[j] for i, j in itertools.permutations(range(len(b1)), 2))
    return (b1 * b2 + b1 * u2 + b2 * u1) / (1 - conflict), u1 * u2 / (1 - conflict)


def expected_probabilities(alphas):
    combined = opinion(alphas[0])
    for alpha in alphas[1:]:
        combined = dempster(combined, opinion(alpha))
    belief, uncertainty = combined
    total = len(belief) / uncertainty
    alpha = belief * total + 1
    return alpha / total


@pytest.mark.parametrize("names", [("image",), ("audio", "text"), ("text", "audio", "image")])
def test_it_combines_opinions_by_dempsters_rule_one_after_the_other(names):
    fusion = TrustedMultiview(WIDTHS, lambda width: nn.Linear(width, 3)).double()
    x = {m: Features(f.tokens.double() * 3, f.mask) for m, f in features().items()}
    prob = fusion(x, present(*names)).logits.exp()
    alphas = [F.softplus(fusion.heads[m](x[m].pooled)) + 1 for m in names]
    expected = torch.stack([expected_probabilities([alpha[row] for alpha in alphas]) for row in range(4)])
    torch.testing.assert_close(prob, expected)


def test_one_output_is_a_question_with_two_classes():
    fusion = TrustedMultiview(WIDTHS, lambda width: nn.Linear(width, 1))
    x = features()
    alphas = []
    for m in ("image", "text"):
        yes, no = fusion.heads[m](x[m].pooled), fusion.against[m](x[m].pooled)
        alphas.append(F.softplus(torch.cat([yes, no], dim=1)) + 1)
    expected = torch.stack([expected_probabilities([alpha[row] for alpha in alphas]) for row in range(4)])
    torch.testing.assert_close(fusion(x, present("image", "text")).logits.sigmoid()[:, 0], expected[:, 0])


def test_a_modality_without_evidence_changes_nothing_and_is_trusted_least():
    fusion = TrustedMultiview(WIDTHS, lambda width: nn.Linear(width, 3))
    nn.init.zeros_(fusion.heads["text"].weight)
    nn.init.constant_(fusion.heads["text"].bias, -50.0)
    x = features()
    both, alone = fusion(x, present("image", "text")), fusion(x, present("image"))
    torch.testing.assert_close(both.logits, alone.logits)
    torch.testing.assert_close(both.per_modality["text"], torch.full((4, 3), 1 / 3).log())
    assert both.weights["text"].lt(1e-6).all()


def test_much_evidence_does_not_overflow():
    fusion = TrustedMultiview(WIDTHS, lambda width: nn.Linear(width, 2))
    x = {m: Features(f.tokens * 1e12, f.mask) for m, f in features().items()}
    assert fusion(x, present(*WIDTHS)).logits.isfinite().all()


@pytest.mark.slow
def test_independent_questions_keep_the_contract_and_do_not_share_evidence():
    check_fusion(lambda widths, head: TrustedMultiview(widths, head, independent=True))
    fusion = TrustedMultiview(WIDTHS, lambda width: nn.Linear(width, 3), independent=True)
    before = fusion(features(), present(*WIDTHS)).logits
    nn.init.zeros_(fusion.heads["image"].weight[1:2])
    after = fusion(features(), present(*WIDTHS)).logits
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]]) and not torch.equal(before[:, 1], after[:, 1])
