"""Predictions where one modality is noisy: its items are disturbed as they are handed to the encoder, whatever they are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.cells import Cell
from mmdx.data.collate import Example
from mmdx.data.loading import Examples, ModalityDropout, loader
from mmdx.data.sampling import EpochSampler
from mmdx.stress.tables import as_table
from mmdx.study import Study
from mmdx.training.fit import TrainedModel
from mmdx.training.model import MultimodalModel
from mmdx.training.predict import subset_name
from mmdx.types import Batch, Features, Item

REFERENCE = 200
"""Validation rows, at most, that the size of the noise and the tokens to draw from are taken from."""


@dataclass
class Disturbance:
    """What noise does to one tensor of a modality's items.

    Attributes:
        kind: "gaussian", "tokens", or "" where it is a mask and left alone.
        sd: standard deviation of its values, for Gaussian noise.
        pool: values [V] that a token is replaced by, drawn evenly; or of each place, where all items have one shape, the values [V, ...] there.
        fixed: tokens that are never replaced.
        placed: whether the pool is by place.
    """

    kind: str
    sd: float = 0.0
    pool: Tensor | None = None
    fixed: Tensor | None = None
    placed: bool = False

    def __call__(self, values: Tensor, real: Tensor, level: float, rng: np.random.Generator) -> Tensor:
        """The disturbed tensor; the same numbers are drawn at every level.

        Args:
            values: of one item.
            real: bool, of its shape, where it is no padding.
        """
        if self.kind == "gaussian":
            noise = torch.from_numpy(rng.standard_normal(tuple(values.shape))).to(values.dtype)
            return torch.where(real, values + level * self.sd * noise, values)
        if self.kind == "tokens" and self.pool is not None and len(self.pool):
            goes = torch.from_numpy(rng.random(tuple(values.shape))) < level
            drawn = torch.from_numpy(rng.integers(len(self.pool), size=tuple(values.shape)))
            new = self.pool.gather(0, drawn[None])[0] if self.placed else self.pool[drawn]
            kept = torch.isin(values, self.fixed) if self.fixed is not None else torch.zeros_like(values, dtype=torch.bool)
            return torch.where(goes & real & ~kept, new.to(values.dtype), values)
        return values


def disturbance(tensors: Sequence[Tensor]) -> Disturbance:
    """What noise does to tensors like these.

    Booleans, and numbers that are 0 and 1 throughout, are masks. Other floating values get Gaussian noise in units of their standard deviation.
    Other integers are tokens: where all items have one shape, as the columns of a table have, a token is replaced by that of another item in the
    same place; else by any that occurs, and a mark that every item begins or ends with stays.
    """
    if all(bool(((t == 0) | (t == 1)).all()) for t in tensors):
        return Disturbance("")
    if tensors[0].is_floating_point():
        count = sum(t.numel() for t in tensors)
        mean = sum(float(t.double().sum()) for t in tensors) / count
        variance = sum(float(((t.double() - mean) ** 2).sum()) for t in tensors) / count
        return Disturbance("gaussian", sd=variance**0.5)
    if len({t.shape for t in tensors}) == 1:
        return Disturbance("tokens", pool=torch.stack(list(tensors)), placed=True)
    seen = torch.unique(torch.cat([t.flatten() for t in tensors]))
    ends = [torch.unique(torch.stack([t[t != 0][place] for t in tensors if (t != 0).any()])) for place in (0, -1)]
    fixed = torch.cat([tokens for tokens in ends if len(tokens) == 1] or [seen[:0]])
    return Disturbance("tokens", pool=seen[(seen != 0) & ~torch.isin(seen, fixed)], fixed=fixed)


def disturbances(items: Iterable[Item]) -> dict[str, Disturbance]:
    """Of each tensor of a modality's items what noise does to it; a plain tensor has the name ""."""
    by_name: dict[str, list[Tensor]] = {}
    for item in items:
        for name, tensor in _named(item).items():
            by_name.setdefault(name, []).append(tensor)
    return {name: disturbance(tensors) for name, tensors in by_name.items()}


def called(noise: Mapping[str, Disturbance]) -> str:
    """The name of a modality's noise: ``gaussian``, ``tokens``, both, or "" where there is nothing to disturb."""
    return "+".join(sorted({d.kind for d in noise.values()} - {""}))


def disturb(item: Item, noise: Mapping[str, Disturbance], level: float, stream: Callable[[str], np.random.Generator]) -> Item:
    """One item, disturbed; its masks say what of it is real, and where it has none a token 0 is padding.

    Args:
        item: a tensor or a dict of tensors.
        noise: of each tensor.
        level: in standard deviations, and as the share of tokens.
        stream: of each tensor's name a fresh source of random numbers.
    """
    tensors = _named(item)
    masks = [tensor.bool() for name, tensor in tensors.items() if name in noise and not noise[name].kind]
    made = {}
    for name, tensor in tensors.items():
        own = [mask for mask in masks if mask.shape == tensor.shape and name in noise and noise[name].kind == "tokens"]
        real = own[0] if own else (torch.ones_like(tensor, dtype=torch.bool) if tensor.is_floating_point() else tensor != 0)
        made[name] = noise[name](tensor, real, level, stream(name)) if name in noise else tensor
    return made if isinstance(item, dict) else made[""]


