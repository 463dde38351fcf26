"""Every fusion on cohorts whose optimum is known, and on real films and notes: one table of what each finds, how sure that is, and what it costs.

    python scripts/fusion_benchmark.py --out benchmarks/fusion [--seeds 10] [--tune 0] [--cohorts synergy,missing] [--covid ROOT]

Simulated cohorts are features of a perfect encoder (data=simulated_features), so what a fusion misses is its own. "synergy": two modalities that say
nothing alone (experiment=fusion_synergy). "missing": both show one finding and one of their own, and each is missing in half of the patients
(experiment=fusion_missing). covid-cxr, where its folder is given: films and notes by frozen pretrained encoders (experiment=xray_text_features
data=covid_cxr). Each fusion is measured with the default settings of its YAML and, with --tune 8, tuned as well. For that every fusion and every
baseline gets the same number of settings, the default first and the others drawn from its own space conf/sweep/fusion/NAME.yaml (of
conf/sweep/heads.yaml where it has none), rates and decays the same draws for all. Each is trained with one seed; the one with the best AUROC on
validation rows is trained with all seeds. Test rows choose nothing. Seeds are trained at once where that is faster, fusions spread over processes,
and the same command goes on after a kill.

The table gives for each fusion the mean over seeds of the share of the optimum, (AUROC - 0.5) / (AUROC of the true posterior on the same rows - 0.5),
with a 95 % interval over seeds (initialisation and order) and patients like those tested (DeLong); the cohort that is trained on is one, and so is
the setting that was chosen: another seed or other validation rows might have chosen another, which the interval does not hold. On
"missing" and covid-cxr it gives the difference from concatenation with zeros in absent slots, tuned alike, paired by seed and patient. Where its
interval excludes 0 the difference is marked, with * where it stays so after Holm's correction over all fusions. Written to fusion_benchmark.md, .csv
and .svg, and what was tried to tuning.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from grid import combinations, config_of
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from scipy import stats
from sklearn.metrics import roc_auc_score

from mmdx.commands.hydra_app import config_folder, telling
from mmdx.errors import InputError
from mmdx.evaluation.delong import auroc_linear
from mmdx.evaluation.linear import Linear, difference, mean
from mmdx.evaluation.multiplicity import holm
from mmdx.files import write_atomically, write_json, write_text
from mmdx.fusion.base import FAMILIES
from mmdx.grid import TIMING, made, run_all
from mmdx.methods import described
from mmdx.methods import fusions as every_fusion

COHORTS = {
    "synergy": ("fusion_synergy", []),
    "missing": ("fusion_missing", []),
    "covid": ("xray_text_features", ["data=covid_cxr"]),
}
ZEROS = "concat, zeros"
"""Concatenation that knows nothing of absence: what methods made for it are measured against."""
EACH = "concat, retrained"
"""Concatenation, which of one modality is a network on that one; also trained on each modality alone, in the same folds."""


def plans(cohort: str, fusions: list[str], seeds: int, more: list[str]) -> dict[str, list[str]]:
    """The overrides of every run on a cohort, by name: each fusion, concatenation with zeros, and each modality alone."""
    experiment, extra = COHORTS[cohort]
    own = {"experiment": experiment, "fusion": ",".join(fusions), "seeds": str(seeds), "folds": "0", "out": "-"}
    given = [*extra, *more, "logger=none", "evaluation.resamples=100"]
    found = combinations(own, given)
    concat = combinations(own | {"fusion": "concat"}, given)["concat"]
    found[ZEROS] = [*concat, "fusion.absent=zeros"]
    found[EACH] = [*(word for word in concat if word != "ablation=none"), "ablation=retrained"]
    return found


def rows_of(runs: dict[str, list[str]]) -> dict[str, tuple[str, str]]:
    """Of each row of the table the run, and the modality that a model of it was trained on alone; "" for all."""
    return {name: (name, "") for name in runs if name != EACH} | {f"{m} alone": (EACH, m) for m in ("image", "text")}


@lru_cache
def space(name: str) -> list[list[str]]:
    """Every setting of a fusion's search space, as overrides; how it is trained comes first in each."""
    own = (Path(config_folder()) / "sweep" / "fusion" / f"{name}.yaml").exists()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        chosen = f"+sweep/fusion={name}" if own else "+sweep=heads"
        params = compose("train", overrides=[chosen], return_hydra_config=True).hydra.sweeper.params
    axes = OverridesParser.create().parse_overrides([f"{key}={values}" for key, values in params.items()])
    return [list(one) for one in itertools.product(*([f"{axis.key_or_group}={value}" for value in axis.sweep_string_iterator()] for axis in axes))]


