"""Facts about freezing, layer-wise decay and LoRA."""

import pytest
import torch
from torch import nn

from mmdx.encoders.image import ImageTransform, SmallCNN, TimmEncoder, TimmTransform
from mmdx.encoders.tuning import Frozen, FullTuning, LastLayers, LoRA, hold_frozen
from mmdx.errors import InputError


class Tower(nn.Module):
    width = 4

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)) for _ in range(3))

    def layers(self):
        return list(self.parts)

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


def vit():
    pytest.importorskip("timm")
    name = "vit_tiny_patch16_224"
    return TimmEncoder(TimmTransform(name, size=32), name)


def test_layer_wise_decay_is_lr_times_decay_to_the_distance_from_the_end():
    tower = Tower()
    groups = FullTuning(layer_decay=0.5).parameter_groups(tower, lr=1.0, weight_decay=0.1)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert [rate[id(part[0].weight)] for part in tower.parts] == [0.25, 0.5, 1.0]
    assert [rate[id(part[1].bias)] for part in tower.parts] == [0.25, 0.5, 1.0]
    assert len(rate) == sum(1 for _ in tower.parameters())


def test_biases_and_norms_have_no_weight_decay():
    for group in FullTuning().parameter_groups(Tower(), lr=1.0, weight_decay=0.1):
        assert {p.ndim for p in group["params"]} == ({2} if group["weight_decay"] else {1})


def test_frozen_has_nothing_to_train_and_stays_as_it_is_in_training():
    tower = Tower()
    Frozen().apply(tower)
    assert Frozen().parameter_groups(tower, 1.0, 0.1) == []
    tower.train()
    hold_frozen(tower)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    x = torch.randn(8, 4)
    first, second = tower(x), tower(x)
    assert torch.equal(first, second) and not first.requires_grad  # no dropout, no gradient
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())


def test_last_layers_train_and_those_before_keep_weights_and_statistics():
    tower = Tower()
    tuning = LastLayers(count=1)
    tuning.apply(tower)
    tower.train()
    hold_frozen(tower)
    assert [part[1].training for part in tower.parts] == [False, False, True]
    assert [part[2].training for part in tower.parts] == [False, False, True]
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    optimiser = torch.optim.SGD(tuning.parameter_groups(tower, 0.1, 0.0), lr=0.1)
    tower(torch.randn(8, 4)).square().sum().backward()
    assert all(p.grad is None for part in tower.parts[:2] for p in part.parameters())
    optimiser.step()
    changed = {name for name, value in tower.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("parts.2.") for name in changed)


def test_full_tuning_leaves_dropout_and_batch_norm_in_training():
    tower = Tower().train()
    hold_frozen(tower)
    assert all(part.training for part in tower.modules())


def test_a_batch_norm_alone_frozen_keeps_its_statistics():
    cnn = SmallCNN(ImageTransform(size=32), width=8, blocks=2).train()
    LastLayers(count=1).apply(cnn)
    hold_frozen(cnn)
    before = cnn.stages[0].body[1].running_mean.clone()
    cnn(torch.randn(4, 1, 32, 32))
    assert torch.equal(cnn.stages[0].body[1].running_mean, before)
    assert cnn.stages[1].body[1].running_mean.abs().sum() > 0


def test_a_vits_layers_are_stem_and_blocks_with_their_decay():
    encoder = vit()
    layers = encoder.layers()
    assert len(layers) == 1 + 12  # as timm groups them: the last norm goes with the last block
    groups = FullTuning(layer_decay=0.75).parameter_groups(encoder, 1.0, 0.0)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rate[id(encoder.model.cls_token)] == pytest.approx(0.75**12)
    assert rate[id(encoder.model.blocks[0].attn.qkv.weight)] == pytest.approx(0.75**11)
    assert rate[id(encoder.model.norm.weight)] == 1.0


def test_lora_begins_as_the_encoder_was_and_trains_rank_times_in_plus_out():
    torch.manual_seed(0)
    encoder = vit().eval()
    x = torch.randn(2, 3, 32, 32)
    before = encoder(x).tokens.detach()
    whole = sum(p.numel() for p in encoder.parameters())
    tuning = LoRA(rank=4)
    tuning.apply(encoder)
    encoder.eval()
    torch.testing.assert_close(encoder(x).tokens, before)
    trained = [p for group in tuning.parameter_groups(encoder, 1.0, 0.1) for p in group["params"]]
    assert sum(p.numel() for p in trained) == 12 * 4 * (192 + 3 * 192)  # every block's fused query, key and value
    assert sum(p.numel() for p in trained) / whole < 0.01
    held = {id(p) for layer in encoder.layers() for p in layer.parameters()}
    assert held == {id(p) for p in encoder.parameters()}


def test_lora_weights_load_into_a_model_built_again_from_the_same_config():
    torch.manual_seed(0)
    first, second = vit(), vit()
    for encoder in (first, second):
        LoRA(rank=2).apply(encoder)
    for parameter in first.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    assert second.load_state_dict(first.state_dict()) == ([], [])
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(first.eval()(x).tokens, second.eval()(x).tokens)


def test_lora_says_where_there_is_nothing_to_adapt():
    pytest.importorskip("peft")
    with pytest.raises(InputError, match="SmallCNN has no linear layer named query.*there are none"):
        LoRA().apply(SmallCNN(ImageTransform(size=32), width=8, blocks=2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FullTuning(1.5), "tuning.layer_decay=1.5"),
        (lambda: LastLayers(0), "tuning.count=0"),
        (lambda: LoRA(rank=0), "tuning.rank=0"),
        (lambda: LoRA(dropout=1.0), "tuning.dropout=1.0"),
        (lambda: LastLayers(9).apply(Tower()), "Tower has 3 layers"),
        (lambda: LastLayers(1).apply(nn.Linear(2, 2)), "Linear publishes no layers"),
    ],
)
def test_values_out_of_range_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
