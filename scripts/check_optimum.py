"""Compare the stated optimum of simulated cohorts with a second method: Bayes' rule written out for what each visit shows, and scores of a sample.

    python scripts/check_optimum.py [--samples 1000000] [SETTING ...]

For every subset of image, text and audio prints the AUROC, average precision, Brier score and information (bits) that is stated, and the largest
difference to those of the sample. The second method shares nothing with the first but the parameters: densities are multiplied over what is seen, the
coins of synergistic sources and the routes of the single presentation are summed over, and the scores are scikit-learn's.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mmdx.simulate.circumstances import Circumstance
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.latent import JOINT, KEY, Source, subsets

MODALITIES = ("image", "text", "audio")
SYNERGY = {"unique": {}, "redundant": {}, "synergistic": {"image+text": 0.5}}
MIXED = {"unique": {"image": 0.15, "text": 0.15, "audio": 0.1}, "redundant": {"image+text+audio": 0.1}, "synergistic": {"text+audio": 0.1}}
SETTINGS: dict[str, dict] = {
    "default": {},
    "complete": {"missing": {}},
    "rare": {"prevalence": 0.05, "information": {"unique": {"image": 0.08, "text": 0.05, "audio": 0.02}}},
    "redundant only": {"information": {"redundant": {"image+text+audio": 0.4}}},
    "synergistic only": {"information": SYNERGY, "missing": {}},
    "synergistic of three": {"information": {"synergistic": {"image+text+audio": 0.6}}},
    "mixed": {"information": MIXED},
    "single, unique": {"information": {"unique": {"image": 0.2, "text": 0.2, "audio": 0.2}}, "presentation": "single", "missing": {}},
    "single, mixed": {"information": MIXED, "presentation": "single"},
    "label noise": {"label_noise": 0.1},
    "missing at random": {"missing_odds": {"old": {"image": 5.0, "text": 0.2}}},
    "missing not at random": {"missing_odds": {"diseased": {"text": 5.0, "audio": 0.3}}},
    "hospitals": {"site_prevalence": [0.1, 0.4, 0.7], "missing_odds": {"sites": [1.0, 3.0, 0.2]}},
    "subgroup": {"silent": {"image": 0.2}, "subgroup": {"column": "sex", "value": "F", "silent": {"audio": 0.6}}},
    "marker": {"marker": 0.8, "later": {"from_row": 500_000, "marker": 0.3, "prevalence": 0.2}},
    "everything": {
        "information": MIXED,
        "presentation": "single",
        "label_noise": 0.05,
        "missing_odds": {"old": {"image": 3.0}, "diseased": {"text": 4.0}, "sites": [1.0, 2.0, 0.5]},
        "silent": {"audio": 0.2},
        "subgroup": {"column": "age_group", "value": "60 and over", "silent": {"image": 0.4}},
        "site_prevalence": [0.3, 0.4, 0.6],
        "marker": 0.7,
        "visits": [1, 2],
    },
}


def likelihood(cohort: SimulatedCohort, subset: tuple[str, ...], disease: int) -> np.ndarray:
    """P(all that is seen of the subset, what of it is missing | diagnosis, hospital, age, time), [n], up to a factor that both diagnoses share."""
    seen = {m: cohort.findings.shown[m] * np.where(cohort.telling[m], 1.0, np.nan)[:, None] for m in subset}
    sources = [source for source in cohort.model.sources if source.bits]
    densities = {source.name: density(source, seen, disease, len(cohort)) for source in sources}
    if cohort.model.presentation == JOINT:
        total = np.prod([d for d, _ in densities.values()], axis=0)
    else:
        total = np.zeros(len(cohort))
        anything = np.any([shown for _, shown in densities.values()], axis=0)
        for source in sources:
            value, shown = densities[source.name]
            hidden = ~anything & ~could_be_seen(source, cohort, subset)
            total += source.share * np.where(shown, value, np.where(hidden, 1.0, 0.0))
        total += np.where(anything, 0.0, 1 - sum(source.share for source in sources))
    rates = np.stack([presence(cohort, row_kind, subset, disease) for row_kind in circumstances(cohort)], axis=0)
    return total * np.choose(index_of_circumstance(cohort), rates) * marks(cohort, subset, disease)


def density(source: Source, seen: dict[str, np.ndarray], disease: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Density of what is seen of a source, [n], 1 where nothing is; and whether something is."""
    values = [seen[m][:, source.place[m]] if m in seen else np.full(n, np.nan) for m in source.modalities]
    mean = (disease - 0.5) * source.separation
    if source.kind != "synergistic":
        first = values[0]
        for other in values[1:]:
            first = np.where(np.isnan(first), other, first)
        return np.where(np.isnan(first), 1.0, norm.pdf(first, mean)), ~np.isnan(first)
    *keys, last = values
    total = np.zeros(n)
    for coins in product((-1, 1), repeat=len(keys)):  # coins of the keys that aren't seen are summed over
        agree = np.all([np.isnan(key) | (key == KEY * coin) for key, coin in zip(keys, coins, strict=True)], axis=0)
        told = np.where(np.isnan(last), 1.0, norm.pdf(last * np.prod(coins), mean))
        total += 0.5 ** len(keys) * agree * told
    return total, ~np.all(np.isnan(values), axis=0)