def _named(item: Item) -> dict[str, Tensor]:
    return item if isinstance(item, dict) else {"": item}


class Disturbed(Examples):
    """Examples with, beside each modality's own items, those at every level of noise, under ``MODALITY@LEVEL``."""

    def __init__(
        self, examples: Examples, sample_ids: Sequence[str], noise: Mapping[str, Mapping[str, Disturbance]], levels: Sequence[float], seed: int
    ) -> None:
        super().__init__(examples.cohort, examples.transforms, examples.target, examples.seed, examples.dropout)
        self.sample_ids, self.noise, self.levels, self.noise_seed = sample_ids, noise, levels, seed

    def __getitem__(self, key: tuple[int, int]) -> Example:
        example = super().__getitem__(key)
        for m, noise in self.noise.items():
            for level in self.levels:
                items = [disturb(item, noise, level, self._stream(key[1], m, place)) for place, item in enumerate(example.items[m])]
                example.items[f"{m}@{level}"] = items
        return example

    def _stream(self, index: int, modality: str, place: int) -> Callable[[str], np.random.Generator]:
        def stream(name: str) -> np.random.Generator:
            said = f"{self.noise_seed}|{modality}|{place}|{name}|{self.sample_ids[index]}"
            return np.random.default_rng(int.from_bytes(hashlib.blake2b(said.encode(), digest_size=16).digest(), "big"))

        return stream


@torch.no_grad()
def predict_noisy(trained: TrainedModel, batches: Iterable[Batch], noisy: Sequence[str], levels: Sequence[float]) -> pd.DataFrame:
    """One row a sample, disturbed modality and level: ``index``, ``present``, the task's columns, ``modality`` and ``level``; only the disturbed
    modality is encoded again."""
    model = trained.model.to(trained.device).eval()
    alone = {m: _encoder_of(model, m) for m in noisy}
    parts = []
    for batch in batches:
        moved = batch.to(trained.device)
        clean = model.encode(moved)
        present = {m: moved.present[m] for m in model.modalities}
        said = [subset_name(m for m in model.modalities if batch.present[m][row]) for row in range(len(batch))]
        for m in noisy:
            for level in levels:
                features = {**clean, m: alone[m](moved, f"{m}@{level}")}
                columns = trained.task.predict(model.fusion(features, present).logits.float())
                parts.append(pd.DataFrame({"index": batch.meta["index"], "present": said, **columns, "modality": m, "level": level}))
    return pd.concat(parts, ignore_index=True)


def _encoder_of(model: MultimodalModel, modality: str) -> Callable[[Batch, str], Features]:
    """Encodes one modality from the inputs that a batch has under another name."""
    aggregators = {modality: model.aggregators[modality]} if modality in model.aggregators else {}
    part = MultimodalModel({modality: model.encoders[modality]}, nn.Identity(), aggregators).eval()

    def encode(batch: Batch, name: str) -> Features:
        one = Batch({modality: batch.inputs[name]}, {modality: batch.items[name]}, {modality: batch.present[name]}, batch.target, batch.meta)
        return part.encode(one)[modality]

    return encode


def noise(study: Study, cell: Cell, trained: TrainedModel, levels: Sequence[float], seed: int) -> tuple[pd.DataFrame | None, dict[str, str]]:
    """The rows of ``noise.parquet`` of one model, None where nothing can be disturbed, and the name of each modality's noise.

    Args:
        study: prepared.
        cell: whose test rows are taken; its validation rows say how large the noise is.
        trained: the model.
        levels, seed: of the noise.
    """
    has = study.cohort.rows_with(trained.model.modalities)
    rows, reference = np.sort(cell.fold.test[has[cell.fold.test]]), cell.fold.val[has[cell.fold.val]]
    examples = Examples(study.cohort, trained.transforms, study.target, 0, ModalityDropout(0.0))
    chosen = reference[np.linspace(0, len(reference) - 1, min(REFERENCE, len(reference))).astype(int)]
    seen = [examples[-1, int(i)].items for i in chosen]
    by_modality = {m: disturbances(item for items in seen for item in items[m]) for m in trained.model.modalities}
    names = {m: called(found) for m, found in by_modality.items()}
    noisy = [m for m in trained.model.modalities if names[m]]
    if not noisy:
        return None, names
    ids = [str(value) for value in study.dataset.table["sample_id"]]
    disturbed = Disturbed(examples, ids, {m: by_modality[m] for m in noisy}, levels, seed)
    plan = study.training
    batches = loader(disturbed, EpochSampler(rows, None), plan.batch_size, plan.num_workers)
    frame = predict_noisy(trained, batches, noisy, levels)
    table = as_table(study, cell, trained, frame.assign(split="test"))
    return table.assign(modality=frame["modality"], noise=frame["modality"].map(names), level=frame["level"]), names
