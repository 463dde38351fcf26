"""Loaders: rows of a prepared cohort, as batches."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mmdx.data.collate import Example, collate
from mmdx.data.prepare import PreparedCohort
from mmdx.data.sampling import EpochSampler
from mmdx.errors import InputError
from mmdx.stopping import ignore_in_worker
from mmdx.types import Batch, Item, Transform


class ModalityDropout:
    """In training, take each modality away from a sample with a given probability, never the last one (ModDrop: Neverova et al.
    2016, arXiv:1501.00102, section 4.3).

    Args:
        rate: probability for every modality, or one for each by name; 0 to below 1.
        start: the probability in the first epoch (one for every modality), from which it goes in a straight line to the rate.
        epochs: that it takes; 0 keeps to the rate from the first.
    """

    def __init__(self, rate: float | Mapping[str, float] = 0.0, start: float = 0.0, epochs: int = 0) -> None:
        self.rate = dict(rate) if isinstance(rate, Mapping) else rate
        for value in self.rate.values() if isinstance(self.rate, dict) else [self.rate]:
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise InputError(f"training.modality_dropout={rate}: must be at least 0 and below 1.")
        if not isinstance(start, int | float) or not 0 <= start < 1:
            raise InputError(f"training.modality_dropout.start={start}: must be at least 0 and below 1.")
        if not isinstance(epochs, int) or epochs < 0:
            raise InputError(f"training.modality_dropout.epochs={epochs}: must be a whole number, 0 or more.")
        self.start, self.epochs = start, epochs

    def rates(self, names: Sequence[str], epoch: int) -> np.ndarray:
        """The probability of each of the named modalities in an epoch, the first being 0."""
        rates = np.array([self.rate.get(m, 0.0) if isinstance(self.rate, dict) else self.rate for m in names])
        done = min(epoch / self.epochs, 1.0) if self.epochs else 1.0
        return rates if done == 1.0 else self.start + (rates - self.start) * done

    def __call__(self, there: list[str], rng: np.random.Generator, epoch: int = 0) -> list[str]:
        """The modalities that stay, of those that a sample has. Where all would go, one of them, drawn evenly, stays."""
        draws = rng.random(len(there))
        last = int(rng.integers(len(there)))
        stays = [m for m, rate, draw in zip(there, self.rates(there, epoch), draws, strict=True) if draw >= rate]
        return stays or [there[last]]

    def many(self, present: Mapping[str, np.ndarray], rng: np.random.Generator, epoch: int = 0) -> dict[str, np.ndarray]:
        """The same for many samples at once: of each modality whether it stays, bool [n], from whether the sample has it, bool [n]."""
        names = sorted(present)
        there = np.stack([present[m] for m in names], axis=1)
        rates = self.rates(names, epoch)
        if not rates.any():
            return dict(present)
        stays = there & (rng.random(there.shape) >= rates)
        one = np.where(there, rng.random(there.shape), -1.0).argmax(axis=1)  # drawn evenly of those that are there
        lost = ~stays.any(axis=1) & there.any(axis=1)
        stays[lost, one[lost]] = True
        return {m: stays[:, k] for k, m in enumerate(names)}


class Examples(TorchDataset[Example]):
    """Examples by ``(epoch, row)``; what is random is drawn from (seed, epoch, row), and epoch -1 draws nothing.

    Args:
        cohort: where prepared inputs come from.
        transforms: fitted, one a modality; only these modalities are read.
        target: encoded targets of all rows of the data set, [n] or [n, K].
        seed: the run's seed.
        dropout: takes modalities away in training.
    """

    def __init__(
        self, cohort: PreparedCohort, transforms: Mapping[str, Transform], target: np.ndarray, seed: int, dropout: ModalityDropout
    ) -> None:
        self.cohort, self.transforms, self.target, self.seed, self.dropout = cohort, dict(transforms), target, seed, dropout

    @property
    def in_memory(self) -> bool:
        """Whether prepared inputs are kept in memory."""
        return bool(self.cohort.kept)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        prepared = self.cohort[index]
        names = sorted(self.transforms)
        there = [m for m in names if prepared[m]]
        rng = np.random.default_rng([self.seed, epoch, index]) if epoch >= 0 else None
        if rng is not None:
            there = self.dropout(there, rng, epoch)
        items = {m: _items(self.transforms[m], prepared[m], rng) if m in there else [] for m in names}
        return Example(index, items, self.target[index])


def _items(transform: Transform, bag: list, rng: np.random.Generator | None) -> list[Item]:
    items: list[Item] = []
    for prepared in bag:
        made = transform(prepared, rng)
        items.extend(made if isinstance(made, list) else [made])
    return items


MOST_WORKERS = 8
"""Loader workers beyond which a GPU is not fed any faster, as a rule."""


def chosen_workers(in_memory: bool, on_gpu: bool, cores: int) -> int:
    """How many loader workers suit a machine: beside a GPU all cores but one; where the CPU itself trains, none for inputs that lie prepared in
    memory, since workers would take the cores from training, else one, which reads while the others compute.
    """
    if on_gpu:
        return max(1, min(MOST_WORKERS, cores - 1))
    return 0 if in_memory or cores == 1 else 1


def loader(examples: Examples, sampler: EpochSampler, batch_size: int, num_workers: int | None, pin_memory: bool = False) -> DataLoader[Batch]:
    """A loader of batches. The number of workers, None choosing one for the machine, changes the speed and nothing else.

    PyTorch gives each worker one thread. Batches for a GPU lie in pinned memory (``pin_memory``). The loader draws the seeds of its workers, which
    nothing uses, from a generator of its own: drawn from the global one, they would shift the model's dropout by how many workers and epochs
    there were.
    """
    if num_workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        num_workers = chosen_workers(examples.in_memory, pin_memory, max(1, cores // sampler.world))
    return DataLoader(
        examples,  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        generator=torch.Generator(),
        worker_init_fn=_leave_to_the_parent,
    )


def _leave_to_the_parent(worker: int) -> None:
    """A forked worker's garbage collector passes over what it inherits: to look at it would copy the pages that it lies on. Signals that announce
    the end of a job are the parent's to answer.
    """
    gc.freeze()
    ignore_in_worker()