def could_be_seen(source: Source, cohort: SimulatedCohort, subset: tuple[str, ...]) -> np.ndarray:
    """Whether a source would show in what is there, had it been the patient's."""
    return np.any([cohort.telling[m] for m in source.modalities if m in subset] or [np.zeros(len(cohort), bool)], axis=0)


def circumstances(cohort: SimulatedCohort) -> list[Circumstance]:
    later = (False, True)
    return [Circumstance(*c) for c in product(range(cohort.settings.sites), (False, True), (False, True), later)]


def index_of_circumstance(cohort: SimulatedCohort) -> np.ndarray:
    old = cohort.visits.age >= 60
    return cohort.visits.site * 8 + old * 4 + cohort.member * 2 + cohort.later


def presence(cohort: SimulatedCohort, kind: Circumstance, subset: tuple[str, ...], disease: int) -> np.ndarray:
    """P(what is missing of the subset), [n]: every pattern of the modalities in use that agrees with it."""
    rates = cohort.circumstances.missing_in(kind, bool(disease))
    total = np.zeros(len(cohort))
    none = np.prod(list(rates.values())) / len(rates)
    for pattern in product((False, True), repeat=len(rates)):
        if any(pattern):
            there = dict(zip(rates, pattern, strict=True))
            agree = np.all([cohort.present[m] == there[m] for m in subset], axis=0)
            chance = np.prod([1 - rates[m] if there[m] else rates[m] for m in rates]) + (none if sum(pattern) == 1 else 0.0)
            total += agree * chance
    return total


def marks(cohort: SimulatedCohort, subset: tuple[str, ...], disease: int) -> np.ndarray:
    """P(the mark on the film), [n]; 1 where none is seen."""
    if cohort.settings.marker is None or "image" not in subset:
        return np.ones(len(cohort))
    later = cohort.settings.later.marker
    agrees = np.where(cohort.later, cohort.settings.marker if later is None else later, cohort.settings.marker)
    return np.where(cohort.present["image"], np.where(cohort.visits.marker == disease, agrees, 1 - agrees), 1.0)


def prevalence(cohort: SimulatedCohort) -> np.ndarray:
    settings = cohort.settings
    by_site = np.array(settings.site_prevalence or [settings.prevalence] * settings.sites)[cohort.visits.site]
    return by_site if settings.later.prevalence is None else np.where(cohort.later, settings.later.prevalence, by_site)


def posterior(cohort: SimulatedCohort, subset: tuple[str, ...]) -> np.ndarray:
    """P(target = 1), [n], by Bayes' rule."""
    before = prevalence(cohort)
    case, control = before * likelihood(cohort, subset, 1), (1 - before) * likelihood(cohort, subset, 0)
    disease = case / (case + control)
    return disease + cohort.label_noise * (1 - 2 * disease)


def compare(name: str, samples: int) -> dict[str, float]:
    """Print one setting; the largest difference of each score, and of the bits to those asked for where nothing but the findings tells."""
    setting = SETTINGS[name]
    cohort = SimulatedCohort(samples=samples, modalities=MODALITIES, **setting)
    complete = SimulatedCohort(samples=samples, modalities=MODALITIES, **setting | {"missing": None, "missing_odds": None})
    worst = dict.fromkeys(("auroc", "auprc", "brier", "bits"), 0.0)
    print(name)
    for subset in subsets(MODALITIES):
        has = np.any([cohort.present[m] for m in subset], axis=0)
        target, chance = cohort.target[has], np.round(posterior(cohort, subset)[has], 9)  # equal ones stay equal
        sample = {"auroc": roc_auc_score(target, chance), "auprc": average_precision_score(target, chance), "brier": brier_score_loss(target, chance)}
        stated = cohort.optimum(subset)
        before = complete.label_noise + (1 - 2 * complete.label_noise) * prevalence(complete)
        sample["bits"] = float((entropy(before) - entropy(posterior(complete, subset))).mean())  # given hospital, age and time
        stated["bits"] = cohort.information(subset)
        print(f"  {'+'.join(subset):18} " + "  ".join(f"{key} {stated[key]:.4f} ({sample[key] - stated[key]:+.4f})" for key in worst))
        worst = {key: max(worst[key], abs(sample[key] - stated[key])) for key in worst}
        if not set(setting) & {"label_noise", "site_prevalence", "marker", "silent", "subgroup"}:
            asked = abs(stated["bits"] - cohort.asked(subset))
            worst["bits"] = max(worst["bits"], asked)
    print("  largest difference: " + ", ".join(f"{key} {value:.4f}" for key, value in worst.items()))
    sys.stdout.flush()
    return worst


def entropy(p: np.ndarray | float) -> np.ndarray:
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of: {', '.join(SETTINGS)} (default: all)")
    parser.add_argument("--samples", type=int, default=1_000_000)
    given = parser.parse_args()
    if odd := [name for name in given.settings if name not in SETTINGS]:
        parser.error(f"{odd[0]}: no such setting")
    found = [compare(name, given.samples) for name in given.settings or SETTINGS]
    largest = ", ".join(f"{key} {max(one[key] for one in found):.4f}" for key in found[0])
    print(f"{len(found)} settings, 7 subsets, {given.samples} samples; largest difference: {largest}")


if __name__ == "__main__":
    main()
