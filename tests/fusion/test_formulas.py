"""Each fusion head is the formula of its docstring."""

import torch
from torch import nn

from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.late import MeanOfLogits, SumOfLogits
from mmdx.fusion.sum import Sum
from mmdx.fusion.tokens import JointTransformer
from mmdx.types import Features


def linear(width):
    return nn.Linear(width, 2)


def features(batch, **widths):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def test_gate_of_two_modalities_is_a_sigmoid_of_the_difference():
    unit = GatedMultimodalUnit({"image": 5, "text": 3}, lambda width: nn.Identity(), hidden=4)
    x = features(6, image=5, text=3)
    joint = torch.cat([x["image"].pooled, x["text"].pooled], dim=-1)
    z = torch.sigmoid(unit.gate["image"](joint) - unit.gate["text"](joint))
    h = {m: unit.candidate[m](x[m].pooled).tanh() for m in x}
    torch.testing.assert_close(unit(x, present(6, image=True, text=True)).logits, z * h["image"] + (1 - z) * h["text"])


def test_gate_gives_all_weight_to_the_only_modality_present():
    unit = GatedMultimodalUnit({"image": 5, "text": 3}, linear, hidden=4)
    weights = unit(features(6, image=5, text=3), present(6, image=True, text=False)).weights
    assert weights["image"].eq(1).all() and weights["text"].eq(0).all()


def test_late_fusion_is_the_mean_over_the_modalities_present():
    fusion = MeanOfLogits({"image": 5, "text": 3}, linear)
    x = features(4, image=5, text=3)
    image, text = (fusion(x, present(4, image=i, text=not i)).logits for i in (True, False))
    torch.testing.assert_close(fusion(x, present(4, image=True, text=True)).logits, (image + text) / 2)


def test_sum_of_logits_is_a_linear_model_of_the_joined_features_with_zeros_where_absent():
    fusion = SumOfLogits({"image": 5, "text": 3}, linear)
    x = features(4, image=5, text=3)
    weight = torch.cat([fusion.heads["image"].weight / 5**0.5, fusion.heads["text"].weight / 3**0.5], dim=1)
    bias = fusion.heads["image"].bias + fusion.heads["text"].bias
    joined = torch.cat([x["image"].pooled, x["text"].pooled], dim=1)
    torch.testing.assert_close(fusion(x, present(4, image=True, text=True)).logits, joined @ weight.T + bias)
    alone = x["image"].pooled @ fusion.heads["image"].weight.T / 5**0.5 + fusion.heads["image"].bias
    torch.testing.assert_close(fusion(x, present(4, image=True, text=False)).logits, alone)


def test_sum_of_logits_adds_what_the_absence_of_a_modality_says_whatever_its_slot_holds():
    fusion = SumOfLogits({"image": 5, "text": 3}, linear, informative_absence=True)
    plain = SumOfLogits({"image": 5, "text": 3}, linear)
    plain.load_state_dict({k: v for k, v in fusion.state_dict().items() if not k.startswith("absence")})
    x, here = features(4, image=5, text=3), present(4, image=True, text=False)
    says = fusion.absence.weight[:, 1] + fusion.absence.bias
    torch.testing.assert_close(fusion(x, here).logits, plain(x, here).logits + says)


def test_sum_adds_nothing_for_an_absent_modality():
    both = Sum({"image": 5, "text": 3}, linear, hidden=4).eval()
    alone = Sum({"image": 5}, linear, hidden=4).eval()
    alone.load_state_dict({k: v for k, v in both.state_dict().items() if "text" not in k})
    x = features(4, image=5, text=3)
    torch.testing.assert_close(both(x, present(4, image=True, text=False)).logits, alone(x, present(4, image=True)).logits)


def test_concatenation_puts_the_learned_stand_in_where_a_modality_is_absent():
    fusion = Concatenation({"image": 5, "text": 3}, linear, hidden=4).eval()
    with torch.no_grad():
        fusion.absent["text"].copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = features(4, image=5, text=3)
    joined = torch.cat([fusion.norm["image"](x["image"].pooled), fusion.absent["text"].expand(4, 3)], dim=-1)
    torch.testing.assert_close(fusion(x, present(4, image=True, text=False)).logits, fusion.head(fusion.joint(joined)))


def test_joint_transformer_ignores_padding_and_the_order_of_a_modalitys_tokens():
    fusion = JointTransformer({"image": 5, "text": 3}, linear, hidden=8, heads=2).eval()
    x, here = features(4, image=5, text=3), present(4, image=True, text=True)
    base = fusion(x, here).logits
    order = torch.tensor([2, 0, 1])
    shuffled = x | {"image": Features(x["image"].tokens[:, order], x["image"].mask)}
    torch.testing.assert_close(fusion(shuffled, here).logits, base)
    padding = torch.full((4, 2, 5), 7.0)
    longer = Features(torch.cat([x["image"].tokens, padding], 1), torch.cat([x["image"].mask, torch.zeros(4, 2, dtype=torch.bool)], 1))
    torch.testing.assert_close(fusion(x | {"image": longer}, here).logits, base)