def settings(overrides: list[str], budget: int) -> list[list[str]]:
    """What is tried of a run: the default, and settings drawn from its fusion's space that are not the default, in all ``budget`` or as many as there
    are. How a head is trained (conf/sweep/heads.yaml) is drawn in one order for all fusions, what it is made of in an order of its own.
    """
    fusion = fusion_of(overrides)
    there, cfg = space(fusion), config_of(overrides)
    common = len(space("")[0])
    base = [f"{key}={OmegaConf.select(cfg, key)}" for key in (word.partition("=")[0] for word in there[0])]
    trained, made_of = ([list(one) for one in dict.fromkeys(tuple(words[part]) for words in there)] for part in (slice(common), slice(common, None)))
    pairs = [trained[k] for k in np.random.default_rng(0).permutation(len(trained))]
    pairs.sort(key=lambda pair: pair == base[:common])  # the default's own last, or a fusion without settings would have other pairs
    heads = [made_of[k] for k in np.random.default_rng(zlib.crc32(fusion.encode())).permutation(len(made_of))]
    drawn = ([*pair, *heads[(number + turn) % len(heads)]] for turn in range(len(heads)) for number, pair in enumerate(pairs))
    return [[], *itertools.islice((words for words in drawn if words != base), budget - 1)]


def fusion_of(overrides: list[str]) -> str:
    return next(word.removeprefix("fusion=") for word in overrides if word.startswith("fusion="))


def tuned(out: Path, runs: dict[str, list[str]], budget: int, jobs: int | None) -> dict[str, tuple[Path, list[str]]]:
    """Of each row the folder of its run's best setting, trained with all seeds, and that setting; [] is the default, whose folder is taken."""
    tried = {}
    for run, overrides in runs.items():
        plain = [word for word in overrides if not word.startswith("seeds=")]
        for number, setting in enumerate(settings(overrides, budget)):
            tried[f"{run}/{number}"] = (run, setting, [*plain, *setting, "seeds=[0]"])
    run_all({key: out / "tuning" / key for key in tried}, {key: config_of(overrides) for key, (*_, overrides) in tried.items()}, jobs)
    scored = {
        name: [(auroc(out / "tuning" / key, "val", alone), setting) for key, (own, setting, _) in tried.items() if own == run]
        for name, (run, alone) in rows_of(runs).items()
    }
    write_json(out / "tuning.json", {name: [{"setting": setting, "val_auroc": value} for value, setting in own] for name, own in scored.items()})
    best = {name: (rows_of(runs)[name][0], max(own, key=lambda one: one[0])[1]) for name, own in scored.items()}
    again = {name: config_of([*runs[run], *setting]) for name, (run, setting) in best.items() if setting}
    run_all({name: out / "tuned" / name for name in again}, again, jobs)
    return {name: (out / "tuned" / name if setting else out / "default" / run, setting) for name, (run, setting) in best.items()}


def auroc(folder: Path, split: str, alone: str) -> float:
    """AUROC on a run's rows of a split, one seed."""
    own = predicted(folder, split, alone)
    return float(roc_auc_score(own["target"], own["prob"]))


def measured(folder: Path, alone: str, whole: Path) -> dict[int, tuple[Linear, Linear | None]]:
    """Of each seed AUROC on a run's test rows and, where the predictions of another hold the true posterior given all modalities, the share of that
    one's AUROC on the same rows; both with what each patient adds to them.
    """
    table, best = predicted(folder, "test", alone), predicted(whole, "test", "")
    if "oracle" in best:
        table["oracle"] = table["sample_id"].map(best.drop_duplicates("sample_id").set_index("sample_id")["oracle"])
    found = {}
    units = {unit: place for place, unit in enumerate(sorted(set(unit_of(best))))}
    for seed, own in table.assign(seed=table.get("seed", 0)).sort_values("sample_id").groupby("seed"):
        positive, unit = own["target"].to_numpy() == 1, unit_of(own).map(units).to_numpy()
        value = auroc_linear(positive, own["prob"].to_numpy(), unit, len(units))
        assert value is not None, "a test split has both classes"
        most = auroc_linear(positive, own["oracle"].to_numpy(), unit, len(units)) if "oracle" in own else None
        found[int(seed)] = (value, most and share_of(value, most))
    return found


