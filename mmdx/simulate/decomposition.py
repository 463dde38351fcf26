"""Partial information decomposition of a yes-or-no target: what two modalities say both, each alone, and only together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

Channel = tuple[np.ndarray, np.ndarray]
"""P(x | y = 1) and P(x | y = 0) of the values x of what is seen, [K] each."""


class Decomposition(NamedTuple):
    """In bits; the four sum to the information of the pair, and ``redundant + unique`` to that of each modality.

    Attributes:
        redundant: what either says.
        unique_first: what only the first says.
        unique_second: what only the second says.
        synergistic: what only both together say.
    """

    redundant: float
    unique_first: float
    unique_second: float
    synergistic: float


def decompose(first: Channel, second: Channel, both: float, prevalence: float) -> Decomposition:
    """The decomposition of Bertschinger et al. 2014 (Entropy 16:2161), known as BROJA.

    Its union information is the least that any pair can say which has these two channels. A channel from a yes-or-no target is as good as
    its ROC curve: one can be made from another by noise where its curve lies nowhere above (Blackwell 1951). Every such pair has a curve above
    both, so above their concave hull; and the channel that has the hull for its curve makes both. So the least is what the hull says.

    Args:
        first, second: of what each modality shows.
        both: information of the two together, in bits.
        prevalence: P(y = 1).
    """
    one, two = (channel_information(*channel, prevalence) for channel in (first, second))
    union = channel_information(*_hull(first, second), prevalence)
    union = max(union, one, two)  # equal but for rounding where one curve lies above the other
    return Decomposition(one + two - union, union - two, union - one, both - union)


def decompose_joint(joint: np.ndarray) -> Decomposition:
    """The same of a joint distribution P(y, x1, x2), [2, K, L]."""
    prevalence = float(joint[1].sum())
    given = joint / joint.sum(axis=(1, 2), keepdims=True)
    both = channel_information(given[1].ravel(), given[0].ravel(), prevalence)
    return decompose((given[1].sum(axis=1), given[0].sum(axis=1)), (given[1].sum(axis=0), given[0].sum(axis=0)), both, prevalence)


def channel_information(case: np.ndarray, control: np.ndarray, prevalence: float) -> float:
    """Mutual information of the target and what a channel shows, in bits."""
    mixed = prevalence * case + (1 - prevalence) * control
    nats = prevalence * rel_entr(case, mixed).sum() + (1 - prevalence) * rel_entr(control, mixed).sum()
    return float(nats / np.log(2))


def _hull(first: Channel, second: Channel) -> Channel:
    """The channel whose ROC curve is the concave hull of both curves: the rises and runs of its pieces."""
    points = np.concatenate([_curve(*first), _curve(*second)])
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    kept: list[np.ndarray] = []
    for point in points:
        while len(kept) > 1 and _left_turn(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    steps = np.diff(np.array(kept), axis=0)
    return steps[:, 1], steps[:, 0]


def _curve(case: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Corners of the ROC curve, false positive rate and true positive rate, [K + 1, 2]."""
    order = np.argsort(-case / np.maximum(case + control, 1e-300), kind="stable")
    corners = np.stack([np.cumsum(control[order]), np.cumsum(case[order])], axis=1)
    return np.concatenate([np.zeros((1, 2)), corners / corners[-1]])


def _left_turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    return bool((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0)
