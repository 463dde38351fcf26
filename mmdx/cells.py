"""The models that a study is made of: which there are, what each is trained on, and what it is called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdx.data.splits import Fold
from mmdx.errors import InputError
from mmdx.training.predict import subset_name, subsets

MODELS = "models.json"


@dataclass(frozen=True)
class Cell:
    """One model of a study: its seed, its fold, and the modalities it is trained with."""

    seed: int
    fold: Fold
    modalities: tuple[str, ...]
    retrained: bool
    folds: int
    name: str


def every_cell(seeds: Sequence[int], folds: Sequence[Fold], modalities: Iterable[str], retrained: bool) -> Iterator[Cell]:
    """Every model of a study, in the order of training. A model is named by what tells it from the others, in letters that a folder's name may have.

    Args:
        seeds, folds: one model of all modalities for each of both.
        modalities: of the study.
        retrained: whether each subset of them has a model of its own as well.
    """
    taken: set[str] = set()
    everything, *fewer = subsets(modalities)
    for seed in seeds:
        for fold in folds:
            for chosen in (everything, *(fewer if retrained else ())):
                parts = [f"seed{seed}"] * (len(seeds) > 1) + [fold.name] * (len(folds) > 1) + [subset_name(chosen)] * (chosen != everything)
                yield Cell(seed, fold, chosen, chosen != everything, len(folds), plain_name("-".join(parts) or "model", taken))


def listed_cells(source: Path, modalities: Iterable[str], rows: np.ndarray) -> list[Cell]:
    """The models of a finished run, each to predict the same rows.

    Raises:
        InputError: where the folder holds none, or the list of them is damaged.
    """
    path = source / MODELS
    if not path.exists():
        raise InputError(f"{path}: no such file; {source} does not hold trained models.")
    none, full = np.array([], dtype=int), set(modalities)
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        folds = len({c["fold"] for c in listed})
        return [
            Cell(c["seed"], Fold(c["fold"], none, none, rows), tuple(c["modalities"]), set(c["modalities"]) != full, folds, c["name"])
            for c in listed
        ]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: damaged, not the list of models that a run writes; bring the run back from a copy, or train it again.") from None


def plain_name(name: str, taken: set[str]) -> str:
    """A name in letters, digits, ``.``, ``_`` and ``-`` that is not taken yet, and is from now on: sites may be called anything, folders not."""
    plain = stem = re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:80] or "model"
    number = 1
    while plain.casefold() in taken:  # some file systems take A and a for one
        number += 1
        plain = f"{stem}_{number}"
    taken.add(plain.casefold())
    return plain