def unit_of(table: pd.DataFrame) -> pd.Series:
    """The patient of each row, or its own id where patients aren't known."""
    return table["patient_id"].where(table["patient_id"].notna(), table["sample_id"]) if "patient_id" in table else table["sample_id"]


def share_of(value: Linear, most: Linear) -> Linear:
    """(value - 0.5) / (most - 0.5), to first order."""
    room = most.value - 0.5
    share = (value.value - 0.5) / room
    return replace(value, value=share, terms=(value.terms - share * most.terms) / room)


def predicted(folder: Path, split: str, alone: str) -> pd.DataFrame:
    """A run's rows of a split, of the models with all modalities or of those trained on one alone."""
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table[(table["split"] == split) & (table["ablation"] == ("retrained" if alone else "offered"))]
    several = table["modalities"].str.count(r"\+")
    return table[table["modalities"] == alone if alone else several == several.max()].copy()


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval, and the p-value of its being 0; NaN with one seed."""

    mean: float
    low: float
    high: float
    p: float


def estimate(parts: Sequence[Linear]) -> Estimate:
    """The mean over seeds for patients like those tested: its variance is that of the patients, the seeds taken together, and that of the seeds, by
    Student's t with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110).
    """
    values = np.array([part.value for part in parts])
    whole, centre = mean(list(parts)), float(values.mean())
    if len(values) < 2 or whole is None:
        return Estimate(centre, np.nan, np.nan, np.nan)
    seeds, patients = float(values.var(ddof=1) / len(values)), whole.variance
    total = seeds + patients
    if not total:
        return Estimate(centre, centre, centre, 1.0 if centre == 0 else 0.0)
    free = total**2 / (seeds**2 / (len(values) - 1) + patients**2 / whole.degrees_of_freedom)
    half = float(stats.t.ppf(0.975, free) * total**0.5)
    return Estimate(centre, centre - half, centre + half, float(2 * stats.t.sf(abs(centre) / total**0.5, free)))


def summarised(cohorts: dict[str, dict[str, dict[str, tuple[Path, list[str]]]]]) -> pd.DataFrame:
    """A row a fusion, from the folders of its runs by cohort, by "default" or "tuned"."""
    rows: dict[str, dict[str, Any]] = {}
    for cohort, versions in cohorts.items():
        for version, folders in versions.items():
            whole = folders[ZEROS][0]
            base = measured(whole, "", whole)
            for name, (folder, setting) in folders.items():
                alone = name.removesuffix(" alone") if name.endswith(" alone") else ""
                own, row, head = measured(folder, alone, whole), rows.setdefault(name, {"fusion": name}), f"{cohort}_{version}"
                told = estimate([auroc if cohort == "covid" else share for auroc, share in own.values()])
                row[head], row[f"{head}_low"], row[f"{head}_high"] = told.mean, told.low, told.high
                if not alone:  # which has fewer rows
                    gain = estimate([difference(auroc, base[seed][0]) for seed, (auroc, _) in own.items()])
                    row |= {f"{head}_gain{end}": getattr(gain, key) for end, key in (("", "mean"), ("_low", "low"), ("_high", "high"), ("_p", "p"))}
                row[f"{head}_setting"] = " ".join(setting)
                row[f"{head}_seconds"] = json.loads((folder / TIMING).read_text(encoding="utf-8"))["train and predict"]
    known = every_fusion(config_folder())
    for name, row in rows.items():
        if name in known:
            said = described(name, config_folder())
            row |= {"family": said.family, "reads": "tokens" if said.tokens else "their mean", "absence": said.absence, "parameters": said.parameters}
        else:
            row |= {"family": "baseline", "reads": "", "absence": "", "parameters": ""}
    for head in (f"{cohort}_{version}" for cohort, versions in cohorts.items() for version in versions):
        compared = [row for name, row in rows.items() if np.isfinite(row.get(f"{head}_gain_p", np.nan)) and name != ZEROS]
        for row, p in zip(compared, holm([row[f"{head}_gain_p"] for row in compared]), strict=True):
            row[f"{head}_gain_holm"] = float(p)
    order = ["baseline", *FAMILIES, ""]
    return pd.DataFrame(sorted(rows.values(), key=lambda row: (order.index(str(row["family"])), str(row["fusion"]))))


def markdown(table: pd.DataFrame, cohorts: dict[str, Any]) -> str:
    """The table for a page."""
    head, columns = ["fusion", "family"], []
    for cohort, versions in cohorts.items():
        for version in versions:
            head.append(f"{cohort}, {version}: {'AUROC' if cohort == 'covid' else 'share'}")
            columns.append((f"{cohort}_{version}", False))
            if cohort != "synergy":
                head.append(f"{cohort}, {version}: AUROC over zeros")
                columns.append((f"{cohort}_{version}", True))
    head.append("time, default")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table.to_dict("records"):
        cells = [f"`{row['fusion']}`" if row["family"] != "baseline" else str(row["fusion"]), str(row["family"])]
        for name, gain in columns:
            if gain:
                low, high = row[f"{name}_gain_low"], row[f"{name}_gain_high"]
                mark = " better" if low > 0 else " worse" if high < 0 else ""
                mark += " *" if mark and row[f"{name}_gain_holm"] < 0.05 else ""
                cells.append("-" if np.isnan(low) else f"{row[f'{name}_gain']:+.3f} ({low:+.3f} to {high:+.3f}){mark}")
            else:
                cells.append(f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})")
        cells.append(f"{sum(row[f'{cohort}_default_seconds'] for cohort in cohorts):.0f} s")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def facts(table: pd.DataFrame, cohorts: dict[str, Any]) -> str:
    """What the theory says of the simulated cohorts, and whether it is so."""
    fusions = table[table["family"] != "baseline"]
    able = (fusions["family"] == "multiplicative") | (fusions["reads"] == "tokens")
    decision, aware = fusions["family"] == "decision", fusions["absence"] == "design"

    def of(rows: pd.Series) -> str:
        return f"{rows.sum()} ({', '.join(f'`{name}`' for name in fusions.loc[rows, 'fusion'])})" if rows.any() else "0"

    lines = []
    for version in cohorts.get("synergy", ()):
        share = fusions[f"synergy_{version}"]
        chance = (fusions[f"synergy_{version}_low"] <= 0) & (fusions[f"synergy_{version}_high"] >= 0)
        lines += [
            f"- synergy, {version}: of {able.sum()} multiplicative and token methods {of(able & (share < 0.8))} find less than 0.8 of the optimum.",
            f"- synergy, {version}: of {decision.sum()} decision-level methods {of(decision & ~chance)} are not at chance (the interval excludes 0).",
        ]
    for version in cohorts.get("missing", ()):
        low, high = (fusions[f"missing_{version}_gain{side}"] for side in ("_low", "_high"))
        sure = fusions[f"missing_{version}_gain_holm"] < 0.05
        lines.append(
            f"- missing, {version}: of {aware.sum()} methods that handle absence by design {of(aware & (low > 0))} are better than concatenation "
            f"with zeros, {of(aware & (high < 0))} worse, {of(aware & (low <= 0) & (high >= 0))} not told apart from it. After Holm's correction "
            f"over all fusions {of(aware & (low > 0) & sure)} are better, {of(aware & (high < 0) & sure)} worse."
        )
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame, cohorts: dict[str, Any], path: Path) -> None:
    """Each fusion's share or AUROC with its interval, a panel a cohort; hollow marks are defaults, filled ones tuned."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "mmdx"
    figure, axes = plt.subplots(1, len(cohorts), figsize=(3.6 * len(cohorts) + 1.5, 0.22 * len(table) + 1.2), sharey=True, squeeze=False)
    place = np.arange(len(table))[::-1]
    kinds = {family: f"C{number}" for number, family in enumerate(dict.fromkeys(table["family"]))}
    for axis, (cohort, versions) in zip(axes[0], cohorts.items(), strict=True):
        for version, shift in zip(versions, (0.16, -0.16), strict=False):
            value, low, high = (table[f"{cohort}_{version}{side}"].to_numpy() for side in ("", "_low", "_high"))
            for family, colour in kinds.items():
                own = (table["family"] == family).to_numpy()
                bars = [value[own] - low[own], high[own] - value[own]]
                face, label = ("white", None) if version == "default" and len(versions) > 1 else (colour, family)
                axis.errorbar(value[own], place[own] + shift, xerr=bars, fmt="o", ms=3, lw=1, color=colour, mfc=face, label=label)
        axis.set(xlabel="AUROC" if cohort == "covid" else "share of the optimum", title=cohort)
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(place, table["fusion"], fontsize=7)
    axes[0][0].set_ylim(-1, len(table))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="lower center", ncols=min(len(labels), 4 * len(cohorts)))
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    plt.close(figure)


