"""Dealing out samples to parts so that patients stay whole and labels and sites spread evenly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack

WEIGHTS = {"label": 1000.0, "stratum": 100.0, "row": 10.0, "site": 1.0}
"""How much a deviation counts at each level: far enough apart that a level decides between equals of the one before."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """What a split needs to know of a table, in the order of its rows.

    Attributes:
        rank: of each row its place in the order of sample ids, so that the order of rows plays no part.
        groups: of each row the number of its patient; a row without one is a group of its own.
        label: of each row the number of its label; of several labels the rarest positive one's.
        stratum: of each row the number of its label within its site.
        features: [n, F] what is to be spread evenly: labels, strata, sites, and rows as such; each 0 or 1.
        weights: [F], from ``WEIGHTS``.
        labels: [n] or [n, L].
        unit: what a group is called.
    """

    rank: np.ndarray
    groups: np.ndarray
    label: np.ndarray
    stratum: np.ndarray
    features: csr_matrix
    weights: np.ndarray
    labels: np.ndarray
    unit: str

    @classmethod
    def of(cls, table: pd.DataFrame, labels: np.ndarray | None) -> Cohort:
        """The cohort of a data set's table; labels of None are the table's target."""
        ids = table["sample_id"].astype(str).to_numpy()
        known = table["patient_id"].notna().to_numpy()
        owners = [f"patient {p}" if k else f"sample {s}" for p, k, s in zip(table["patient_id"], known, ids, strict=True)]
        labels = _labels_of(table) if labels is None else np.asarray(labels)
        label = _numbers(labels) if labels.ndim == 1 else _rarest(labels == 1)
        site = _numbers(table["site"])
        stratum = _numbers(label * (site.max() + 1) + site)
        levels = {
            "label": _one_hot(label) if labels.ndim == 1 else csr_matrix(labels == 1, dtype=float),
            "stratum": _one_hot(stratum),
            "site": _one_hot(site),
            "row": _one_hot(np.zeros(len(table), dtype=int)),
        }
        weights = np.concatenate([np.full(level.shape[1], WEIGHTS[name]) for name, level in levels.items()])
        return cls(
            rank=np.argsort(np.argsort(ids, kind="stable"), kind="stable"),
            groups=_numbers(owners),
            label=label,
            stratum=stratum,
            features=hstack(list(levels.values()), format="csr"),
            weights=weights,
            labels=labels,
            unit="patients" if known.any() else "samples",
        )

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(set(self.groups.tolist()))

    @property
    def count(self) -> str:
        """The number of groups in words."""
        return f"{self.n_groups} {self.unit if self.n_groups != 1 else self.unit[:-1]}"


def _labels_of(table: pd.DataFrame) -> np.ndarray:
    if "target" in table:
        return table["target"].to_numpy()
    return table[[name for name in table.columns if name.startswith("target_")]].to_numpy(dtype=float, na_value=np.nan)


def _numbers(values: Iterable[Any]) -> np.ndarray:
    """Of each value its number in their sorted order; None and NaN are values like others."""
    plain = np.asarray(values) if isinstance(values, np.ndarray) and values.dtype.kind in "iu" else np.array([str(value) for value in values])
    return np.unique(plain, return_inverse=True)[1]


def _rarest(positive: np.ndarray) -> np.ndarray:
    """Of each row of [n, L] the rarest label that it has, or L where it has none."""
    rarity = np.where(positive, positive.sum(axis=0), len(positive) + 1)
    return np.where(positive.any(axis=1), rarity.argmin(axis=1), positive.shape[1])


def _one_hot(numbers: np.ndarray) -> csr_matrix:
    n = len(numbers)
    return csr_matrix((np.ones(n), (np.arange(n), numbers)), shape=(n, numbers.max() + 1))


def deal(cohort: Cohort, rows: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Deal out the groups of some rows to parts, so that each part has its share of every label, site and label within site.

    Groups go one by one, each to the part that lacks it most: that with the least ``sum_f w_f c_f (2 n_f + c_f) / share``, n_f being
    what the part has of feature f, c_f what the group brings and w_f the feature's weight. For one feature and groups of one row this is
    Webster's (Sainte-Lague's) method of apportionment; for groups it is the greedy answer to multiway partitioning. Large groups go first,
    then label by label and stratum by stratum, so that a stratum too small to be seen by itself is met as by systematic sampling.

    Args:
        rows: positions in the cohort.
        shares: of each part, summing to 1.
        rng: draws the order among equals.

    Returns:
        The part of each row of ``rows``.
    """
    owners, first, member = np.unique(cohort.groups[rows], return_index=True, return_inverse=True)
    n, rank = len(owners), cohort.rank[rows]
    content = csr_matrix((np.ones(len(rows)), (member, np.arange(len(rows)))), shape=(n, len(rows))) @ cohort.features[rows]  # [G, F]
    size = np.bincount(member, minlength=n)
    by_id = np.argsort(rank)  # a group's own label and place are those of its first row by sample id
    first[member[by_id[::-1]]] = by_id[::-1]
    chance = np.empty(n, dtype=int)
    chance[np.argsort(rank[first])] = rng.permutation(n)
    stratum = rng.permutation(cohort.stratum.max() + 1)[cohort.stratum[rows[first]]]
    has, per_share = np.zeros((len(shares), content.shape[1])), 1 / np.asarray(shares, dtype=float)
    part = np.empty(n, dtype=int)
    for group in np.lexsort((chance, stratum, cohort.label[rows[first]], -size)):
        at = slice(content.indptr[group], content.indptr[group + 1])
        names, brings = content.indices[at], content.data[at]
        cost = (cohort.weights[names] * brings * (2 * has[:, names] + brings)).sum(axis=1) * per_share
        best = np.flatnonzero(cost <= cost.min() * (1 + 1e-9))
        part[group] = best[rng.integers(len(best))]
        has[part[group], names] += brings
    return part[member]
