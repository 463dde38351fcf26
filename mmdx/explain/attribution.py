"""Integrated gradients of a trained model: how much each part of each input moved the output, all modalities of a sample together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdx.data.collate import Example
from mmdx.encoders.tokenizer import SPECIAL
from mmdx.errors import InputError
from mmdx.explain.opened import Opened, Place, like, named_tensors
from mmdx.training.model import MultimodalModel
from mmdx.types import Batch, Item

STEPS = 32
"""Points of the Gauss-Legendre rule along the path; docs/explain.md has the error that this leaves."""
AT_ONCE = 64
"""Items of one modality that go through its encoder at once, over all points of the path."""
LEAST = 0.01
"""Share of the magnitudes of all attributions of a sample below which a modality's are not shown."""

Arrays = dict[str, np.ndarray]
"""Of one item the attributions by the name of its tensor, "" where the item is a tensor; those of token ids are sums over the embedding."""


@dataclass(frozen=True)
class Attribution:
    """What one sample's inputs said, in units of what is explained (log-odds).

    Attributes:
        index: row of the data set.
        output: which output is explained.
        value: what is explained, of the sample.
        baseline: the same of a sample with the same modalities that all say nothing.
        items: of each modality that the sample has, the attributions of each item.
    """

    index: int
    output: int
    value: float
    baseline: float
    items: dict[str, list[Arrays]]

    @property
    def contributions(self) -> dict[str, float]:
        """The sum of each modality's attributions; together they are ``value - baseline`` (completeness), but for ``error``."""
        return {m: float(sum(a.sum(dtype=np.float64) for item in items for a in item.values())) for m, items in self.items.items()}

    @property
    def shares(self) -> dict[str, float]:
        """Each modality's share in the sum of the contributions' magnitudes; empty where nothing contributes."""
        sizes = {m: abs(value) for m, value in self.contributions.items()}
        total = sum(sizes.values())
        return {m: size / total for m, size in sizes.items()} if total > 0 else {}

    @property
    def telling(self) -> set[str]:
        """The modalities whose attributions have at least ``LEAST`` of all magnitudes; what is laid over the others would show noise."""
        sizes = {m: float(sum(np.abs(a).sum(dtype=np.float64) for item in items for a in item.values())) for m, items in self.items.items()}
        return {m for m, size in sizes.items() if size > 0 and size >= LEAST * sum(sizes.values())}

    @property
    def error(self) -> float:
        """By how much completeness is missed."""
        return abs(sum(self.contributions.values()) - (self.value - self.baseline))


