"""How often reported intervals hold the true value, on simulated cohorts where it is known.

    python scripts/known_answers.py [--cohorts 100] [--n 1000] [--seed 0] [--batches 1] [--only NAME ...]

Each cohort is drawn anew, predicted by a predictor whose distribution is known, and scored by ``mmdx.evaluation.score.score``; an answer
counts where the true value lies inside the 95 % interval that metrics.json reports. Of intervals that hold the truth with a probability of
0.95, 93 or more of 100 do so in 87 % of such experiments; ``--batches`` repeats all with other seeds.

fairness   Women's films and notes show nothing in 60 and 30 % of examinations, and the predictor is the true posterior with noise on its
           log-odds. Gap between the sexes in sensitivity, false positive rate and AUROC, of section groups: at the threshold 0.5, and at one
           that validation rows choose, whose truth is that of the threshold chosen.
missing    AUROC, average precision and Brier score of the true posterior given all modalities minus the same without the film, which 30 %
           lack: of all visits and of complete ones, of section differences.
shortcut   A predictor that trusts a mark on the film, which agrees with the diagnosis in 85 % of the visits of the training hospitals' mix
           and in half of those elsewhere. Its AUROC there minus its AUROC elsewhere, of section groups.
share      Share of the optimum of the posterior with noise on its log-odds, of section test.

The truths are closed forms or one-dimensional integrals: log-odds are mixtures of normals (docs/simulated.md), and noise widens each part.
``--check N`` prints beside them what one cohort of N visits has.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import binom

from mmdx.evaluation import score as scoring
from mmdx.evaluation.groups_section import section as groups_section
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.optimum import Population, Scores

FULL, WITHOUT = ("audio", "image", "text"), ("audio", "text")
NOISE, NOISE_STREAM = 1.0, 9_000_001
"""Standard deviation of what is added to the log-odds, and a stream that no cohort draws from."""
SILENT = {"column": "sex", "value": "F", "silent": {"image": 0.6, "text": 0.3}}
MARKED = 0.85


class Answer(NamedTuple):
    """A reported value and the true one.

    Attributes:
        name: what it is.
        truth: the true value.
        value, low, high: as reported.
    """

    name: str
    truth: float
    value: float
    low: float
    high: float


def table(cohort: SimulatedCohort, log_odds: np.ndarray, subset: tuple[str, ...] = FULL, split: str = "test") -> pd.DataFrame:
    """Predictions of one subset, for the visits that have some of it."""
    names = np.array(sorted(subset))
    there = np.stack([cohort.present[m] for m in names], axis=1)
    frame = pd.DataFrame(
        {
            "sample_id": cohort.table["sample_id"].to_numpy(),
            "patient_id": cohort.table["patient_id"].to_numpy(),
            "split": split,
            "modalities": "+".join(names),
            "present": ["+".join(names[row]) for row in there],
            "target": cohort.target,
            "prob": expit(log_odds),
        }
    )
    return frame[there.any(axis=1)]


def blurred(cohort: SimulatedCohort, seed: int, subset: tuple[str, ...] = FULL) -> np.ndarray:
    """Log-odds of the true posterior with normal noise."""
    return logit(cohort.posterior(subset)) + NOISE * np.random.default_rng([seed, NOISE_STREAM]).normal(size=len(cohort))


def widened(population: Population, noise: float = NOISE) -> Population:
    """The same visits under a predictor whose log-odds are the posterior's with normal noise: each part is that much wider."""
    wide = copy.copy(population)
    wide.cases, wide.controls = (s._replace(spread=np.hypot(s.spread, noise)) for s in (population.cases, population.controls))
    return wide


def moved(scores: Scores, step: float, agrees: float) -> Scores:
    """Log-odds to which a mark adds ``step`` with probability ``agrees``, and takes it away otherwise."""
    weight = np.concatenate([agrees * scores.weight, (1 - agrees) * scores.weight])
    return Scores(weight, np.concatenate([scores.mean + step, scores.mean - step]), np.concatenate([scores.spread] * 2))


def trusting(agrees: float) -> Population:
    """Complete visits under a predictor that takes a mark for right in 85 %, where it is right in a share ``agrees``."""
    marked, step = copy.copy(SimulatedCohort(2, FULL, missing=None, seed=1).population(FULL)), float(logit(MARKED))
    marked.cases, marked.controls = moved(marked.cases, step, agrees), moved(marked.controls, -step, agrees)
    return marked


