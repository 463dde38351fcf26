"""What each modality is worth: its Shapley value in the game whose players are the modalities and whose payoff is the model's metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import factorial

import numpy as np

from mmdx.evaluation.metrics import Statistic

WORTH = ("auroc", "auprc")


def shapley_values(payoff: Mapping[frozenset[str], float | np.ndarray]) -> dict[str, np.ndarray]:
    """The Shapley value of each player (Shapley 1953, A Value for n-Person Games), exact, from the payoff of every coalition.

    ``phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))``. The values sum to v(all) - v(none); players whose part is the
    same have the same value; one that never changes the payoff has 0.

    Args:
        payoff: of each of the 2^n coalitions, the empty one included, a number or an array of several games' payoffs.

    Raises:
        KeyError: where a coalition is missing.
    """
    players = sorted(frozenset().union(*payoff))
    n = len(players)
    values = {}
    for player in players:
        total: np.ndarray | float = 0.0
        for coalition, worth in payoff.items():
            if player not in coalition:
                size = len(coalition)
                weight = factorial(size) * factorial(n - size - 1) / factorial(n)
                total = total + weight * (np.asarray(payoff[coalition | {player}]) - worth)
        values[player] = np.asarray(total, dtype=np.float64)
    return values


class ShapleyMetrics:
    """Shapley values of modalities under row weights, under ``MODALITY|METRIC``, and what they sum to, under ``|METRIC``.

    The payoff of the empty set is what a model without input has: 0.5 for AUROC, the prevalence under the same weights for average precision.

    Args:
        of_subset: of each set of modalities but the empty one a statistic with the metrics named, all over the same rows.
        target: [n] of 0 and 1, of those rows.
        unit: number of the unit of each row, [n].
        names: of ``auroc`` and ``auprc``.
    """

    def __init__(
        self, of_subset: Mapping[frozenset[str], Statistic], target: np.ndarray, unit: np.ndarray, names: Sequence[str] = WORTH
    ) -> None:
        self.of_subset, self.names = dict(of_subset), tuple(names)
        self.rows, self.cases = np.bincount(unit).astype(float), np.bincount(unit, weights=target)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each modality and metric."""
        own = counts[: len(self.rows)]
        chance = {"auroc": np.full(counts.shape[1], 0.5), "auprc": (self.cases @ own) / (self.rows @ own)}
        payoffs = {subset: statistic(counts) for subset, statistic in self.of_subset.items()}
        found: dict[str, np.ndarray] = {}
        for name in self.names:
            payoff = {frozenset[str](): chance[name], **{subset: values[name] for subset, values in payoffs.items()}}
            values = shapley_values(payoff)
            found |= {f"{modality}|{name}": value for modality, value in values.items()}
            found[f"|{name}"] = sum(values.values(), np.zeros(counts.shape[1]))
        return found