def benchmark(chosen: argparse.Namespace) -> None:
    known = every_fusion(config_folder())
    fusions = known if chosen.fusions == "all" else chosen.fusions.split(",")
    if chosen.tune == 1:
        raise InputError("--tune 1: one setting is the default alone; say 2 or more, or 0 for no tuning.")
    several = [part.input_line for part in OverridesParser.create().parse_overrides(chosen.overrides) if part.is_sweep_override()]
    if several:
        raise InputError(f"{several[0]}: one value for all runs is wanted; what is tried of each fusion is its own search space's.")
    for key, least, kind in (("seeds", 2, "for an interval over them"), ("tune", 0, "0 for none"), ("jobs", 1, "processes")):
        if getattr(chosen, key) is not None and getattr(chosen, key) < least:
            raise InputError(f"--{key} {getattr(chosen, key)}: must be {least} or more, {kind}.")
    wanted = [name for name in chosen.cohorts.split(",") if name]
    if unknown := [name for name in wanted if name not in ("synergy", "missing")]:
        raise InputError(f"--cohorts {unknown[0]}: no such cohort; there are synergy and missing, and covid by --covid FOLDER.")
    if not wanted and not chosen.covid:
        raise InputError("--cohorts: names none; there are synergy and missing, and covid by --covid FOLDER.")
    out = made(chosen.out.expanduser(), "--out")
    cohorts: dict[str, dict[str, dict[str, tuple[Path, list[str]]]]] = {}
    planned = {}
    for cohort in [*wanted, *(["covid"] if chosen.covid else [])]:
        planned[cohort] = plans(cohort, fusions, chosen.seeds, [*chosen.overrides, *([f"data.root={chosen.covid}"] if cohort == "covid" else [])])
        config_of(planned[cohort][ZEROS])  # what is wrong with it is told before any work
    for cohort, runs in planned.items():
        folders = {run: out / cohort / "default" / run for run in runs}
        run_all(folders, {run: config_of(overrides) for run, overrides in runs.items()}, chosen.jobs)
        cohorts[cohort] = {"default": {name: (folders[run], []) for name, (run, _) in rows_of(runs).items()}}
        if chosen.tune > 1:
            cohorts[cohort]["tuned"] = tuned(out / cohort, runs, chosen.tune, chosen.jobs)
    table = summarised(cohorts)
    told = markdown(table, cohorts) + "\n" + facts(table, cohorts)
    write_atomically(out / "fusion_benchmark.csv", lambda path: table.to_csv(path, index=False, float_format="%.5f"))
    write_text(out / "fusion_benchmark.md", told)
    draw(table, cohorts, out / "fusion_benchmark.svg")
    print(f"\n{told}\nwritten to {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tune", type=int, default=0, help="settings that are tried of each method, such as 8; 0 leaves the tuning out (0)")
    parser.add_argument("--cohorts", default="synergy,missing", help="of the simulated ones; '' for covid-cxr alone")
    parser.add_argument("--covid", help="the folder of covid-cxr")
    parser.add_argument("--fusions", default="all")
    parser.add_argument("--jobs", type=int, help="processes; as many as there are cores, up to 8, and one where there is a GPU")
    parser.add_argument("overrides", nargs="*", help="further settings of every run, as for train.py")
    chosen = parser.parse_args()
    telling(lambda: benchmark(chosen))


if __name__ == "__main__":
    main()
