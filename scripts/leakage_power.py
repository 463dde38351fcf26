"""How often `mmdx data leakage` raises a false alarm, and how often it finds a leak of known size, on simulated cohorts.

    python scripts/leakage_power.py [--small] [--seeds 0 1 2]

Each cohort has patients of one to three rows, and everything that is asked at once: a text written with the diagnosis, a text and a number
known before, scanner, site, absence, a file's length, three further columns of the acquisition, and the site told from a text. A leak has its size
as the AUROC that the best use of it has, from its distribution. Where there is a leak it is in everything, but each is judged as if it
were the only one: Holm's correction counts all that was asked. Rates have exact (Clopper-Pearson) 95 % intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, ndtri
from scipy.stats import beta, binom

from mmdx.audit.leakage import Audit, judged
from mmdx.types import Sample

SIZES = {"none": 0.5, "small": 0.6, "moderate": 0.75, "large": 0.95}
COHORTS = {200: 15, 500: 6, 2000: 2}
"""Of each number of rows so many with each size of leak, and five times as many without one."""
PREVALENCES = (0.5, 0.2)
WORDS = np.array([f"word{chr(97 + i // 10)}{chr(97 + i % 10)}" for i in range(80)])
SIGNS = np.array([f"sign{chr(97 + i)}" for i in range(3)])
ROLES = {"report": "report", "history": "prior", "marker": "prior", "scanner": "acquisition"} | {f"setting{i}": "acquisition" for i in range(3)}
ASKED = {
    "report": "text written with the diagnosis", "history": "prior text", "marker": "prior number", "scanner": "acquisition column",
    "labs absent": "absence", "trace file (axis_0)": "file property", "site": "site", "site from history": "site told from a text",
}  # fmt: skip


def auroc_of(ill: np.ndarray, well: np.ndarray) -> float:
    """AUROC of the best use of a thing of few values: P of each in the ill and in the well, in ascending order of their ratio."""
    return float(ill @ (np.cumsum(well) - well / 2))


def tilted(strength: float, levels: int) -> np.ndarray:
    """P of each of a few values, even where the strength is 0."""
    p = np.exp(strength * np.linspace(-1, 1, levels))
    return p / p.sum()


def strength_of(size: float, auroc: Callable[[float], float]) -> float:
    """The strength that has an AUROC."""
    return 0.0 if size == 0.5 else float(brentq(lambda strength: auroc(strength) - size, 0, 20))


def column(sick: np.ndarray, size: float, levels: int, rng: np.random.Generator) -> np.ndarray:
    """A value of 0 to ``levels`` - 1 for each of [n] ill (1) and well (0)."""
    strength = strength_of(size, lambda s: auroc_of(tilted(s, levels), tilted(-s, levels)))
    return np.where(sick == 1, rng.choice(levels, len(sick), p=tilted(strength, levels)), rng.choice(levels, len(sick), p=tilted(-strength, levels)))


def number(sick: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A normal number, shifted in the ill."""
    return rng.standard_normal(len(sick)) + np.sqrt(2) * ndtri(size) * sick


def notes(sick: np.ndarray, size: float, rng: np.random.Generator, signs: np.ndarray = SIGNS) -> list[str]:
    """Texts of twelve words that mean nothing and of signs, each more frequent in the ill."""
    count = np.arange(len(signs) + 1)
    strength = strength_of(size, lambda s: auroc_of(binom.pmf(count, len(signs), expit(s)), binom.pmf(count, len(signs), expit(-s))))
    there = rng.random((len(sick), len(signs))) < expit(strength * (2 * sick - 1))[:, None]
    return [" ".join(rng.permutation([*rng.choice(WORDS, 12), *signs[row]])) for row in there]


class Planted:
    """A cohort with a leak of one size in everything.

    Args:
        rows: of the cohort, dealt out to patients one, two or three at a time.
        prevalence: of the target among patients.
        size: of the leak, as an AUROC.
        rng: draws it.
    """

    modalities: tuple[str, ...] = ("history", "labs", "trace")

    def __init__(self, rows: int, prevalence: float, size: float, rng: np.random.Generator) -> None:
        groups = np.repeat(np.arange(rows), rng.integers(1, 4, rows))[:rows]
        patients = groups.max() + 1
        ill = rng.permutation(np.arange(patients) < round(prevalence * patients)).astype(int)
        sick, site = ill[groups], column(ill, size, 2, rng)
        names = [f"r{i}" for i in range(rows)]
        place = np.where(site == 1, "north", "south")[groups]
        self.table = pd.DataFrame({"sample_id": names, "patient_id": [f"p{g}" for g in groups], "site": place, "target": sick})
        where = notes(site[groups], size, rng, np.array([f"place{chr(97 + i)}" for i in range(3)]))
        self.history = [f"{a} {b}" for a, b in zip(notes(sick, size, rng), where, strict=True)]
        self.absent = column(sick, size, 2, rng) == 1
        self.length = np.round(200 + 20 * number(ill, size, rng)).clip(1).astype(int)[groups]
        scanner = column(ill, size, 3, rng)[groups].astype(str)
        self.record = pd.DataFrame({"report": notes(sick, size, rng), "marker": number(ill, size, rng)[groups], "scanner": scanner})
        for i in range(3):
            drawn = [rng.integers(0, 2, patients)[groups], rng.integers(0, 5, rows), rng.standard_normal(rows)][i]
            self.record[f"setting{i}"] = drawn if i == 2 else drawn.astype(str)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        inputs: dict[str, Any] = {"history": self.history[index], "trace": np.zeros(self.length[index], np.int8)}
        if not self.absent[index]:
            inputs["labs"] = {"unit": "new" if index % 2 else "old"}
        return Sample(inputs, int(self.table["target"][index]))


