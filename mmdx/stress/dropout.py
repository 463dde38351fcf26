"""Monte Carlo dropout: the spread of a trained model's predictions when its dropout layers go on drawing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.evaluation.uncertainty import decompose
from mmdx.training.model import MultimodalModel
from mmdx.types import Batch, Features, Task

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ROWS = 256  # copies of samples in one forward pass: fills a device, bounds memory


def dropout_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a model that drop units in training: dropout layers, and attention and recurrent layers with a dropout of their own.

    Functional dropout inside other modules, as in some pretrained models' attention, and whole layers dropped at random (stochastic depth) are not
    among them and stay switched off.
    """
    own = (nn.MultiheadAttention, nn.RNNBase)
    return [m for m in model.modules() if isinstance(m, DROPOUT) or (isinstance(m, own) and m.dropout > 0)]


@torch.no_grad()
def mc_dropout(
    model: MultimodalModel, task: Task, batches: Iterable[Batch], device: torch.device, passes: int = 30, seed: int = 0
) -> pd.DataFrame:
    """Predictions of a model whose dropout layers, in encoders and fusion alike, stay in training mode while everything else is in evaluation
    mode (Gal & Ghahramani 2016, arXiv:1506.02142), for the full set of modalities.

    Encoders without dropout run once; the others and the fusion run once a pass, several passes in one forward.

    Args:
        model: trained; left in evaluation mode.
        task: turns logits into probabilities.
        batches: samples.
        device: where the model runs.
        passes: number T of passes, at least 2.
        seed: of the draws; the same batches in the same order give the same result, and the global random state is left as it was.

    Returns:
        ``index`` and, in nats, ``mc_entropy`` (of the mean probabilities) and ``mc_mutual_information`` (what the passes don't agree on), with
        the mean probabilities ``mc_prob`` or ``mc_prob_NAME``. Of several labels the entropies are summed. ``index`` alone where there is nothing
        to measure: the model has no dropout layer (see ``dropout_layers``), or the task predicts no probabilities.

    Raises:
        InputError: for fewer than 2 passes.
    """
    if passes < 2:
        raise InputError(f"passes={passes}: MC dropout needs at least 2.")
    if not dropout_layers(model):
        return pd.DataFrame({"index": [index for batch in batches for index in batch.meta["index"]]}).drop_duplicates(ignore_index=True)
    model = model.to(device).eval()
    drawn = {m for m in model.modalities if dropout_layers(model.encoders[m]) or (m in model.aggregators and dropout_layers(model.aggregators[m]))}
    parts = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in batches:
            members = _passes(model, task, batch.to(device), drawn, passes)
            parts.append(pd.DataFrame({"index": batch.meta["index"]} | _summary(members, hasattr(task, "labels"))))
    return pd.concat(parts, ignore_index=True).drop_duplicates("index", ignore_index=True)


def _passes(model: MultimodalModel, task: Task, batch: Batch, drawn: set[str], passes: int) -> dict[str, np.ndarray]:
    """Probabilities [T, B] of each column of the task."""
    fixed = {m: f for m, f in model.encode(_without(batch, drawn)).items() if m not in drawn}
    rows, found = len(batch), []
    for start in range(0, passes, copies := max(1, ROWS // rows)):
        several = _repeated(batch, min(copies, passes - start))
        with _dropping(model):
            features = model.encode(_without(several, set(fixed)))
            features |= {m: _repeated_features(f, len(several) // rows) for m, f in fixed.items()}
            logits = model.fusion({m: features[m] for m in model.modalities}, several.present).logits
        found.append({name: values.reshape(-1, rows) for name, values in task.predict(logits.float()).items() if name.startswith("prob")})
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _summary(members: dict[str, np.ndarray], labels: bool) -> dict[str, np.ndarray]:
    if not members:
        return {}
    each = np.stack(list(members.values()), axis=2)  # [T, B, K]
    split = decompose(np.stack([1 - each, each], axis=3) if labels or list(members) == ["prob"] else each)
    means = {f"mc_{name}": values.mean(axis=0) for name, values in members.items()}
    return means | {"mc_entropy": split.entropy, "mc_mutual_information": split.mutual_information}


def _without(batch: Batch, modalities: set[str]) -> Batch:
    """The batch as its encoders see it where some modalities are absent, so that theirs need not run."""
    present = {m: torch.zeros_like(here) if m in modalities else here for m, here in batch.present.items()}
    return Batch(batch.inputs, batch.items, present, batch.target, batch.meta)


def _repeated(batch: Batch, times: int) -> Batch:
    """All samples several times over, one copy of the batch after another."""

    def copied(tensor: Tensor) -> Tensor:
        return tensor.repeat(times, *[1] * (tensor.ndim - 1))

    inputs = {m: {k: copied(v) for k, v in x.items()} if isinstance(x, dict) else copied(x) for m, x in batch.inputs.items()}
    items, present = ({m: copied(v) for m, v in mask.items()} for mask in (batch.items, batch.present))
    return Batch(inputs, items, present, copied(batch.target))


def _repeated_features(features: Features, times: int) -> Features:
    return Features(features.tokens.repeat(times, 1, 1), features.mask.repeat(times, 1))


@contextmanager
def _dropping(model: nn.Module) -> Iterator[None]:
    """Dropout layers draw, and nothing else is in training mode. PyTorch's fused attention kernels for evaluation skip dropout: they are off."""
    layers, fused = dropout_layers(model), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
        torch.backends.mha.set_fastpath_enabled(fused)
