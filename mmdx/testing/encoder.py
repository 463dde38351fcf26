"""Does an encoder with its transform keep its contract?"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.data.collate import Example, collate
from mmdx.training.model import MultimodalModel
from mmdx.types import Features, FusionOutput, Item, Transform


def check_encoder(build: Callable[[Transform], nn.Module], transform: Transform, raws: Sequence[Any]) -> None:
    """Check a transform and ``build(transform)`` on at least four raw inputs of the modality.

    The fitted state is JSON and, loaded into a copy, gives the same items; items without a generator are the same each time, with one
    they follow its seed; the transform can be sent to a worker. Features have the promised width and shapes; in evaluation a row does
    not depend on the others; a batch of one row can be trained on; what stands in an absent slot changes no bit; gradients reach
    every trained parameter.
    """
    assert len(raws) >= 4, "give at least four raw inputs"
    pristine = pickle.loads(pickle.dumps(transform))
    prepared = [transform.prepare(raw) for raw in raws]
    state = json.loads(json.dumps(transform.fit(prepared), allow_nan=False))
    pristine.load(state)
    for one in prepared:
        _assert_same(transform(one, None), pristine(one, None), "a transform with the loaded state makes other items than the fitted one")
        first, second = (transform(one, np.random.default_rng(5)) for _ in range(2))
        _assert_same(first, second, "the same generator seed gives different items: something draws from a global random state")
    torch.manual_seed(0)
    encoder: Any = build(transform)
    assert isinstance(getattr(encoder, "width", None), int) and encoder.width > 0, "encoder.width must be a whole number above 0"
    model = MultimodalModel({"m": encoder, "other": _Constant()}, _Mean(encoder.width))
    examples = [Example(i, {"m": _listed(transform(p, None)), "other": [torch.zeros(1)]}, np.float32(0)) for i, p in enumerate(prepared)]
    examples[1].items["m"] = []
    _check_features(model, examples, encoder.width)
    _check_absent_items(model, examples)
    _check_training(model, examples)


def _check_features(model: MultimodalModel, examples: list[Example], width: int) -> None:
    model.eval()
    batch = collate(examples)
    with torch.no_grad():
        features = model.encode(batch)["m"]
        assert features.tokens.ndim == 3 and features.tokens.shape[-1] == width, f"tokens {tuple(features.tokens.shape)}, expected [B, N, {width}]"
        assert features.mask.shape == features.tokens.shape[:2] and features.mask.dtype == torch.bool, "mask must be bool [B, N]"
        assert features.tokens[features.mask].isfinite().all(), "tokens are not finite"
        assert features.mask[0].any(), "a row that is there has no real token"
        alone = model.encode(collate(examples[2:3]))["m"]
    assert torch.allclose(features.pooled[2], alone.pooled[0], atol=1e-4), "in evaluation a row's features depend on the rest of the batch"


def _check_absent_items(model: MultimodalModel, examples: list[Example]) -> None:
    for training in (False, True):
        model.train(training)
        buffers = {name: value.clone() for name, value in model.state_dict().items()}
        outputs = []
        for value in (0.0, float("nan"), 1e30):
            model.load_state_dict(buffers)
            batch = collate(examples)
            batch.inputs["m"] = _fill(batch.inputs["m"], batch.items["m"], value)
            torch.manual_seed(3)
            with torch.no_grad():
                outputs.append((model(batch).logits, {k: v.clone() for k, v in model.state_dict().items()}))
        for logits, after in outputs[1:]:
            assert torch.equal(outputs[0][0], logits), "what stands in an absent slot changes the output"
            same = all(torch.equal(value, after[name]) for name, value in outputs[0][1].items())
            assert same, "what stands in an absent slot changes a buffer, such as the statistics of a batch norm"
        model.load_state_dict(buffers)


def _fill(inputs: Item, items: Tensor, value: float) -> Item:
    if isinstance(inputs, dict):
        return {name: _fill_tensor(part, items, value) for name, part in inputs.items()}
    return _fill_tensor(inputs, items, value)


def _fill_tensor(inputs: Tensor, items: Tensor, value: float) -> Tensor:
    absent = ~items.reshape(*items.shape, *[1] * (inputs.ndim - 2)).expand_as(inputs)
    filler = value if inputs.is_floating_point() else (1 if inputs.dtype == torch.bool else 12345)
    return inputs.masked_fill(absent, filler)


def _check_training(model: MultimodalModel, examples: list[Example]) -> None:
    encoder = model.encoders["m"]
    model.train()
    alone = model(collate(examples[:1])).logits
    assert alone.isfinite().all(), "a training batch with one row gives logits that are not finite"
    if any(p.requires_grad for p in encoder.parameters()):
        model(collate(examples)).logits.square().sum().backward()
        for name, parameter in encoder.named_parameters():
            assert not parameter.requires_grad or parameter.grad is not None, f"no gradient reaches {name}, which distributed training needs"


class _Constant(nn.Module):
    width = 1

    def forward(self, items: Tensor) -> Features:
        return Features(torch.ones(len(items), 1, 1), torch.ones(len(items), 1, dtype=torch.bool))


class _Mean(nn.Module):
    direction: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.register_buffer("direction", torch.randn(width, 2))

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        pooled = features["m"].pooled.where(present["m"][:, None], 0.0)
        return FusionOutput(pooled @ self.direction)


def _listed(made: Item | list[Item]) -> list[Item]:
    return made if isinstance(made, list) else [made]


def _assert_same(first: Item | list[Item], second: Item | list[Item], words: str) -> None:
    first, second = _listed(first), _listed(second)
    assert len(first) == len(second), words
    for a, b in zip(first, second, strict=True):
        pairs: list[Any] = [(a[k], b[k]) for k in a] if isinstance(a, dict) and isinstance(b, dict) else [(a, b)]
        assert all(torch.equal(x, y) for x, y in pairs), words
