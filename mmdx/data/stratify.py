"""Dealing out samples to parts so that patients stay whole and labels and sites spread evenly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix, hstack

from mmdx.data.tables import as_classes

WEIGHTS = {"label": 1000, "stratum": 100, "row": 10, "site": 1}
"""How much a deviation counts at each level: far enough apart that a level decides between equals of the one before."""

BULK = 50_000
"""Groups above which those of equal content are dealt in bulk."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """What a split needs to know of a table.

    Attributes:
        groups: [n] the number of each row's patient, a row without one being a group of its own; G groups, numbered in the order of their
            first sample ids, so that the order of rows plays no part.
        first: [G] the row with the group's first sample id; its label and stratum are the group's.
        label: [n] the number of each row's label; of several labels the rarest positive one's, from the rarest of all.
        stratum: [n] the number of each row's label within its site.
        content: [G, F] what each group brings of what is to be spread evenly: rows of each label, stratum and site, and rows as such.
        weights: [F], from ``WEIGHTS``; of several labels the rarer ones count more.
        labels: [n] or [n, L].
        unit: what a group is called.
    """

    groups: np.ndarray
    first: np.ndarray
    label: np.ndarray
    stratum: np.ndarray
    content: csr_matrix
    weights: np.ndarray
    labels: np.ndarray
    unit: str

    @classmethod
    def of(cls, table: pd.DataFrame, labels: np.ndarray | None) -> Cohort:
        """The cohort of a data set's table; labels of None are the table's target."""
        groups, first = _groups(table)
        labels = _labels_of(table) if labels is None else np.asarray(labels)
        label = _numbers(labels) if labels.ndim == 1 else _rarest(labels == 1)
        site = _numbers(table["site"])
        stratum = _numbers(label * (site.max() + 1) + site)
        levels = {
            "label": _one_hot(label) if labels.ndim == 1 else csr_matrix(labels == 1, dtype=np.int64),
            "stratum": _one_hot(stratum),
            "site": _one_hot(site),
            "row": _one_hot(np.zeros(len(table), dtype=int)),
        }
        rarity = dict.fromkeys(WEIGHTS, np.ones(1, dtype=int)) | ({"label": _rarity(labels == 1)} if labels.ndim > 1 else {})
        return cls(
            groups=groups,
            first=first,
            label=label,
            stratum=stratum,
            content=hstack([_one_hot(groups).T.tocsr() @ level for level in levels.values()], format="csr"),
            weights=np.concatenate([np.full(level.shape[1], WEIGHTS[name]) * rarity[name] for name, level in levels.items()]),
            labels=labels,
            unit="patients" if table["patient_id"].notna().any() else "samples",
        )

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.first)

    @property
    def count(self) -> str:
        """The number of groups in words."""
        return f"{self.n_groups} {self.unit if self.n_groups != 1 else self.unit[:-1]}"


def _groups(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the number of its group, and of each group the row with its first sample id."""
    ids, known = table["sample_id"].astype(str), table["patient_id"].notna().to_numpy()
    owners = pd.factorize(table["patient_id"].astype(str))[0]
    owners[~known] = owners.max(initial=0) + 1 + pd.factorize(ids[~known])[0]
    by_id = pc.sort_indices(pa.array(ids)).to_numpy()
    numbered, unique = pd.factorize(owners[by_id])
    groups, first = np.empty(len(table), dtype=int), np.empty(len(unique), dtype=int)
    groups[by_id] = numbered
    first[numbered[::-1]] = by_id[::-1]  # the last one written is the first by id
    return groups, first


def _labels_of(table: pd.DataFrame) -> np.ndarray:
    classes = as_classes(table)
    return classes.to_numpy() if isinstance(classes, pd.Series) else classes.to_numpy(dtype=float, na_value=np.nan)


