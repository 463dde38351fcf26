"""Every fusion on cohorts whose optimum is known, and on real films and notes: one table of what each finds, how sure that is, and what it costs.

    python scripts/fusion_benchmark.py --out benchmarks/fusion [--seeds 10] [--cohorts synergy,missing] [--covid ROOT] [--fusions concat,gated]

Simulated cohorts are features of a perfect encoder (data=simulated_features), so what a fusion misses is its own. "synergy": two modalities that say
nothing alone (experiment=fusion_synergy). "missing": both show one finding and one of their own, and each is missing in half of the patients
(experiment=fusion_missing). covid-cxr, where its folder is given: films and notes by frozen pretrained encoders (experiment=xray_text_features
data=covid_cxr). All fusions have the default settings of their YAML and one learning rate, seeds are trained at once where that is faster
(scripts/grid.py), and the same command goes on after a kill.

The table gives for each fusion the mean over seeds of the share of the optimum, (AUROC - 0.5) / (AUROC of the true posterior on the same rows - 0.5),
with a 95 % t-interval over seeds (initialisation and order; one cohort and split), and on "missing" the difference from concatenation with zeros in
absent slots, paired by seed. Where that interval excludes 0 the difference is marked. Written to fusion_benchmark.md, .csv and .svg.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from grid import combinations, config_of
from scipy import stats
from sklearn.metrics import roc_auc_score

from mmdx.commands.hydra_app import config_folder, telling
from mmdx.files import write_atomically, write_text
from mmdx.grid import run_all
from mmdx.methods import FAMILIES, described

COHORTS = {
    "synergy": ("fusion_synergy", []),
    "missing": ("fusion_missing", []),
    "covid": ("xray_text_features", ["data=covid_cxr"]),
}
ZEROS = "concat, zeros"
"""Concatenation that knows nothing of absence: what methods made for it are measured against."""
ALONE = "{} alone"


def plans(cohort: str, fusions: list[str], seeds: int, more: list[str]) -> dict[str, list[str]]:
    """The overrides of every run on a cohort, by name: each fusion, concatenation with zeros, and each modality alone."""
    experiment, extra = COHORTS[cohort]
    own = {"experiment": experiment, "fusion": ",".join(fusions), "seeds": str(seeds), "folds": "0", "out": "-"}
    given = [*extra, *more, "logger=none", "evaluation.resamples=100"]
    found = combinations(own, given)
    concat = combinations(own | {"fusion": "concat"}, given)["concat"]
    found[ZEROS] = [*concat, "fusion.absent=zeros"]
    for alone, other in (("image", "text"), ("text", "image")):
        found[ALONE.format(alone)] = [*concat, f"~encoders.{other}"]
    return found


def scores(folder: Path) -> pd.DataFrame:
    """AUROC of each seed on the test rows, and where there is one that of the true posterior on the same rows."""
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table[(table["split"] == "test") & (table["ablation"] == "offered")]
    table = table[table["modalities"].str.count(r"\+") == table["modalities"].str.count(r"\+").max()]
    rows = []
    for seed, own in table.groupby("seed") if "seed" in table else [(0, table)]:
        best = roc_auc_score(own["target"], own["oracle"]) if "oracle" in own else np.nan
        value = roc_auc_score(own["target"], own["prob"])
        rows.append({"seed": seed, "auroc": value, "share": (value - 0.5) / (best - 0.5)})
    return pd.DataFrame(rows).set_index("seed")


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % t-interval."""
    mean = float(np.mean(values))
    if len(values) < 2 or np.ptp(values) == 0:
        return mean, mean, mean
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def summarised(out: Path, cohorts: list[str], names: dict[str, list[str]]) -> pd.DataFrame:
    """A row a fusion."""
    rows: dict[str, dict[str, object]] = {}
    for cohort in cohorts:
        base = scores(out / cohort / ZEROS)
        for name in names[cohort]:
            own = scores(out / cohort / name)
            row = rows.setdefault(name, {"fusion": name})
            what = "auroc" if own["share"].isna().all() else "share"
            row[f"{cohort}_{what}"], row[f"{cohort}_low"], row[f"{cohort}_high"] = interval(own[what].to_numpy())
            difference = (own["auroc"] - base["auroc"]).to_numpy()
            row[f"{cohort}_gain"], row[f"{cohort}_gain_low"], row[f"{cohort}_gain_high"] = interval(difference)
            row[f"{cohort}_seconds"] = pd.read_json(out / cohort / name / "timing.json", typ="series")["train and predict"]
    for name, row in rows.items():
        if (Path(config_folder()) / "fusion" / f"{name}.yaml").exists():
            said = described(name, config_folder())
            row |= {"family": said.family, "reads": "tokens" if said.tokens else "their mean", "absence": said.absence, "parameters": said.parameters}
        else:
            row |= {"family": "baseline", "reads": "", "absence": "", "parameters": ""}
    order = ["baseline", *FAMILIES]
    return pd.DataFrame(sorted(rows.values(), key=lambda row: (order.index(str(row["family"])), str(row["fusion"]))))


