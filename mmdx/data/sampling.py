"""In what order samples are drawn: a function of (seed, epoch), so that workers and restarts change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def shuffled(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every sample once, in random order: positions 0 to n-1."""
    return rng.permutation(len(strata))


def balanced(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """n draws with replacement, each stratum equally often on average, from stratum labels [n]."""
    _, codes, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return rng.choice(len(strata), size=len(strata), p=1 / counts[codes] / len(counts))


def stratified(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every sample once, in random order but with each stratum spread evenly, so that any stretch has about its share of it."""
    drawn = rng.permutation(len(strata))
    _, codes, counts = np.unique(strata[drawn], return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    within = np.empty(len(strata))
    within[order] = np.arange(len(strata)) - np.repeat(counts.cumsum() - counts, counts)
    return drawn[np.argsort((within + rng.random(len(counts))[codes]) / counts[codes], kind="stable")]


ORDERS = {"shuffled": shuffled, "balanced": balanced, "stratified": stratified}


WINDOW = 50
"""Batches within which samples are sorted by length: enough for batches alike, few enough that each epoch draws others."""


def bucketed(positions: np.ndarray, sizes: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """The same draws, regrouped so that those of a batch are of like size.

    Draws are sorted within windows of so many batches, and the batches then shuffled; the last, incomplete batch stays as it was drawn. One without
    a size is put at that of any other, so that samples which lack the modality don't fill batches of their own.

    Args:
        positions: in random order, [n].
        sizes: of each position, [N], 0 where it has none.
        batch: draws of a batch, over all processes.
        rng: draws the order of the batches.
    """
    whole = len(positions) // batch * batch
    drawn, known = sizes[positions[:whole]].astype(float), sizes[sizes > 0]
    drawn += rng.random(whole)  # ties in random order
    if len(known):
        drawn[drawn < 1] = rng.choice(known, size=(drawn < 1).sum()) + rng.random((drawn < 1).sum())
    order = np.lexsort((drawn, np.arange(whole) // (WINDOW * batch)))
    batches = positions[:whole][order].reshape(-1, batch)
    return np.concatenate([rng.permutation(batches).reshape(-1), positions[whole:]])


class EpochSampler(Sampler[tuple[int, int]]):
    """Draws ``(epoch, index)``: the epoch travels with the index, so a loader worker holds no state of its own.

    Args:
        indices: rows of the data set, [n].
        order: "shuffled", "balanced" or "stratified" (by ``strata``), or None for the rows as they come, without augmentation (epoch -1).
        strata: labels [n] that ``balanced`` draws evenly.
        seed: the run's seed.
        rank, world: this process's share is every ``world``-th draw from ``rank`` on, so that the batches of all ranks together are those of one
            process with batches ``world`` times as large. Where the last of these has fewer draws than there are ranks it is filled up from the
            start, so that each rank has as many batches; a reader of evaluation rows drops what it has seen.
        sizes: of the rows' inputs of one modality, [n], by which each batch of ``batch_size`` is made alike; None leaves the order.
        batch_size: of one process.

    Attributes:
        skip: so many of this process's draws are left out the next time, those that a stopped run has taken.
    """

    def __init__(
        self,
        indices: np.ndarray,
        order: str | None,
        strata: np.ndarray | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        sizes: np.ndarray | None = None,
        batch_size: int = 1,
    ) -> None:
        self.indices, self.order, self.seed, self.rank, self.world = np.asarray(indices), order, seed, rank, world
        self.strata = np.zeros(len(self.indices), int) if strata is None else np.asarray(strata)
        self.sizes, self.batch_size = sizes, batch_size
        self.epoch = self.skip = 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-(self._total - self.rank) // self.world)

    @property
    def _total(self) -> int:
        """Draws of all ranks."""
        left = len(self.indices) % (self.world * self.batch_size)
        return len(self.indices) + (self.world - left if 0 < left < self.world else 0)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if self.order is None:
            positions, epoch = np.arange(len(self.indices)), -1
        else:
            rng = np.random.default_rng([self.seed, self.epoch])
            positions, epoch = ORDERS[self.order](self.strata, rng), self.epoch
        positions = np.resize(positions, self._total)
        if self.order is not None and self.sizes is not None:
            positions = bucketed(positions, self.sizes, self.batch_size * self.world, rng)
        skip, self.skip = self.skip, 0
        return ((epoch, int(i)) for i in self.indices[positions[self.rank :: self.world][skip:]])
