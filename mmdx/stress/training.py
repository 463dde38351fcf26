"""Models trained as the run's were, but on patients of whom some modalities are absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmdx.cells import Cell
from mmdx.data.prepare import Prepared, PreparedCohort
from mmdx.stress.missingness import EVERY, absence, uniforms
from mmdx.study import Study
from mmdx.training.fit import TrainedModel, fit_model

DRAW = -1
"""The draw of what is absent in training, which no draw of a test sweep is."""


class Thinned(PreparedCohort):
    """A prepared cohort in which some rows have lost some modalities for good.

    Args:
        source: the whole cohort.
        lost: of such rows the modalities that they have lost.
    """

    def __init__(self, source: PreparedCohort, lost: Mapping[int, frozenset[str]]) -> None:
        self.__dict__.update(source.__dict__)
        self.whole, self.lost = source, lost
        names = list(source.transforms)
        self.has = source.has.copy()
        for row, modalities in lost.items():
            self.has[row, [names.index(m) for m in modalities]] = False

    def __getitem__(self, index: int) -> Prepared:
        """The prepared inputs of one sample, of what is left to it."""
        prepared = self.whole[index]
        gone = self.lost.get(index, frozenset())
        return {m: [] if m in gone else bag for m, bag in prepared.items()} if gone else prepared


def thinned(study: Study, cell: Cell, rate: float, seed: int) -> Thinned:
    """The study's cohort without a share of the modalities of a cell's training and validation rows, completely at random; who would have lost
    everything keeps one."""
    names = sorted(cell.modalities)
    has = np.stack([study.cohort.rows_with([m]) for m in names], axis=1)
    rows = np.concatenate([cell.fold.train, cell.fold.val])
    rows = rows[has[rows].any(axis=1)]
    drawn = uniforms(study.dataset.table["sample_id"].iloc[rows], names, seed, DRAW)
    stays = absence(EVERY, rate, DRAW, has[rows], np.zeros(len(rows), dtype=bool), drawn, names).stays
    gone = has[rows] & ~stays
    return Thinned(study.cohort, {int(row): frozenset(np.array(names)[mask].tolist()) for row, mask in zip(rows, gone, strict=True)})


def train_again(study: Study, cell: Cell, rate: float, seed: int, folder: Path) -> TrainedModel:
    """One model of the run, trained by the same recipe where a share of the training modalities is absent.

    Args:
        study: the run's, prepared.
        cell: which model.
        rate: the share.
        seed: of what is absent.
        folder: takes the model.
    """
    cohort = thinned(study, cell, rate, seed)
    has = cohort.rows_with(cell.modalities)
    train, val = (part[has[part]] for part in (cell.fold.train, cell.fold.val))
    plan = replace(study.training, trainer={**study.training.trainer, "devices": 1, "strategy": "auto"})  # a sweep is one process
    return fit_model(folder, study.model, plan, cohort, study.target, train, val, cell.seed, f"{rate:g} absent ({cell.name})", False)
