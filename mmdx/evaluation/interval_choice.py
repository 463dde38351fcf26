"""Which interval a metric gets: one in closed form where there is one that covers, else one from the bootstrap; docs/intervals.md says why."""

from __future__ import annotations

from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import expit, logit, stdtr

from mmdx.evaluation import linear
from mmdx.evaluation.delong import auroc_limits, auroc_linear
from mmdx.evaluation.hybrid import hybrid_limits
from mmdx.evaluation.intervals import Interval, interval, replicates
from mmdx.evaluation.linear import Linear, Sums
from mmdx.evaluation.metrics import BinaryMetrics, Statistic
from mmdx.evaluation.panels import Difference, Mean, MulticlassMetrics, MultilabelMetrics
from mmdx.evaluation.proportions import proportion_limits

_means: WeakKeyDictionary[Mean, dict[tuple[str, int], Linear | None]] = WeakKeyDictionary()
"""What ``linear_of`` made of means over seeds, which every pair of a comparison asks for again."""


@runtime_checkable
class AsRatios(Protocol):
    """A statistic some of whose metrics are ratios of sums."""

    def as_ratios(self, name: str) -> list[Sums]:
        """A metric as the mean of ratios of sums; [] where it is none."""


RANKS = ("auroc", "balanced_accuracy", "macc")
"""The balanced accuracy is the AUROC of the decisions; of a difference of it the variance is DeLong's."""
RECALLS = ("balanced_accuracy", "macc", "mean recall")
"""Means of the shares of each class's rows that are decided rightly."""
PROPORTIONS = {"sensitivity": ("hits", "positives"), "specificity": ("rejections", "negatives")}
MIDDLE = (0.15865525393145707, 0.8413447460685429)
"""Shares of a normal distribution below -1 and 1 standard deviation."""
ROUNDING = 1e-13
"""Width up to which an interval is one of units that do not differ."""


