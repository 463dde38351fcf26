"""The rules that combine decisions are the formulas of their docstrings."""

import torch
from torch import nn

from mmdx.fusion.late import MeanOfLogits
from mmdx.fusion.late_weighted import WeightedMeanOfLogits
from mmdx.fusion.product import ProductOfPosteriors
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}


def three(width):
    return nn.Linear(width, 3)


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def test_equal_weights_are_the_mean():
    weighted, mean = WeightedMeanOfLogits(WIDTHS, three), MeanOfLogits(WIDTHS, three)
    mean.heads.load_state_dict(weighted.heads.state_dict())
    x = features()
    for names in (("image",), ("audio", "text"), tuple(WIDTHS)):
        torch.testing.assert_close(weighted(x, present(*names)).logits, mean(x, present(*names)).logits)


def test_weights_of_the_absent_go_to_the_present_in_proportion():
    fusion = WeightedMeanOfLogits(WIDTHS, three)
    for m, share in {"audio": 0.2, "image": 0.3, "text": 0.5}.items():
        nn.init.constant_(fusion.importance[m], torch.tensor(share).log().item())
    x = features()
    output = fusion(x, present("image", "text"))
    own = {m: fusion.heads[m](x[m].pooled) for m in WIDTHS}
    torch.testing.assert_close(output.logits, (0.3 * own["image"] + 0.5 * own["text"]) / 0.8)
    assert output.weights["audio"].eq(0).all() and output.per_modality["audio"].eq(0).all()
    torch.testing.assert_close(fusion(x, present(*WIDTHS)).weights["audio"], torch.full((4,), 0.2))


def test_product_of_posteriors_is_kittlers_rule_on_probabilities():
    fusion = ProductOfPosteriors(WIDTHS, three)
    nn.init.normal_(fusion.prior)
    x = features()
    prior = fusion.prior.softmax(dim=0)
    for names in (("image",), ("audio", "text"), tuple(WIDTHS)):
        joint = prior ** (1 - len(names)) * torch.stack([fusion.heads[m](x[m].pooled).softmax(dim=1) for m in names]).prod(dim=0)
        expected = joint / joint.sum(dim=1, keepdim=True)
        torch.testing.assert_close(fusion(x, present(*names)).logits.softmax(dim=1), expected)


def test_modalities_that_say_nothing_beyond_the_prior_leave_it_as_it_is():
    fusion = ProductOfPosteriors(WIDTHS, lambda width: nn.Linear(width, 1))
    for head in fusion.heads.values():
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, -2.0)
    nn.init.constant_(fusion.prior, -2.0)
    for names in (("image",), ("audio", "text"), tuple(WIDTHS)):
        torch.testing.assert_close(fusion(features(), present(*names)).logits, torch.full((4, 1), -2.0))


def test_product_is_exact_for_gaussian_features_independent_given_the_class():
    """With x_m ~ N(0, 1) in class 0 and N(shift, 1) in class 1, the posterior log-odds are log(pi / (1 - pi)) + sum_m (shift x_m - shift^2 / 2)."""
    prior, shift = torch.tensor(0.2).logit(), {"audio": 0.5, "text": 1.5}
    fusion = ProductOfPosteriors({"audio": 1, "text": 1}, lambda width: nn.Linear(width, 1))
    nn.init.constant_(fusion.prior, prior.item())
    for m, head in fusion.heads.items():
        nn.init.constant_(head.weight, shift[m])
        nn.init.constant_(head.bias, prior.item() - shift[m] ** 2 / 2)
    x = {m: Features(torch.randn(6, 1, 1), torch.ones(6, 1, dtype=torch.bool)) for m in shift}
    here = {m: torch.ones(6, dtype=torch.bool) for m in shift}
    expected = prior + sum(s * x[m].pooled - s**2 / 2 for m, s in shift.items())
    torch.testing.assert_close(fusion(x, here).logits, expected)
