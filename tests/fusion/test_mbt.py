"""Facts of the Multimodal Bottleneck Transformer, and of the attention that fusions over tokens share."""

import pytest
import torch
from token_cases import accuracy_on_exclusive_or, features, present
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from mmdx.errors import InputError
from mmdx.fusion.attention import Attention, SelfAttentionBlock
from mmdx.fusion.mbt import BottleneckTransformer

WIDTHS = {"image": 5, "text": 3}


def build(widths=WIDTHS, **settings):
    torch.manual_seed(0)
    settings = {"hidden": 8, "heads": 2, "bottlenecks": 2, "dropout": 0.0} | settings
    return BottleneckTransformer(widths, lambda width: nn.Linear(width, 2), **settings).eval()


def test_attention_is_the_formula_of_the_paper():
    attention = Attention(4, context=3, heads=2)
    queries, context, real = torch.randn(2, 5, 4), torch.randn(2, 6, 3), torch.ones(2, 6, dtype=torch.bool)
    query, (key, value) = attention.query(queries), attention.key_value(context).chunk(2, dim=-1)
    parts = [(query[..., h] @ key[..., h].mT / 2**0.5).softmax(-1) @ value[..., h] for h in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(attention(queries, context, real), attention.out(torch.cat(parts, dim=-1)))


def test_a_masked_token_is_as_if_it_were_not_there():
    block = SelfAttentionBlock(4, heads=2)
    x = torch.randn(2, 5, 4)
    real = torch.tensor([True, True, True, False, False]).expand(2, -1)
    torch.testing.assert_close(block(x, real)[:, :3], block(x[:, :3], real[:, :3]))


def test_attention_to_nothing_is_zero_with_finite_gradients_also_in_a_stack():
    networks = [Attention(4, heads=2) for _ in range(3)]
    x, real = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool)
    assert networks[0](x, x, real).eq(0).all()
    parameters, _ = stack_module_state(networks)
    gradients = vmap(grad(lambda p: functional_call(networks[0], p, (x, x, real)).square().sum()))(parameters)
    assert all(g.eq(0).all() for g in gradients.values())


def test_two_layers_are_the_equations_of_the_paper():
    fusion = build()
    x = features(**WIDTHS)
    z, real = fusion.bottleneck.expand(4, -1, -1), torch.ones(4, 6, dtype=torch.bool)
    streams = {m: torch.cat([fusion.class_token[m].expand(4, 1, -1), fusion.project[m](x[m].tokens)], dim=1) for m in x}
    for layer in fusion.layers:
        out = {m: layer[m](torch.cat([streams[m], z], dim=1), real) for m in x}
        streams, z = {m: out[m][:, :4] for m in x}, (out["image"][:, 4:] + out["text"][:, 4:]) / 2
    logits = {m: fusion.head(fusion.norm(streams[m][:, 0])) for m in x}
    torch.testing.assert_close(fusion(x, present(image=True, text=True)).logits, (logits["image"] + logits["text"]) / 2)


def test_an_absent_modality_leaves_the_network_of_the_others():
    both, alone = build(), build({"image": 5})
    alone.load_state_dict({name: value for name, value in both.state_dict().items() if "text" not in name})
    x = features(**WIDTHS)
    torch.testing.assert_close(both(x, present(image=True, text=False)).logits, alone(x, present(image=True)).logits)


def test_modalities_exchange_by_the_bottleneck_alone():
    fusion = build(layers=3, fusion_layer=1)
    x = features(**WIDTHS)
    x["text"].tokens.requires_grad_()
    here = present(image=True, text=True)
    full = torch.autograd.grad(fusion(x, here).logits.sum(), x["text"].tokens)[0]
    votes = []
    fusion.head.register_forward_hook(lambda module, args, out: votes.append(out))
    fusion(x, here)
    across = torch.autograd.grad(votes[0].sum(), x["text"].tokens, retain_graph=True)[0]
    assert full.abs().sum() > 0 and across.abs().sum() > 0
    with torch.no_grad():
        for layer in fusion.layers:  # what image reads of the bottleneck is cut
            layer["image"].attention.key_value.weight.zero_()
    votes.clear()
    fusion(x, here)
    assert torch.autograd.grad(votes[0].sum(), x["text"].tokens)[0].eq(0).all()


def test_it_learns_exclusive_or_of_two_signs():
    assert accuracy_on_exclusive_or(build, lr=3e-3, steps=120, hidden=16) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 9}, "fusion.hidden=9: must be a multiple of fusion.heads=2"),
        ({"heads": 0}, "fusion.heads=0: must be a whole number of at least 1"),
        ({"bottlenecks": 0}, "fusion.bottlenecks=0: must be a whole number of at least 1"),
        ({"fusion_layer": 1}, "fusion.fusion_layer=1: must be 0 to fusion.layers - 2 = 0"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)
