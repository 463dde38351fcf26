"""The conformance kit: does a part, ours or a user's, keep its contract?  Each check raises AssertionError saying what is broken.

In the way of scikit-learn's ``check_estimator``::

    def test_my_fusion():
        check_fusion(lambda widths, head: MyFusion(widths, head))
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.data.collate import Example, collate
from mmdx.data.tables import target_columns
from mmdx.errors import InputError
from mmdx.evaluation.predictions import checked
from mmdx.training.model import MultimodalModel
from mmdx.types import Calibrated, Features, FusionOutput, Item, Sample, Task, Transform

WIDTHS = {"audio": 20, "ecg": 12, "image": 24, "text": 16}
TOKENS = {"audio": 5, "ecg": 1, "image": 9, "text": 7}


def check_fusion(build: Callable[..., nn.Module], outputs: int = 3) -> None:
    """Check ``build(widths=..., head=...)``: finite logits [B, K] for one to four modalities, blind to the content of absent slots, to
    the order of the dicts, and in evaluation to the rest of the batch; gradients reach every parameter; weights load by name.
    """
    for names in (["image"], ["image", "text"], ["text", "image", "audio"], ["audio", "ecg", "image", "text"]):
        _check_fusion(build, {m: WIDTHS[m] for m in names}, outputs)


def _check_fusion(build: Callable[..., nn.Module], widths: dict[str, int], outputs: int) -> None:
    case = f"with modalities {list(widths)}"
    torch.manual_seed(0)
    fusion = build(widths=widths, head=partial(nn.Linear, out_features=outputs))
    features, present = random_features(widths)
    for training in (True, False):
        fusion.train(training)
        base = _fused(fusion, features, present)
        assert isinstance(base, FusionOutput), f"{case}: forward returned {type(base).__name__}, expected FusionOutput"
        assert base.logits.shape == (8, outputs), f"{case}: logits have shape {tuple(base.logits.shape)}, expected (8, {outputs})"
        assert base.logits.isfinite().all(), f"{case}: logits are not finite where modalities are absent"
        for value in (float("nan"), float("inf"), 1e30):
            spoiled = {m: _spoil(f, present[m], value) for m, f in features.items()}
            same = torch.equal(base.logits, _fused(fusion, spoiled, present).logits)
            assert same, f"{case}: {value} in absent slots changes the logits ({'training' if training else 'evaluation'})"
    reversed_order = {m: features[m] for m in reversed(features)}
    back = fusion(reversed_order, {m: present[m] for m in reversed(present)}).logits
    assert torch.allclose(base.logits, back, atol=1e-6), f"{case}: the order of the dicts changes the logits"
    alone = fusion({m: Features(f.tokens[2:3], f.mask[2:3]) for m, f in features.items()}, {m: p[2:3] for m, p in present.items()})
    assert torch.allclose(base.logits[2:3], alone.logits, atol=1e-5), f"{case}: a sample's logits depend on its batch"
    twin = build(widths=dict(reversed(widths.items())), head=partial(nn.Linear, out_features=outputs)).eval()
    assert twin.state_dict().keys() == fusion.state_dict().keys(), f"{case}: names of weights depend on the order of the dict"
    twin.load_state_dict(fusion.state_dict())
    assert torch.allclose(base.logits, twin(features, present).logits, atol=1e-6), f"{case}: the same weights give other logits in another order"
    _check_gradients(fusion, features, present, case)


def _check_gradients(fusion: nn.Module, features: dict[str, Features], present: dict[str, Tensor], case: str) -> None:
    fusion.train().zero_grad()
    spoiled = {m: _spoil(f, present[m], float("nan")) for m, f in features.items()}
    output = fusion(spoiled, present)
    (output.logits.square().sum() + sum(output.aux_losses.values())).backward()
    for name, parameter in fusion.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{case}: no gradient reaches {name}, which distributed training needs"
            assert parameter.grad.isfinite().all(), f"{case}: NaN in absent slots makes the gradient of {name} not finite"


def random_features(widths: Mapping[str, int], batch: int = 8) -> tuple[dict[str, Features], dict[str, Tensor]]:
    """Features and presence in which each modality is absent somewhere, bags differ in length, and one sample has one modality."""
    draw = torch.Generator().manual_seed(1)
    features, present = {}, {}
    for row, (m, width) in enumerate(widths.items()):
        count = TOKENS.get(m, 3)
        mask = torch.arange(count)[None, :] < torch.randint(1, count + 1, (batch, 1), generator=draw)
        features[m] = Features(torch.randn(batch, count, width, generator=draw), mask)
        present[m] = torch.ones(batch, dtype=torch.bool)
        if len(widths) > 1:
            present[m][row] = False
            present[m][batch - 1] = row == 0
    return features, present


def _fused(fusion: nn.Module, features: dict[str, Features], present: dict[str, Tensor]) -> FusionOutput:
    torch.manual_seed(2)
    with torch.no_grad():
        return fusion(features, present)


def _spoil(features: Features, present: Tensor, value: float) -> Features:
    return Features(features.tokens.where(present[:, None, None], value), features.mask)


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


def check_dataset(dataset: Any, samples: int = 8) -> None:
    """Check the table (unique string ids, targets, known splits, null or string patients and sites), and for the first samples that each
    is a ``Sample`` with known modalities, the same each time it is read, and readable by another process.
    """
    table = dataset.table
    assert isinstance(table, pd.DataFrame) and len(table) == len(dataset) > 0, "table must have one row a sample, and at least one"
    assert len(set(dataset.modalities)) == len(dataset.modalities) > 0, f"modalities {dataset.modalities}: need one or more different names"
    assert "sample_id" in table and table["sample_id"].is_unique, "sample_id must be there and unique"
    assert table["sample_id"].map(lambda v: isinstance(v, str)).all(), "sample_id must be strings"
    for column in ("patient_id", "site"):
        if column in table:
            assert table[column].dropna().map(lambda v: isinstance(v, str)).all(), f"{column} must be strings or null"
    assert target_columns(table), "the table needs target, or target_LABEL columns, or time and event"
    if "target" in table:
        assert table["target"].notna().all(), "target has empty values; leave such rows out as faults"
    if "split" in table:
        assert table["split"].isin(["train", "val", "test"]).all(), "split must be train, val or test"
    copy = pickle.loads(pickle.dumps(dataset))
    for index in range(min(samples, len(dataset))):
        sample, again = dataset[index], copy[index]
        assert isinstance(sample, Sample), f"dataset[{index}] is {type(sample).__name__}, expected Sample"
        assert sample.inputs and set(sample.inputs) <= set(dataset.modalities), f"dataset[{index}].inputs has {sorted(sample.inputs)}"
        assert all(value is not None for value in sample.inputs.values()), f"dataset[{index}]: a missing modality must be a missing key"
        same = all(_raw_equal(value, again.inputs.get(m)) for m, value in sample.inputs.items())
        assert same, f"dataset[{index}] differs when it is read again by another process"


def _raw_equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_raw_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_raw_equal(a[k], b[k]) for k in a)
    return bool(a == b) or (a != a and b != b)


def check_task(build: Callable[[], Task], table: pd.DataFrame) -> None:
    """Check a task on a data set's table: targets encode, the loss is finite and differentiable and smaller for right logits than for
    wrong ones, the predictions are those of its kind, and the fitted state is JSON and loads into another copy, with what a task learns from
    the trained model's outputs too.
    """
    task, twin = build(), build()
    target = task.encode(table)
    assert len(target) == len(table), "encode must give one target a row"
    twin.load(json.loads(json.dumps(task.fit(target), allow_nan=False)))
    encoded = torch.as_tensor(target)
    logits = torch.zeros(len(target), task.outputs, requires_grad=True)
    loss = task.loss(logits, encoded)
    assert loss.ndim == 0 and loss.isfinite(), "loss must be one finite number"
    assert torch.equal(loss, twin.loss(logits, encoded)), "a task with the loaded state has another loss"
    (gradient,) = torch.autograd.grad(loss, logits)
    better, worse = (task.loss(-sign * gradient, encoded) for sign in (1, -1))
    assert better < loss < worse, "the loss does not fall along its own gradient"
    drawn = torch.randn(len(target), task.outputs, generator=torch.Generator().manual_seed(0))
    if isinstance(task, Calibrated):
        twin.load(json.loads(json.dumps(task.calibrate(drawn, encoded), allow_nan=False)))
    columns, again = task.predict(drawn), twin.predict(drawn)
    assert columns.keys() == again.keys() and all(np.array_equal(columns[c], again[c]) for c in columns), "a loaded state predicts otherwise"
    _check_columns(task, columns, table)
    assert isinstance(task.score(drawn, encoded), float), "score must be one number"


def _check_columns(task: Task, columns: Mapping[str, np.ndarray], table: pd.DataFrame) -> None:
    """Names and ranges of the predictions, and that mmdx's own scorer takes them for the task's kind."""
    for name, values in columns.items():
        assert len(values) == len(table) and np.isfinite(values).all(), f"{name} must be finite, one value a row"
        bounded = name.startswith(("prob", "survival_")) or name == "vacuity"
        assert bounded or name in ("prediction", "risk"), f"predict gives a column {name!r}; not one that a task predicts"
        assert not bounded or np.all((values >= 0) & (values <= 1)), f"{name} must be in 0 to 1"
    ids = pd.DataFrame({"sample_id": [str(i) for i in range(len(table))]})
    try:
        checked(ids.assign(**task.columns(table), **columns), kind=task.kind)
    except InputError as fault:
        raise AssertionError(f"columns and predict are not those of kind {task.kind}: {fault}") from None
