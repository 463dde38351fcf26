"""Statistics of several classes, labels, seeds or sites, put together from binary ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmdx.evaluation.metrics import BINARY, BinaryMetrics, Statistic

MULTICLASS = ("auroc", "auprc", "accuracy", "balanced_accuracy", "brier")


class MulticlassMetrics:
    """Metrics of one class among K.

    - ``auroc``, ``auprc``: mean over the classes that occur (and are not alone) of one class against the rest.
    - ``accuracy``, ``balanced_accuracy`` (mean recall over the classes that occur): of the class with the highest probability.
    - ``brier``: mean over rows of the sum over classes of (prob - target)^2, between 0 and 2 (Brier 1950).

    Args:
        target: [n] of 0 to K - 1.
        prob: [n, K].
        unit: [n] of 0 to C - 1.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        classes = np.unique(target)
        self.several = len(classes) > 1
        self.one_against_rest = [BinaryMetrics(target == k, prob[:, k], unit, names=("auroc", "auprc")) for k in classes if self.several]
        right = prob.argmax(axis=1) == target
        error = ((prob - np.eye(prob.shape[1])[target]) ** 2).sum(axis=1)
        clusters = int(unit.max()) + 1

        def total(column: np.ndarray) -> np.ndarray:
            return np.bincount(unit, weights=column, minlength=clusters)

        self.rows, self.right, self.error = total(np.ones(len(unit))), total(right), total(error)
        self.of_class = [(total(right & (target == k)), total(target == k)) for k in classes]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""

        def sums(column: np.ndarray) -> np.ndarray:
            return np.einsum("cr,c->r", counts[: len(column)], column)

        with np.errstate(invalid="ignore", divide="ignore"):
            rows = sums(self.rows)
            recall = np.stack([sums(right) / sums(every) for right, every in self.of_class])
            undefined = np.full(counts.shape[1], np.nan)
            ranked = [statistic(counts) for statistic in self.one_against_rest]
            return {
                "auroc": np.mean([r["auroc"] for r in ranked], axis=0) if ranked else undefined,
                "auprc": np.mean([r["auprc"] for r in ranked], axis=0) if ranked else undefined,
                "accuracy": sums(self.right) / rows,
                "balanced_accuracy": recall.mean(axis=0) if self.several else undefined,
                "brier": sums(self.error) / rows,
            }


class MultilabelMetrics:
    """Metrics of L labels: of each, under ``METRIC_LABEL``, and their mean over the labels with both classes, under ``METRIC``.

    Args:
        target: [n, L] of 0 and 1, NaN where unlabelled; such entries are left out.
        prob: [n, L].
        unit: [n] of 0 to C - 1.
        threshold: [n, L].
        labels: L names.
        names: which metrics.
    """

    def __init__(
        self,
        target: np.ndarray,
        prob: np.ndarray,
        unit: np.ndarray,
        threshold: np.ndarray,
        labels: Sequence[str],
        names: Sequence[str] = BINARY,
    ) -> None:
        self.names = tuple(names)
        self.of_label: dict[str, BinaryMetrics] = {}
        self.both: list[str] = []
        for k, label in enumerate(labels):
            known = ~np.isnan(target[:, k])
            self.of_label[label] = BinaryMetrics(target[known, k], prob[known, k], unit[known], threshold[known, k], self.names)
            if len(np.unique(target[known, k])) == 2:
                self.both.append(label)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        found = {label: statistic(counts) for label, statistic in self.of_label.items()}
        undefined = np.full(counts.shape[1], np.nan)
        mean = {name: np.mean([found[label][name] for label in self.both], axis=0) if self.both else undefined for name in self.names}
        return mean | {f"{name}_{label}": found[label][name] for name in self.names for label in found}


class Mean:
    """The mean over statistics of the same metrics, such as those of several seeds or sites; undefined where one of them is."""

    def __init__(self, parts: Sequence[Statistic]) -> None:
        self.parts = list(parts)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        found = [part(counts) for part in self.parts]
        return {name: np.mean([f[name] for f in found], axis=0) for name in found[0]}


class Difference:
    """First minus second, for the metrics named, under the same weights."""

    def __init__(self, first: Statistic, second: Statistic, names: Sequence[str]) -> None:
        self.first, self.second, self.names = first, second, tuple(names)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        first, second = self.first(counts), self.second(counts)
        return {name: first[name] - second[name] for name in self.names}


class Share:
    """What there was to find that a model found: (value - chance) / (oracle - chance) of each metric, under the same weights.

    Chance is 0.5 for AUROC, the prevalence for average precision, and the score of the prevalence for the Brier score. NaN where the oracle itself
    is no better.

    Args:
        model, oracle: with the metrics named.
        target: [n] of 0 and 1.
        unit: number of the unit of each row, [n].
        names: of ``auroc``, ``auprc`` and ``brier``.
    """

    def __init__(self, model: Statistic, oracle: Statistic, target: np.ndarray, unit: np.ndarray, names: Sequence[str]) -> None:
        self.model, self.oracle, self.names = model, oracle, tuple(names)
        self.rows, self.cases = np.bincount(unit).astype(float), np.bincount(unit, weights=target)

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Shares [R] of each metric."""
        found, best = self.model(counts), self.oracle(counts)
        prevalence = (self.cases @ counts) / (self.rows @ counts)
        chance = {"auroc": np.full(len(prevalence), 0.5), "auprc": prevalence, "brier": prevalence * (1 - prevalence)}
        shares = {}
        for name in self.names:
            whole = best[name] - chance[name]
            better = whole < -1e-9 if name == "brier" else whole > 1e-9
            shares[name] = np.where(better, (found[name] - chance[name]) / np.where(better, whole, 1.0), np.nan)
        return shares