def _numbers(values: Iterable[Any]) -> np.ndarray:
    """Of each value its number in their sorted order, that of text where they aren't integers; a missing value is one like others."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return np.unique(values, return_inverse=True)[1]
    codes, unique = pd.factorize(pd.Series(values), use_na_sentinel=False)
    texts = np.array([str(None if pd.isna(value) else value) for value in unique])
    return np.unique(texts, return_inverse=True)[1][codes]


def _rarest(positive: np.ndarray) -> np.ndarray:
    """Of each row of [n, L] the rarest label that it has, numbered from the rarest of all, or L where it has none."""
    by_rarity = positive[:, np.argsort(positive.sum(axis=0), kind="stable")]
    return np.where(positive.any(axis=1), by_rarity.argmax(axis=1), positive.shape[1])


def _rarity(positive: np.ndarray) -> np.ndarray:
    """Of each label of [n, L] how many times rarer it is than the most frequent one: so a row too many counts relative to what there is."""
    count = np.maximum(positive.sum(axis=0), 1)
    return np.rint(count.max() / count).astype(int)


def _one_hot(codes: np.ndarray) -> csr_matrix:
    n = len(codes)
    return csr_matrix((np.ones(n, dtype=np.int64), codes, np.arange(n + 1)), shape=(n, codes.max() + 1))


def deal(cohort: Cohort, rows: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Deal out the groups of some rows to parts, so that each part has its share of every label, site and label within site.

    Large groups go first, then label by label and stratum by stratum, so that a stratum too small to be seen by itself is met as by
    systematic sampling. Above ``BULK`` groups those that bring the same are dealt first, to each part the whole number of them below its
    share, and what is left over goes one by one as in a small cohort.

    Args:
        rows: positions in the cohort, with all rows of each group.
        shares: of each part, summing to 1.
        rng: draws the order among equals.

    Returns:
        The part of each row of ``rows``.
    """
    owners = np.flatnonzero(np.bincount(cohort.groups[rows], minlength=cohort.n_groups))
    content, first = cohort.content[owners], cohort.first[owners]
    chance = rng.permutation(len(owners))
    stratum = rng.permutation(cohort.stratum.max() + 1)[cohort.stratum[first]]
    size = np.bincount(cohort.groups[rows], minlength=cohort.n_groups)[owners]
    part = _in_bulk(content, shares, chance) if len(owners) > BULK else np.full(len(owners), -1)
    order = np.lexsort((chance, stratum, cohort.label[first], -size))
    _one_by_one(part, order[part[order] < 0], content, cohort.weights, shares, rng)
    place = np.empty(cohort.n_groups, dtype=int)
    place[owners] = part
    return place[cohort.groups[rows]]


def _in_bulk(content: csr_matrix, shares: Sequence[float], chance: np.ndarray) -> np.ndarray:
    """Of each group its part, or -1: of m groups with the same content each part gets floor(m share), drawn by ``chance``."""
    kind = content @ np.random.default_rng(0).integers(2**62, size=content.shape[1])  # two contents have one number with chance 2**-64
    _, kind, count = np.unique(kind, return_inverse=True, return_counts=True)
    whole = np.floor(count[:, None] * np.asarray(shares)).astype(int)  # [K, P]
    runs = np.column_stack([whole, count - whole.sum(axis=1)])
    part = np.empty(len(kind), dtype=int)
    part[np.lexsort((chance, kind))] = np.repeat(np.tile([*range(len(shares)), -1], len(count)), runs.ravel())
    return part


def _one_by_one(
    part: np.ndarray, order: np.ndarray, content: csr_matrix, weights: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> None:
    """Give each group of an order to the part that lacks it most, and write it into ``part``, which says where the others are.

    That is the part with the least ``sum_f w_f c_f (2 n_f + c_f) / share``, n_f being what the part has of feature f, c_f what the group
    brings and w_f the feature's weight. For one feature and groups of one row this is Webster's (Sainte-Lague's) method of apportionment;
    for groups it is the greedy answer to multiway partitioning. Plain numbers, as arrays of so few are slower.
    """
    there = [np.asarray(content[part == p].sum(axis=0)).ravel() for p in range(len(shares))]
    has, weight = np.column_stack(there).tolist(), weights.tolist()  # of each feature what each part has
    starts, names, amounts, per_share = content.indptr.tolist(), content.indices, content.data, (1 / np.asarray(shares, dtype=float)).tolist()
    for group in order.tolist():
        at = slice(starts[group], starts[group + 1])
        brings = list(zip(names[at].tolist(), amounts[at].tolist(), strict=True))
        cost = [0] * len(shares)
        for name, amount in brings:
            factor = weight[name] * amount
            cost = [so_far + factor * (2 * n + amount) for so_far, n in zip(cost, has[name], strict=True)]
        relative = [value * by for value, by in zip(cost, per_share, strict=True)]
        bound = min(relative) * (1 + 1e-9)
        best = [p for p, value in enumerate(relative) if value <= bound]
        chosen = best[0] if len(best) == 1 else best[rng.integers(len(best))]
        part[group] = chosen
        for name, amount in brings:
            has[name][chosen] += amount