def fairness(n: int, seed: int) -> Iterator[Answer]:
    """Gaps between the sexes."""
    cohort = SimulatedCohort(n, FULL, missing=None, subgroup=SILENT, seed=seed)
    women = cohort.visits.female
    wide = {sex: widened(cohort.population(FULL, np.flatnonzero(rows))) for sex, rows in (("F", women), ("M", ~women))}
    test = table(cohort, blurred(cohort, seed)).assign(meta_sex=cohort.table["meta_sex"])
    others = SimulatedCohort(max(n // 3, 100), FULL, missing=None, subgroup=SILENT, seed=seed + 500_000)
    validation = table(others, blurred(others, seed + 500_000), split="val").assign(meta_sex=others.table["meta_sex"])
    validation[["sample_id", "patient_id"]] = "v" + validation[["sample_id", "patient_id"]]
    for name, frame in (("at 0.5", test), ("at a threshold from validation", pd.concat([test, validation]))):
        metrics = scoring.score(frame, seed=seed)
        threshold = np.array([logit(metrics["threshold"]["offered"]["+".join(FULL)][0]["threshold"])])
        truths = {
            "tpr_gap": {sex: float(p.cases.above(threshold)[0]) for sex, p in wide.items()},
            "fpr_gap": {sex: float(p.controls.above(threshold)[0]) for sex, p in wide.items()},
            "auroc_gap": {sex: p.auroc() for sex, p in wide.items()},
        }
        gaps = metrics["groups"]["columns"]["sex"]["gaps"]
        for gap, truth in truths.items():
            if gap != "auroc_gap":
                yield signed(f"{gap} {name}", gaps[gap], truth, larger=int(gap != "fpr_gap"))
            elif name == "at 0.5":
                yield signed(gap, gaps[gap], truth)


def signed(name: str, entry: dict, truth: dict[str, float], larger: int = 1) -> Answer:
    """A gap of two groups, women minus men: metrics.json gives the larger minus the smaller value, and ``between`` the worst and the best group."""
    group = entry["between"][larger]
    sign = 1 if group == "F" else -1
    low, high = sorted(sign * entry[end] for end in ("low", "high"))
    return Answer(name, truth["F"] - truth["M"], sign * entry["value"], low, high)


def missing(n: int, seed: int) -> Iterator[Answer]:
    """What the film adds."""
    cohort = SimulatedCohort(n, FULL, missing={"image": 0.3}, seed=seed)
    frames = [table(cohort, logit(cohort.posterior(subset)), subset) for subset in (FULL, WITHOUT)]
    found = scoring.score(pd.concat(frames), seed=seed)["differences"]["offered"]["image"]
    complete = SimulatedCohort(2, FULL, missing=None, seed=1)
    for rows, of, entries in (("all visits", cohort, found), ("complete visits", complete, found["complete"])):
        both = [of.optimum(subset) for subset in (FULL, WITHOUT)]
        for metric in ("auroc", "auprc", "brier"):
            entry = entries[metric]
            yield Answer(f"{metric} gained by the film, {rows}", both[0][metric] - both[1][metric], entry["value"], entry["low"], entry["high"])


def shortcut(n: int, seed: int) -> Iterator[Answer]:
    """What trust in a mark costs where the mark says nothing."""
    cohort = SimulatedCohort(n, FULL, missing=None, marker=MARKED, later={"from_row": n // 2, "marker": 0.5}, seed=seed)
    step = float(logit(MARKED))
    trusted = np.where(cohort.visits.marker == 1, step, -step)
    log_odds = logit(cohort.posterior(FULL)) + np.where(cohort.later, trusted, 0.0)  # which counts the mark of the earlier visits only
    frame = table(cohort, log_odds).assign(meta_mix=np.where(cohort.later, "elsewhere", "as trained"))
    gap = scoring.score(frame, seed=seed)["groups"]["columns"]["mix"]["gaps"]["auroc_gap"]
    truth = {mix: trusting(agrees).auroc() for mix, agrees in (("as trained", MARKED), ("elsewhere", 0.5))}
    sign = 1 if gap["between"][1] == "as trained" else -1
    low, high = sorted(sign * gap[end] for end in ("low", "high"))
    yield Answer("AUROC lost with the shortcut", truth["as trained"] - truth["elsewhere"], sign * gap["value"], low, high)


def share(n: int, seed: int) -> Iterator[Answer]:
    """Share of the optimum."""
    cohort = SimulatedCohort(n, FULL, seed=seed)
    frame = table(cohort, blurred(cohort, seed)).assign(oracle=cohort.posterior(FULL))
    found = scoring.score(frame, seed=seed)["test"]["+".join(FULL)]
    best = cohort.population(FULL)
    reached, prevalence = widened(best).scores(), best.prevalence
    chance = {"auroc": 0.5, "auprc": prevalence, "brier": prevalence * (1 - prevalence)}
    for metric, optimum in best.scores().items():
        truth = (reached[metric] - chance[metric]) / (optimum - chance[metric])
        entry = found[metric]
        yield Answer(f"share of the optimum, {metric}", truth, entry["share_of_optimum"], entry["share_low"], entry["share_high"])


QUANTITIES: dict[str, Callable[[int, int], Iterator[Answer]]] = {"fairness": fairness, "missing": missing, "shortcut": shortcut, "share": share}


def held(quantity: str, cohorts: int, n: int, seed: int = 0) -> pd.DataFrame:
    """One row an answer: how many of the cohorts' intervals hold the truth (``held``), how many begin above and end below it, their mean
    ``width``, the mean truth, the mean error and its standard error."""
    with only_groups():
        answers = pd.DataFrame([answer for k in range(cohorts) for answer in QUANTITIES[quantity](n, seed + k)])
    answers["held"] = (answers["low"] <= answers["truth"]) & (answers["truth"] <= answers["high"])
    answers["above"], answers["below"] = answers["low"] > answers["truth"], answers["high"] < answers["truth"]
    answers["width"], answers["error"] = answers["high"] - answers["low"], answers["value"] - answers["truth"]
    found = answers.groupby("name", sort=False).agg(
        truth=("truth", "mean"), error=("error", "mean"), spread=("error", "sem"), width=("width", "mean"),
        held=("held", "sum"), above=("above", "sum"), below=("below", "sum"),
    )  # fmt: skip
    return found


@contextmanager
def only_groups() -> Iterator[None]:
    """For a while no sections but the one that is asked."""
    before = dict(scoring.SECTIONS)
    scoring.SECTIONS.clear()
    scoring.SECTIONS["groups"] = lambda scored, folder: groups_section(scored)
    try:
        yield
    finally:
        scoring.SECTIONS.clear()
        scoring.SECTIONS.update(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=100)
    parser.add_argument("--n", type=int, default=1000, help="visits of a cohort")
    parser.add_argument("--seed", type=int, default=0, help="of the first cohort; the others follow")
    parser.add_argument("--batches", type=int, default=1, help="repeat with the seeds after these")
    parser.add_argument("--only", nargs="*", choices=list(QUANTITIES), default=list(QUANTITIES))
    parser.add_argument("--check", type=int, metavar="N", help="beside each truth what one cohort of N visits has")
    given = parser.parse_args()
    if given.check:
        for quantity in given.only:
            with only_groups():
                for a in QUANTITIES[quantity](given.check, 10_000):
                    print(f"{quantity:9} {a.name:48} truth {a.truth:+.4f}  sample {a.value:+.4f} [{a.low:+.4f}, {a.high:+.4f}]", flush=True)
        return
    low, high = binom.interval(0.95, given.cohorts, 0.95)
    print(f"{given.cohorts} cohorts of {given.n} visits; with a probability of 0.95 each, {low:.0f} to {high:.0f} of them hold the truth (95 %)")
    for quantity in given.only:
        start, batches = time.perf_counter(), []
        for batch in range(given.batches):
            batches.append(held(quantity, given.cohorts, given.n, given.seed + batch * given.cohorts))
        for name, row in batches[0].iterrows():
            counts = " ".join(f"{int(found.loc[name, 'held']):4}" for found in batches)
            total = sum(int(found.loc[name, "held"]) for found in batches) / (given.cohorts * given.batches)
            print(
                f"{quantity:9} {name:48} truth {row['truth']:+.4f}  error {row['error']:+.4f} (se {row['spread']:.4f})  width {row['width']:.3f}  "
                f"held {counts}  = {total:.3f} of all; too high {int(row['above'])}, too low {int(row['below'])}",
                flush=True,
            )
        print(f"{quantity}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