def alone(asked: list[dict[str, Any]], chosen: dict[str, Any]) -> str:
    """The verdict on one row, were it the only one that goes with the target."""
    others = [row if row is chosen or row["p"] is None else {**row, "p": 1.0} for row in asked]
    return str(judged(others)[asked.index(chosen)]["verdict"])


def exact(hits: Iterable[bool]) -> str:
    """A rate in per cent with its Clopper-Pearson interval."""
    drawn = np.array(list(hits))
    k, n = int(drawn.sum()), len(drawn)
    low, high = beta.ppf(0.025, k, n - k + 1) if k else 0.0, beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return f"{100 * k / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def cell(rows: int, prevalence: float, name: str, cohorts: int, seed: int) -> list[dict[str, Any]]:
    """Every question of some cohorts of one kind, with its verdict as the only leak, and whether anything was flagged that is none."""
    found = []
    for number_of in range(cohorts):
        rng = np.random.default_rng([seed, rows, round(100 * prevalence), list(SIZES).index(name), number_of])
        asked = list(Audit(Planted(rows, prevalence, SIZES[name], rng), ROLES, ["nothing"], number_of).asked())
        flagged = any(row["verdict"] != "ok" for row in judged(asked))
        for row in asked:
            about = {"rows": rows, "prevalence": prevalence, "size": name, "cohort": (seed, number_of), "flagged": flagged}
            found.append({**about, **{k: row[k] for k in ("feature", "role", "auroc", "low", "high")}, "verdict": alone(asked, row)})
    return found


def with_truth(found: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a question, and whether its interval holds what the probe has on average: 0.5 where there is nothing, else the mean of the cell."""
    frame = pd.DataFrame([row for row in found if row["feature"] in ASKED])
    mean = frame.groupby(["feature", "rows", "prevalence", "size"])["auroc"].transform("mean")
    truth = mean.where(frame["size"] != "none", 0.5)
    return frame.assign(
        holds=(frame["low"] <= truth) & (truth <= frame["high"]), flagged_alone=frame["verdict"] != "ok", leak=frame["verdict"] == "leak"
    )


def show(found: list[dict[str, Any]]) -> None:
    """Print the tables: by question and number of rows, the prevalences together; by prevalence; and of whole reports."""
    frame = with_truth(found)
    print("\nSuspect or leak, %, by size of leak; then how often the interval holds the probe's AUROC, %\n")
    heads = [f"{name}, {size}" for name, size in SIZES.items()]
    print("| asked | rows | " + " | ".join([*heads, "leak where large", "holds, none", "holds, leaks"]) + " |\n|" + "---|" * 9)
    for (feature, rows), part in frame.groupby(["feature", "rows"], sort=False):
        by_size = {name: part[part["size"] == name] for name in SIZES}
        cells = [exact(by_size[name]["flagged_alone"]) for name in SIZES] + [exact(by_size["large"]["leak"])]
        cells += [exact(by_size["none"]["holds"]), exact(part[part["size"] != "none"]["holds"])]
        print(f"| {ASKED[str(feature)]} | {rows} | {' | '.join(cells)} |")
    print("\n| asked | rows | prevalence | leak | cohorts | mean AUROC found | suspect or leak, % | leak, % | interval holds it, % |\n|" + "---|" * 9)
    for (feature, rows, prevalence, size), part in frame.groupby(["feature", "rows", "prevalence", "size"], sort=False):
        rates = " | ".join(exact(part[name]) for name in ("flagged_alone", "leak", "holds"))
        print(f"| {ASKED[str(feature)]} | {rows} | {prevalence} | {size} | {len(part)} | {part['auroc'].mean():.3f} | {rates} |")
    print("\nNothing is there: reports that flag anything, and single questions about a nuisance that are flagged, %\n")
    print("| rows | cohorts | reports | questions |\n|---|---|---|---|")
    nothing = pd.DataFrame(found).query("size == 'none'")
    for rows, part in [*nothing.groupby("rows"), ("all", nothing)]:
        reports = part.groupby(["rows", "prevalence", "cohort"])["flagged"].first()
        single = part[~part["role"].isin(["prior", "report"])]["verdict"] != "ok"
        print(f"| {rows} | {len(reports)} | {exact(reports)} | {exact(single)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one cohort of 200 rows of each kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each draws cohorts of its own and takes about 12 minutes of one core")
    given = parser.parse_args()
    cohorts = {200: 1} if given.small else COHORTS
    found = []
    for rows, count in cohorts.items():
        for prevalence in PREVALENCES:
            for name in SIZES:
                for seed in given.seeds:
                    found += cell(rows, prevalence, name, count * (5 if name == "none" and not given.small else 1), seed)
    show(found)


if __name__ == "__main__":
    main()
