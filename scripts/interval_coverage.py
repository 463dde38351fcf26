"""How often the reported 95 % intervals hold the truth, and how often the tests reject what is true, over simulated studies.

    python scripts/interval_coverage.py [--studies 1000] [--n 100 1000] [--only NAME ...] [--setting AUROC,PREVALENCE ...]
        [--design DESIGN ...] [--resamples 1000] [--seed 0] [--jobs 1]

A study has n rows of two models. Given the target, the scores of a model are normal with variance 1 and means that give its AUROC;
those of the second model correlate with the first one's (0.5) and have an AUROC that is 0.05 lower (or the same, for the tests). A
probability is the exact posterior, so every truth is known: in closed form, or by quadrature (AUPRC, Brier score). Designs:

    rows        each row is its own unit
    label       patients of 1 to 5 rows that share the target and half of the score's variance
    mixed       as label, but a row's target is the patient's own in 60 % of the rows only, else drawn anew
    label n     as label, with n patients instead of n rows; only at n = 100, as 100 rows are about 33 patients
    mixed n     as mixed, likewise

Intervals and p-values come from the functions that scores are made with (``intervals_of``, ``fairness.rates``, ``auroc_test``,
``bootstrap_test``). The difference of sensitivities (TPR gap) is between two groups of patients, in
studies where each has at least 10 units with positive rows. Printed for each cell: how often the interval holds the truth (or the test
rejects what is true at 5 %) with the 95 % Wilson interval of that share, how often the truth lies below and above the interval, its
mean width, how many studies had one. The last column is ``low`` or ``high`` where the share is outside 93 to 97 % (tests: 3 to 7 %),
``few`` where fewer than a fifth of the studies had an interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import expit, ndtr, ndtri

from mmdx.evaluation.delong import auroc_test
from mmdx.evaluation.fairness import rates
from mmdx.evaluation.interval_choice import bootstrap_test, intervals_of, linear_of, rarer_units
from mmdx.evaluation.intervals import replicates
from mmdx.evaluation.metrics import BinaryMetrics
from mmdx.evaluation.panels import Difference
from mmdx.evaluation.proportions import wilson

SETTINGS = ((0.75, 0.5), (0.75, 0.3), (0.9, 0.3), (0.9, 0.2))
DESIGNS = ("rows", "label", "mixed", "label n", "mixed n")
SHARED, SAME_TARGET, CORRELATION, DROP, SHIFT = 0.5, 0.6, 0.5, 0.05, 0.25
MOST_ROWS, ENOUGH = 5, 10
METRICS = ("auroc", "auprc", "sensitivity", "specificity", "balanced_accuracy", "brier")
DIFFERENCES = ("auroc", "auprc", "brier")
INTERVALS = (*METRICS, *(f"{name} difference" for name in DIFFERENCES), "tpr gap")
TESTS = ("delong test", "auroc bootstrap test", "auprc bootstrap test", "tpr gap test")
Record = dict[str, tuple[float, float, float] | float]


@dataclass(frozen=True)
class Cell:
    """What the studies are like."""

    design: str
    n: int
    auroc: float
    prevalence: float

    def patients(self, rng: np.random.Generator) -> np.ndarray:
        """The patient of each row."""
        if self.design == "rows":
            return np.arange(self.n)
        unit = np.repeat(np.arange(self.n), rng.integers(1, MOST_ROWS + 1, self.n))
        return unit if self.design.endswith("n") else unit[: self.n]


def shift_of(auroc: float) -> float:
    """Distance of the means of two normal distributions with variance 1."""
    return float(np.sqrt(2) * ndtri(auroc))


def posterior(score: np.ndarray, shift: float, prevalence: float) -> np.ndarray:
    return expit(np.log(prevalence / (1 - prevalence)) + shift * score - shift**2 / 2)


def truths(auroc: float, prevalence: float) -> dict[str, float]:
    """What each metric is in the population, with a threshold in the middle of the two means."""
    shift = shift_of(auroc)
    quantiles = (np.arange(200_000) + 0.5) / 200_000
    alarms = ndtr(-(shift - ndtri(quantiles)))
    up, down = (posterior(ndtri(quantiles) + mean, shift, prevalence) for mean in (shift, 0.0))
    brier = prevalence * np.mean((1 - up) ** 2) + (1 - prevalence) * np.mean(down**2)
    auprc = np.mean(prevalence * quantiles / (prevalence * quantiles + (1 - prevalence) * alarms))
    at_threshold = dict.fromkeys(("sensitivity", "specificity", "balanced_accuracy"), float(ndtr(shift / 2)))
    return {"auroc": auroc, "auprc": float(auprc), "brier": float(brier)} | at_threshold


def all_truths(cell: Cell) -> dict[str, float]:
    first, second = truths(cell.auroc, cell.prevalence), truths(cell.auroc - DROP, cell.prevalence)
    half = shift_of(cell.auroc) / 2
    gap = float(ndtr(half + SHIFT) - ndtr(half - SHIFT))
    return first | {f"{name} difference": first[name] - second[name] for name in DIFFERENCES} | {"tpr gap": gap}


def study(cell: Cell, wanted: set[str], rng: np.random.Generator, resamples: int) -> Record:
    """Limits and width of each interval, and p of each test, of one simulated study; {} where a class does not occur."""
    unit = cell.patients(rng)
    units, rows = int(unit[-1]) + 1, len(unit)
    drawn = rng.random(rows) < cell.prevalence
    own = (rng.random(units) < cell.prevalence)[unit]
    keep = np.ones(rows, bool) if cell.design.startswith("label") else rng.random(rows) < SAME_TARGET
    target = drawn if cell.design == "rows" else np.where(keep, own, drawn)
    if target.all() or not target.any():
        return {}
    shared = 0.0 if cell.design == "rows" else SHARED
    one, two, three = (np.sqrt(shared) * rng.normal(size=units)[unit] + np.sqrt(1 - shared) * rng.normal(size=rows) for _ in range(3))
    two, three = (CORRELATION * one + np.sqrt(1 - CORRELATION**2) * other for other in (two, three))
    group = rng.random(units)[unit] < 0.5
    shift, lower = shift_of(cell.auroc), shift_of(cell.auroc - DROP)
    score = shift * target + one
    prob = posterior(score, shift, cell.prevalence)
    seed = int(rng.integers(2**31))
    found: Record = {}
    if names := tuple(name for name in METRICS if name in wanted):
        threshold = np.full(rows, posterior(np.array(shift / 2), shift, cell.prevalence))
        for name, entry in intervals_of(BinaryMetrics(target, prob, unit, threshold, names), units, rows, resamples, seed).items():
            found[name] = entry.value, entry.low, entry.high
    if names := tuple(name for name in DIFFERENCES if f"{name} difference" in wanted):
        worse = posterior(lower * target + two, lower, cell.prevalence)
        pair = Difference(*(BinaryMetrics(target, p, unit, names=names) for p in (prob, worse)), names)
        for name, entry in intervals_of(pair, units, rows, resamples, seed).items():
            found[f"{name} difference"] = entry.value, entry.low, entry.high
    if wanted & set(TESTS[:3]):
        found |= _tests(target, prob, posterior(shift * target + three, shift, cell.prevalence), unit, wanted, resamples, seed)
    for name, apart in (("tpr gap", SHIFT), ("tpr gap test", 0.0)):
        if name in wanted:
            called = score + np.where(group, apart, -apart) >= shift / 2
            found |= _gap(name, target, called, group, unit, units)
    return found


def _tests(target: np.ndarray, one: np.ndarray, other: np.ndarray, unit: np.ndarray, wanted: set[str], resamples: int, seed: int) -> Record:
    names = ("auroc", "auprc") if "auprc bootstrap test" in wanted else ("auroc",)
    models = [BinaryMetrics(target, prob, unit, names=names) for prob in (one, other)]
    units, pair = int(unit[-1]) + 1, Difference(*models, names)
    found: dict[str, float | None] = {}
    if "delong test" in wanted:
        first, second = (linear_of(model, "auroc", units) for model in models)
        if first is not None and second is not None and not np.isnan(first.variance):
            found["delong test"] = auroc_test(first, second).p
    if wanted & set(TESTS[1:3]):
        value = {name: float(v[0]) for name, v in pair(np.ones((units, 1))).items()}
        draws, _ = replicates(pair, units, len(unit), resamples, seed)
        found |= {f"{name} bootstrap test": bootstrap_test(value[name], draws[name], rarer_units(pair, name) or units) for name in names}
    return {name: p for name, p in found.items() if name in wanted and p is not None}


def _gap(name: str, target: np.ndarray, called: np.ndarray, group: np.ndarray, unit: np.ndarray, units: int) -> Record:
    hits, rows = (
        np.stack([np.bincount(unit, weights=target & g & c, minlength=units) for g in (group, ~group)], axis=1)
        for c in (called, np.ones_like(called))
    )
    if (rows > 0).sum(axis=0).min() < ENOUGH:
        return {}
    found = rates([(hits, rows)])
    return {name: found.p_value() if name.endswith("test") else found.difference(0, 1)}


@dataclass(frozen=True)
class Line:
    """What a cell's studies say about one interval or test.

    Attributes:
        share: how often the interval holds the truth, or the test rejects.
        below, above: how often the truth lies below and above the interval; 0 for a test.
        width: mean width of the interval; 0 for a test.
        studies: how many had an interval or a p-value.
    """

    cell: Cell
    name: str
    share: float
    below: float
    above: float
    width: float
    studies: int

    def verdict(self, asked: int) -> str:
        """Whether the share is below or above its bar, or rests on too few of the studies asked for."""
        low, high = (0.03, 0.07) if self.name in TESTS else (0.93, 0.97)
        if self.studies < asked / 5:
            return "few"
        return "low" if self.share < low else "high" if self.share > high else ""


def measured(cell: Cell, wanted: set[str], studies: int, seed: int, resamples: int) -> list[Line]:
    """Every interval and test wanted, over a number of studies; the same seed gives the same studies whatever is wanted of them."""
    truth = all_truths(cell)
    found: dict[str, list] = defaultdict(list)
    for number in range(studies):
        rng = np.random.default_rng([seed, DESIGNS.index(cell.design), cell.n, round(1000 * cell.auroc), round(1000 * cell.prevalence), number])
        for name, record in study(cell, wanted, rng, resamples).items():
            found[name].append(record)
    lines = []
    for name in (*INTERVALS, *TESTS):
        if name in TESTS and found[name]:
            lines.append(Line(cell, name, float(np.mean(np.array(found[name]) < 0.05)), 0.0, 0.0, 0.0, len(found[name])))
        elif found[name]:
            _, low, high = np.array(found[name]).T
            low, high = low[~np.isnan(low)], high[~np.isnan(high)]
            below, above = float(np.mean(truth[name] < low)), float(np.mean(truth[name] > high))
            held = float(np.mean((low <= truth[name]) & (truth[name] <= high)))
            lines.append(Line(cell, name, held, below, above, float(np.mean(high - low)), len(low)))
    return lines


def cells(sizes: list[int], settings: list[tuple[float, float]]) -> Iterator[Cell]:
    for n, design, (auroc, prevalence) in product(sizes, DESIGNS, settings):
        if n <= 100 or not design.endswith(" n"):
            yield Cell(design, n, auroc, prevalence)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--n", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--only", nargs="+", choices=(*INTERVALS, *TESTS), metavar="NAME", help=f"of {', '.join((*INTERVALS, *TESTS))}")
    parser.add_argument("--setting", nargs="+", metavar="AUROC,PREVALENCE", help="such as 0.75,0.5")
    parser.add_argument("--design", nargs="+", choices=DESIGNS)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    settings = [(float(a), float(p)) for a, p in (s.split(",") for s in options.setting)] if options.setting else list(SETTINGS)
    wanted = set(options.only or (*INTERVALS, *TESTS))
    chosen = [cell for cell in cells(options.n, settings) if not options.design or cell.design in options.design]
    start = time.perf_counter()
    from joblib import Parallel, delayed

    print(f"{'':22}{'design':9}{'n':>5}{'AUROC':>7}{'prev.':>6}{'share':>8}  of it 95 %     below  above   width  studies")
    outside = checked = 0
    jobs = (delayed(measured)(cell, wanted, options.studies, options.seed, options.resamples) for cell in chosen)
    for lines in Parallel(n_jobs=options.jobs, return_as="generator")(jobs):
        for line in lines:
            cell, verdict = line.cell, line.verdict(options.studies)
            low, high = wilson(line.share, line.studies)
            told = f"{line.name:22}{cell.design:9}{cell.n:5d}{cell.auroc:7.2f}{cell.prevalence:6.2f}{line.share:8.1%}  "
            missed = f"{line.below:7.1%}{line.above:7.1%}{line.width:8.3f}" if line.name in INTERVALS else " " * 22
            print(f"{told}{f'{low:.1%}-{high:.1%}':13}{missed}{line.studies:9d}  {verdict}".rstrip(), flush=True)
            outside += verdict in ("low", "high")
            checked += verdict != "few"
    print(f"{checked} cells, {outside} outside the bars; {options.studies} studies each, {time.perf_counter() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