def intervals_of(statistic: Statistic, units: int, rows: int, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Value and 95 % interval of each metric of a statistic; ``method`` says which interval it is.

    - "delong": AUROC, its means over seeds, sites, classes or labels, on the logit scale; differences, of balanced accuracies too, on the plain one.
    - "pairs": the AUROC where it is 1 or 0, see ``delong.auroc_limits``.
    - "hybrid": balanced accuracy, from Wilson's intervals of each class's recall; means over sites, classes or labels of which one is at 0 or 1.
    - "wilson": sensitivity, specificity, accuracy and other shares of rows, of the effective number of rows.
    - "ratio": Brier score, on the scale of the logarithm; differences and other means on the plain one; means of shares over labels on the logit one.
    - "logit bootstrap": AUPRC, see ``logit_bootstrap``.
    - "normal bootstrap": other differences, see ``normal_bootstrap``.
    - "bca" or "percentile": whatever is left, see ``intervals.interval``.

    Args: as ``intervals.bootstrap``.
    """
    value = {name: float(found[0]) for name, found in statistic(np.ones((units, 1))).items()}
    if units < 2:
        return {name: Interval(v) for name, v in value.items()}
    found = {name: closed_form(statistic, name, v, units) for name, v in value.items()}
    chosen = {name: own for name, own in found.items() if own is not None}
    if len(chosen) == len(value):
        return chosen
    draws, left_out = replicates(statistic, units, rows, resamples, seed)
    for name, v in value.items():
        if name not in chosen:
            chosen[name] = _resampled(statistic, name, v, draws[name], units) or interval(v, draws[name], left_out[name])
    return {name: chosen[name] for name in value}


def closed_form(statistic: Statistic, name: str, value: float, units: int) -> Interval | None:
    """The interval of a metric that needs no resamples; None where there is none."""
    estimate = None if np.isnan(value) else linear_of(statistic, name, units)
    if estimate is None:
        return None
    metric, alone = _metric(statistic, name)
    sums = _sums(_first(statistic), name)
    if sums and not sums[0].proportion and metric != "brier":
        method, limits = "ratio", linear.plain_limits(estimate)
    elif len(sums) == 1:
        method, limits = "wilson", proportion_limits(estimate)
    elif is_difference(statistic):
        method, limits = "delong" if metric in RANKS else "ratio", linear.plain_limits(estimate)
    elif (own := components(statistic, name, units)) and (metric in RECALLS or (len(own) > 1 and any(part.value in (0.0, 1.0) for part in own))):
        each = [auroc_limits(part) if metric == "auroc" else proportion_limits(part) for part in own]
        if any(found is None for found in each):
            return None
        method, limits = "hybrid", hybrid_limits(own, [found for found in each if found is not None])
    elif metric in RANKS:
        found = auroc_limits(estimate)
        if found is None:
            return None
        method, limits = "pairs" if estimate.value in (0.0, 1.0) else "delong", found
    elif metric == "brier":
        method, limits = "ratio", linear.log_limits(estimate) if value > 0 else (0.0, 0.0)
    elif alone:
        method, limits = "wilson", proportion_limits(estimate)
    elif 0 < value < 1:
        method, limits = "ratio", linear.logit_limits(estimate)
    else:
        return None
    if np.isnan(limits).any():
        return None
    low, high = limits if limits[1] - limits[0] > ROUNDING else (value, value)
    return Interval(value, low, high, method)


def _resampled(statistic: Statistic, name: str, value: float, draws: np.ndarray, units: int) -> Interval | None:
    rarer = rarer_units(statistic, name)
    if is_difference(statistic):
        return normal_bootstrap(value, draws, rarer or units)
    return logit_bootstrap(value, draws, rarer) if rarer else None


def logit_bootstrap(value: float, draws: np.ndarray, rarer: float) -> Interval | None:
    """An interval made on the logit scale: logit(value) -+ t S, S being half the distance of the two ``middle`` resamples on that scale, t of as many
    degrees of freedom as the rarer class has units, less one.

    For the area under the precision-recall curve, whose distribution is skewed (Boyd, Eng and Page 2013, ECML 8190:451). None where the value is 0
    or 1, or resamples are at the end of the scale or undefined too often.
    """
    low, high = middle(draws)
    if not 0 < value < 1 or rarer < 2 or not 0 < low <= high < 1:
        return None
    half = linear.quantile(rarer - 1) * (logit(high) - logit(low)) / 2
    limits = expit(logit(value) - half), expit(logit(value) + half)
    return Interval(value, float(limits[0]), float(limits[1]), "logit bootstrap", int(np.isnan(draws).sum()), len(draws))


def normal_bootstrap(value: float, draws: np.ndarray, rarer: float) -> Interval | None:
    """The interval value -+ t S, as ``logit_bootstrap`` on the metric's own scale, for differences, which are nearly symmetric.

    None where the resamples are undefined too often.
    """
    low, high = middle(draws)
    if np.isnan(value + low) or rarer < 2:
        return None
    half = linear.quantile(rarer - 1) * (high - low) / 2
    return Interval(value, float(value - half), float(value + half), "normal bootstrap", int(np.isnan(draws).sum()), len(draws))


def bootstrap_test(value: float, draws: np.ndarray, rarer: float) -> float | None:
    """The two-sided p-value of "the difference is 0": the level at which the interval of ``normal_bootstrap`` ends at 0; None where there is none.

    Args:
        value: the difference.
        draws: what it is in the resamples, [R].
        rarer: how many units have rows of the rarer class for the AUPRC, else how many there are.
    """
    low, high = middle(draws)
    if np.isnan(value + low) or rarer < 2:
        return None
    if high == low:
        return 1.0 if value == 0 else 0.0
    return float(2 * stdtr(rarer - 1, -2 * abs(value) / (high - low)))


def middle(draws: np.ndarray) -> tuple[float, float]:
    """The quantiles of resamples that lie one standard deviation from the middle of a normal distribution; their distance is twice
    the standard deviation, but single resamples far out have no influence on it. NaN where more than half of the resamples are undefined.
    """
    usable = draws[~np.isnan(draws)]
    if 2 * len(usable) < len(draws):
        return np.nan, np.nan
    low, high = np.quantile(usable, MIDDLE)
    return float(low), float(high)


def rarer_units(statistic: Statistic, name: str) -> float | None:
    """How many units have rows of the class that fewer have, of a metric that is an AUPRC; of several statistics the harmonic mean. Else None."""
    if isinstance(statistic, Mean):
        return _harmonic([rarer_units(part, name) for part in statistic.parts])
    if isinstance(statistic, Difference):
        return rarer_units(statistic.first, name)
    if isinstance(statistic, MultilabelMetrics):
        label = name.removeprefix("auprc_")
        labels = statistic.both if name == "auprc" else [label] if name.startswith("auprc_") and label in statistic.of_label else []
        return _harmonic([rarer_units(statistic.of_label[own], "auprc") for own in labels])
    if isinstance(statistic, MulticlassMetrics) and name == "auprc":
        return _harmonic([rarer_units(own, name) for own in statistic.one_against_rest])
    if isinstance(statistic, BinaryMetrics) and name == "auprc":
        return float(min((statistic.totals[kind] > 0).sum() for kind in ("positives", "negatives")))
    return None


def _harmonic(numbers: list[float | None]) -> float | None:
    known = [number for number in numbers if number]
    return len(known) / sum(1 / number for number in known) if known and len(known) == len(numbers) else None


def linear_of(statistic: Statistic, name: str, units: int) -> Linear | None:
    """A metric as a sum over units; None where it is not one, or undefined."""
    if isinstance(statistic, Mean):
        known = _means.setdefault(statistic, {})
        if (name, units) not in known:
            known[name, units] = linear.mean([linear_of(part, name, units) for part in statistic.parts])
        return known[name, units]
    if isinstance(statistic, Difference):
        return linear.difference(linear_of(statistic.first, name, units), linear_of(statistic.second, name, units))
    if isinstance(statistic, MultilabelMetrics):
        if name in statistic.names:
            return linear.mean([_of_binary(statistic.of_label[label], name, units) for label in statistic.both])
        metric, _ = _metric(statistic, name)
        return _of_binary(statistic.of_label[name.removeprefix(f"{metric}_")], metric, units)
    if isinstance(statistic, MulticlassMetrics):
        return _of_classes(statistic, name, units)
    if isinstance(statistic, BinaryMetrics):
        return _of_binary(statistic, name, units)
    return linear.mean([linear.ratio(_padded(own.above, units), _padded(own.below, units)) for own in _sums(statistic, name)])


def components(statistic: Statistic, name: str, units: int) -> list[Linear]:
    """The estimates that a metric is the plain mean of: recalls of classes, AUROCs of labels, classes or sites, each averaged over seeds; [] where
    there are none."""
    if isinstance(statistic, Mean):
        parts = [components(part, name, units) for part in statistic.parts]
        if len({len(part) for part in parts}) > 1 or not parts[0]:
            return []
        alike = all(np.array_equal(one.inside, two.inside) for part in parts for one, two in zip(part, parts[0], strict=True))
        means = [linear.mean(own) for own in zip(*parts, strict=True)] if alike else [own for part in parts for own in part]
        return [own for own in means if own is not None]
    if isinstance(statistic, MultilabelMetrics):
        if name in statistic.names:
            return [own for label in statistic.both for own in components(statistic.of_label[label], name, units)]
        metric, _ = _metric(statistic, name)
        return components(statistic.of_label[name.removeprefix(f"{metric}_")], metric, units)
    if isinstance(statistic, MulticlassMetrics) and name == "auroc":
        return [part for own in statistic.one_against_rest for part in components(own, name, units)]
    if isinstance(statistic, MulticlassMetrics) and name == "balanced_accuracy":
        found = [linear.ratio(_padded(right, units), _padded(every, units)) for right, every in statistic.of_class]
        return [own for own in found if own is not None] if statistic.several else []
    if isinstance(statistic, BinaryMetrics) and name in ("auroc", "balanced_accuracy", "macc", *PROPORTIONS):
        of = PROPORTIONS if name in ("balanced_accuracy", "macc") else (name,)
        estimates = [_of_binary(statistic, part, units) for part in of]
        return [own for own in estimates if own is not None] if all(estimates) else []
    return []


def _sums(statistic: Statistic, name: str) -> list[Sums]:
    """A metric as ratios of sums, of statistics that can say so; [] where it is none."""
    return statistic.as_ratios(name) if isinstance(statistic, AsRatios) else []


def _of_binary(statistic: BinaryMetrics, name: str, units: int) -> Linear | None:
    total = {kind: _padded(column, units) for kind, column in statistic.totals.items()}
    if name == "auroc":
        return auroc_linear(*statistic.ranked, units)
    if name in ("balanced_accuracy", "macc"):
        return _balanced(total)
    if name in PROPORTIONS:
        above, below = PROPORTIONS[name]
        return linear.ratio(total[above], total[below])
    return linear.ratio(total["error"], total["positives"] + total["negatives"]) if name == "brier" else None


def _balanced(total: dict[str, np.ndarray]) -> Linear | None:
    parts = [linear.ratio(total[above], total[below]) for above, below in PROPORTIONS.values()]
    if parts[0] is None or parts[1] is None:
        return None
    terms, inside = (np.concatenate([getattr(part, what) for part in parts]) for what in ("terms", "inside"))
    pairs = min(parts[0].units, parts[1].units, int(inside.any(axis=0).sum()) // 2)
    return Linear((parts[0].value + parts[1].value) / 2, terms / 2, inside, parts[0].rows + parts[1].rows, pairs)


def _of_classes(statistic: MulticlassMetrics, name: str, units: int) -> Linear | None:
    if name == "auroc":
        return linear.mean([_of_binary(own, name, units) for own in statistic.one_against_rest])
    if name == "balanced_accuracy":
        recalls = [linear.ratio(_padded(right, units), _padded(every, units)) for right, every in statistic.of_class]
        return linear.mean(recalls) if statistic.several else None
    above = {"accuracy": statistic.right, "brier": statistic.error}.get(name)
    return None if above is None else linear.ratio(_padded(above, units), _padded(statistic.rows, units))


def _padded(column: np.ndarray, units: int) -> np.ndarray:
    return np.pad(column, (0, units - len(column)))


def is_difference(statistic: Statistic) -> bool:
    """Whether a statistic is the difference of two, or the mean of such differences."""
    return isinstance(statistic, Difference) or (isinstance(statistic, Mean) and any(is_difference(part) for part in statistic.parts))


def _first(statistic: Statistic) -> Statistic:
    """The first of the statistics that a mean or difference is of."""
    while isinstance(statistic, Mean | Difference):
        statistic = statistic.parts[0] if isinstance(statistic, Mean) else statistic.first
    return statistic


def _metric(statistic: Statistic, name: str) -> tuple[str, bool]:
    """The metric without the label that it is of, and whether it is one proportion and not the mean of several labels' or classes'."""
    statistic = _first(statistic)
    if isinstance(statistic, MultilabelMetrics) and name not in statistic.names:
        own = (metric for metric in statistic.names if name.startswith(f"{metric}_"))
        return next(metric for metric in own if name.removeprefix(f"{metric}_") in statistic.of_label), True
    if isinstance(statistic, MulticlassMetrics) and name == "balanced_accuracy":
        return "mean recall", False
    return name, not isinstance(statistic, MultilabelMetrics)