def markdown(table: pd.DataFrame, cohorts: list[str]) -> str:
    """The table for a page."""
    head, columns = ["fusion", "family"], []
    for cohort in cohorts:
        what = "share" if f"{cohort}_share" in table else "auroc"
        head.append(f"{cohort}: {'share of the optimum' if what == 'share' else 'AUROC'}")
        columns.append((cohort, what))
        if cohort == "missing":
            head.append("missing: AUROC over zeros")
    head.append("train and predict")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table.to_dict("records"):
        cells = [f"`{row['fusion']}`" if row["family"] != "baseline" else str(row["fusion"]), str(row["family"])]
        for cohort, what in columns:
            cells.append(f"{row[f'{cohort}_{what}']:.3f} ({row[f'{cohort}_low']:.3f} to {row[f'{cohort}_high']:.3f})")
            if cohort == "missing":
                low, high = row["missing_gain_low"], row["missing_gain_high"]
                mark = " better" if low > 0 else " worse" if high < 0 else ""
                cells.append(f"{row['missing_gain']:+.3f} ({low:+.3f} to {high:+.3f}){mark}")
        cells.append(f"{sum(row[f'{cohort}_seconds'] for cohort in cohorts):.0f} s")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame, cohorts: list[str], path: Path) -> None:
    """Each fusion's share or AUROC with its interval, a panel a cohort."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "mmdx"
    figure, axes = plt.subplots(1, len(cohorts), figsize=(3.6 * len(cohorts) + 1.5, 0.22 * len(table) + 1), sharey=True, squeeze=False)
    place = np.arange(len(table))[::-1]
    kinds = {family: f"C{number}" for number, family in enumerate(dict.fromkeys(table["family"]))}
    for axis, cohort in zip(axes[0], cohorts, strict=True):
        what = "share" if f"{cohort}_share" in table else "auroc"
        value = table[f"{cohort}_{what}"]
        low, high = (table[f"{cohort}_{side}"].to_numpy() for side in ("low", "high"))
        for family, colour in kinds.items():
            own = (table["family"] == family).to_numpy()
            bars = [value[own] - low[own], high[own] - value[own]]
            axis.errorbar(value[own], place[own], xerr=bars, fmt="o", ms=3, lw=1, color=colour, label=family)
        axis.set(xlabel="share of the optimum" if what == "share" else "AUROC", title=cohort)
        axis.grid(axis="x", alpha=0.3)
    axes[0][0].set_yticks(place, table["fusion"], fontsize=7)
    axes[0][-1].legend(fontsize=7)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    plt.close(figure)


def benchmark(chosen: argparse.Namespace) -> None:
    known = sorted(path.stem for path in (Path(config_folder()) / "fusion").glob("*.yaml"))
    fusions = known if chosen.fusions == "all" else chosen.fusions.split(",")
    cohorts = [*chosen.cohorts.split(","), *(["covid"] if chosen.covid else [])]
    names, out = {}, chosen.out.expanduser()
    for cohort in cohorts:
        more = [*chosen.overrides, *([f"data.root={chosen.covid}"] if cohort == "covid" else [])]
        runs = plans(cohort, fusions, chosen.seeds, more)
        configs = {name: config_of(overrides) for name, overrides in runs.items()}
        run_all({name: out / cohort / name for name in runs}, configs, chosen.jobs)
        names[cohort] = list(runs)
    table = summarised(out, cohorts, names)
    write_atomically(out / "fusion_benchmark.csv", lambda path: table.to_csv(path, index=False, float_format="%.5f"))
    write_text(out / "fusion_benchmark.md", markdown(table, cohorts))
    draw(table, cohorts, out / "fusion_benchmark.svg")
    print(f"\n{markdown(table, cohorts)}\nwritten to {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--cohorts", default="synergy,missing")
    parser.add_argument("--covid", help="the folder of covid-cxr")
    parser.add_argument("--fusions", default="all")
    parser.add_argument("--jobs", type=int, help="processes; as many as there are cores, up to 8, and one where there is a GPU")
    parser.add_argument("overrides", nargs="*", help="further settings of every run, as for train.py")
    chosen = parser.parse_args()
    telling(lambda: benchmark(chosen))


if __name__ == "__main__":
    main()