class Attributor:
    """Integrated gradients (Sundararajan, Taly & Yan 2017, arXiv:1703.01365, equation 1) of a model's output F, along the straight path from a
    baseline at which every modality says nothing:

        attribution_i = (x_i - x'_i) * integral over a in 0..1 of  d F(x' + a (x - x')) / d x_i

    The path of all modalities is walked together, so that their attributions sum to F(x) - F(x') and can be compared. The baseline of a modality is
    its mean item where one is given, else 0, the middle of what is standardised; that of token ids is padding, special tokens kept, and the
    path runs between the embeddings. Ids that are weighed (a bag of words) stay, their weights go from 0.

    Args:
        model: the trained model, on its device.
        explains: makes of logits [B, K] what is explained, [B, L]: of each sample the largest of the L.
        steps: points along the path.
        means: of some modalities, whose items are tensors, the mean item.

    Raises:
        InputError: where captum is not installed.
    """

    def __init__(
        self,
        model: MultimodalModel,
        explains: Callable[[Tensor], Tensor] = lambda logits: logits,
        steps: int = STEPS,
        means: Mapping[str, Tensor] | None = None,
    ) -> None:
        try:
            from captum.attr import LayerIntegratedGradients
        except ImportError:
            raise InputError("attributions need captum: pip install 'mmdx[explain]'") from None
        self._method: Callable[..., Any] = LayerIntegratedGradients
        self.opened = {m: Opened(encoder, m) for m, encoder in model.encoders.items()}
        self.model = MultimodalModel(self.opened, model.fusion, dict(model.aggregators.items())).eval()
        self.explains, self.steps, self.means = explains, steps, dict(means or {})

    def __call__(self, batch: Batch) -> list[Attribution]:
        """Attributions of each sample of a batch on the model's device; what is absent has none."""
        there = {m: batch.items[m] & batch.present[m][:, None] for m in self.opened}
        present = [m for m in self.opened if there[m].any()]
        with torch.no_grad():
            logits = self.model(batch).logits
        output = self.explains(logits).argmax(dim=1)
        places = [place for m in present for place in self.opened[m].places or ()]
        neutral = Batch(dict(batch.inputs), batch.items, batch.present, batch.target, batch.meta)
        neutral.inputs |= {m: self._baseline(m, batch.inputs[m]) for m in present}
        with torch.no_grad():
            ends = [self._chosen(self.model(b).logits, output).tolist() for b in (batch, neutral)]
        found = self._integrate(batch, neutral, output, places)
        parts = {m: _by_sample(there[m], [(p, a) for p, a in zip(places, found, strict=True) if p.modality == m]) for m in present}
        return [
            Attribution(int(index), int(output[row]), ends[0][row], ends[1][row], {m: parts[m][row] for m in present if there[m][row].any()})
            for row, index in enumerate(batch.meta["index"])
        ]

    def _integrate(self, batch: Batch, neutral: Batch, output: Tensor, places: list[Place]) -> list[Tensor]:
        """Attributions at each place, [items, ...]."""
        names = [(m, name) for m in self.opened for name in named_tensors(batch.inputs[m])]
        masks = [mask[m] for mask in (batch.items, batch.present) for m in self.opened]

        def explained(*tensors: Tensor) -> Tensor:
            inputs = dict(zip(names, tensors, strict=False))
            rest = tensors[len(names) :]
            items, present = (dict(zip(self.opened, rest[i * len(self.opened) :], strict=False)) for i in (0, 1))
            whole = {m: like(batch.inputs[m], {name: inputs[m, name] for name in named_tensors(batch.inputs[m])}) for m in self.opened}
            return self._chosen(self.model(Batch(whole, items, present, rest[-1])).logits, rest[-1])

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Multiple layers provided")  # no place depends on another
            method = self._method(explained, [place.layer for place in places])
        given, start = ([named_tensors(b.inputs[m])[name] for m, name in names] for b in (batch, neutral))
        first = int((batch.items[places[0].modality] & batch.present[places[0].modality][:, None]).sum())  # what captum counts a batch by
        found = method.attribute(
            tuple(given),
            baselines=tuple(start),
            additional_forward_args=(*masks, output),
            n_steps=self.steps,
            internal_batch_size=max(AT_ONCE, first),
            grad_kwargs={"materialize_grads": True},  # an encoder may leave a part of its items unused
        )
        return [part[0] if isinstance(part, tuple) else part for part in found]

    def _chosen(self, logits: Tensor, output: Tensor) -> Tensor:
        return self.explains(logits).gather(1, output[:, None])[:, 0]

    def _baseline(self, modality: str, inputs: Item) -> Item:
        opened, mean = self.opened[modality], self.means.get(modality)
        if isinstance(inputs, Tensor) and mean is not None and inputs.shape[2:] == mean.shape:
            return mean.to(inputs).expand_as(inputs)
        kinds = {place.name: place.ids for place in opened.places or ()}
        padding, kept = _special_ids(getattr(opened.encoder, "transform", None))
        start = {}
        for name, values in named_tensors(inputs).items():
            if name not in kinds:
                start[name] = values
            elif kinds[name]:
                special = torch.isin(values, torch.tensor(kept, dtype=values.dtype, device=values.device))
                start[name] = values.where(special, padding)
            else:
                start[name] = torch.zeros_like(values)
        return like(inputs, start)


def mean_items(examples: Iterable[Example]) -> dict[str, Tensor]:
    """Of each modality whose items are tensors of one shape the mean over the items of some examples."""
    items: dict[str, list[Item]] = {}
    for example in examples:
        for m, own in example.items.items():
            items.setdefault(m, []).extend(own)
    tensors = {m: [item for item in own if isinstance(item, Tensor) and item.is_floating_point()] for m, own in items.items()}
    return {m: torch.stack(own).mean(dim=0) for m, own in tensors.items() if own and len({item.shape for item in own}) == 1}


def class_log_odds(logits: Tensor) -> Tensor:
    """Log-odds of each class against the others, [B, K], from logits of classes of which one is true: the logit less the log of the others' sum."""
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].masked_fill(own, -torch.inf)  # [B, K, K]
    return logits - others.logsumexp(dim=2)


def mean_output(logits: Tensor) -> Tensor:
    """Mean of the outputs, [B, 1], where they are not classes or labels: of levels or times one after the other it rises with each."""
    return logits.mean(dim=1, keepdim=True)


def _special_ids(transform: Any) -> tuple[int, list[int]]:
    """The id of padding, and the ids of the tokens that stay where they are."""
    tokenizer: Any = getattr(transform, "tokenizer", None)
    if hasattr(tokenizer, "all_special_ids"):
        return int(tokenizer.pad_token_id or 0), [int(i) for i in tokenizer.all_special_ids]
    if hasattr(tokenizer, "token_to_id"):
        return 0, [i for i in map(tokenizer.token_to_id, SPECIAL) if i is not None]
    return 0, []


def _by_sample(there: Tensor, found: list[tuple[Place, Tensor]]) -> list[list[Arrays]]:
    """Of each sample the attributions of its items, from those [items, ...] at each place of one modality."""
    items: list[Arrays] = [{} for _ in range(int(there.sum()))]
    columns: dict[str, dict[int, np.ndarray]] = {}
    for place, values in found:
        array = (values.sum(dim=-1) if place.ids else values).numpy(force=True)
        if place.column is None:
            for item, own in zip(items, array, strict=True):
                item[place.name] = own
        else:
            columns.setdefault(place.name, {})[place.column] = array
    for name, by_column in columns.items():
        joined = np.stack([by_column[c] for c in sorted(by_column)], axis=1)
        for item, own in zip(items, joined, strict=True):
            item[name] = own
    each = iter(items)
    return [[next(each) for _ in range(int(count))] for count in there.sum(dim=1)]
