"""How many patients it takes until a modality's help can be shown: simulated cohorts of growing size, trained with it and without it, and tested.

    python scripts/learning_curve.py experiment=fusion_missing modality=text out=curves/text
    python scripts/learning_curve.py experiment=fusion_missing modality=text sizes=200,800 repeats=40 fusion=gated data.missing=null out=curves/gated

experiment, modality, sizes (patients), repeats (cohorts of each size, data.seed=0, 1, ...), jobs and out are the script's own, anything else is an
override as for train.py; the experiment's data must be simulated and its encoders frozen. Every cohort is cross-validated in five folds; in each a
model is trained with all modalities and one without the modality asked for (ablation=retrained), and help is shown where the 95 % interval of their
difference in AUROC, as every run reports it, lies above 0. A control of the same sizes has cohorts in which the modality says nothing: help should be
"shown" there in less than the 2.5 % of an interval that holds, as a modality that says nothing makes a model a little worse. It is written to
learning_curve.md, .csv and .svg; the same command goes on after a kill. The table gives the mean gain over cohorts (95 % t-interval), the optimum's
own gain, and in how many cohorts help was shown (Wilson's interval).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from mmdx.commands.hydra_app import composed, telling
from mmdx.errors import InputError
from mmdx.files import write_atomically, write_text
from mmdx.grid import run_all

OWN = {"experiment": "", "modality": "", "out": "", "jobs": "", "sizes": "100,200,400,800,1600,3200", "repeats": "20"}
FOLDS = 5
ERROR = 0.025
"""Of an interval that holds, on one side."""


def asked(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The script's own settings, and the overrides."""
    own, overrides = dict(OWN), []
    for word in words:
        key, found, value = word.partition("=")
        if key in ("data.samples", "data.seed"):
            raise InputError(f"{word}: the script draws cohorts of its own; say sizes= and repeats=.")
        if key in ("split", "ablation", "logger") or key.startswith("split."):
            raise InputError(f"{word}: the script cross-validates in {FOLDS} folds with ablation=retrained; leave it out.")
        if key in own and found:
            own[key] = value
        else:
            overrides.append(word)
    for key in ("experiment", "modality", "out"):
        if not own[key]:
            raise InputError(f"{key}: not given; say {key}=NAME.")
    for key, least in (("sizes", 1), ("repeats", 2), *([("jobs", 1)] if own["jobs"] else [])):
        numbers = own[key].split(",") if key == "sizes" else [own[key]]
        if not all(number.isascii() and number.isdigit() and int(number) >= least for number in numbers):
            raise InputError(f"{key}={own[key]}: must be {'whole numbers' if key == 'sizes' else 'a whole number'} of {least} or more.")
    return own, overrides


def plan(own: dict[str, str], overrides: list[str]) -> dict[str, Any]:
    """The config of every run, by KIND/SIZE/REPEAT."""
    base = [f"+experiment={own['experiment']}", *overrides, "split=kfold", f"split.folds={FOLDS}", "ablation=retrained", "logger=none"]
    cfg = composed(base)
    if own["modality"] not in cfg.encoders or len(cfg.encoders) < 2:
        raise InputError(f"modality={own['modality']}: the experiment's encoders are {', '.join(cfg.encoders)}; name one of two or more.")
    if "information" not in cfg.data:
        raise InputError(f"experiment={own['experiment']}: its data isn't simulated, so cohorts of other sizes can't be drawn.")
    told = OmegaConf.to_container(cfg.data.information)
    runs = {}
    for kind, information in (("help", told), ("control", without(told, own["modality"]))):
        for size in map(int, own["sizes"].split(",")):
            for repeat in range(int(own["repeats"])):
                runs[f"{kind}/{size}/{repeat}"] = composed([*base, f"data.samples={size}", f"data.seed={repeat}"])
                OmegaConf.update(runs[f"{kind}/{size}/{repeat}"], "data.information", information, merge=False)
    return runs


def without(information: Any, modality: str) -> dict[str, dict[str, float]]:
    """A cohort's information, of which one modality says nothing: what several share is left with the others."""
    found: dict[str, dict[str, float]] = {}
    for kind, bits in information.items():
        found.setdefault(kind, {})
        for names, value in (bits or {}).items():
            left = [name for name in names.split("+") if name != modality]
            if len(left) == len(names.split("+")):
                found[kind][names] = value + found[kind].get(names, 0.0)
            elif left and kind == "redundant":
                of = found.setdefault("unique" if len(left) == 1 else kind, {})
                of["+".join(left)] = value + of.get("+".join(left), 0.0)
    return found


def summarised(own: dict[str, str], out: Path) -> pd.DataFrame:
    """A row a kind and size."""
    rows = []
    for kind in ("help", "control"):
        for size in map(int, own["sizes"].split(",")):
            gains, shown, best = [], 0, []
            for repeat in range(int(own["repeats"])):
                place = out / kind / str(size) / str(repeat)
                entry = difference(place, own["modality"])
                gains.append(entry["value"])
                shown += entry["low"] is not None and entry["low"] > 0
                best.append(optimal_gain(place, own["modality"]))
            half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains) if len(gains) > 1 else np.nan
            low, high = proportion_confint(shown, len(gains), method="wilson")
            rows.append({
                "kind": kind, "patients": size, "cohorts": len(gains), "gain": np.mean(gains), "gain_low": np.mean(gains) - half,
                "gain_high": np.mean(gains) + half, "gain_optimum": np.mean(best), "shown": shown / len(gains), "shown_low": low, "shown_high": high,
            })  # fmt: skip
    return pd.DataFrame(rows)


def difference(folder: Path, modality: str) -> dict[str, Any]:
    """What a run reports of adding a modality to all others, each subset trained by itself."""
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return dict(metrics["differences"]["retrained"][modality]["auroc"])


def optimal_gain(folder: Path, modality: str) -> float:
    """What the modality adds to the true posterior's AUROC, on the rows that both models predict."""
    table = pd.read_parquet(folder / "predictions.parquet").query("split == 'test' and ablation == 'retrained'")
    full = max(table["modalities"], key=lambda name: name.count("+"))
    fewer = "+".join(name for name in full.split("+") if name != modality)
    both = table.loc[table["modalities"] == full, ["sample_id", "oracle"]]
    joined = table[table["modalities"] == fewer].merge(both, on="sample_id", suffixes=("_fewer", "_full"))
    return float(roc_auc_score(joined["target"], joined["oracle_full"]) - roc_auc_score(joined["target"], joined["oracle_fewer"]))


def markdown(table: pd.DataFrame) -> str:
    """The table for a page."""
    lines = ["| modality | patients | gain in AUROC | the optimum's | help shown in |", "|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        name = "informative" if row["kind"] == "help" else "says nothing"
        gain = f"{row['gain']:+.3f} ({row['gain_low']:+.3f} to {row['gain_high']:+.3f})"
        shown = f"{row['shown']:.0%} of {row['cohorts']} ({row['shown_low']:.0%} to {row['shown_high']:.0%})"
        lines.append(f"| {name} | {row['patients']:,} | {gain} | {row['gain_optimum']:+.3f} | {shown} |")
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame, path: Path) -> None:
    """Gain and share of cohorts in which help was shown against patients."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "mmdx"
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    for (kind, own), label in zip(table.groupby("kind", sort=False), ("informative", "says nothing"), strict=True):
        for axis, column in zip(axes, ("gain", "shown"), strict=True):
            bars = [own[column] - own[f"{column}_low"], own[f"{column}_high"] - own[column]]
            axis.errorbar(own["patients"], own[column], yerr=np.maximum(bars, 0), marker="o", ms=3, lw=1, label=label)
        if kind == "help":
            axes[0].plot(own["patients"], own["gain_optimum"], color="grey", ls="--", lw=1, label="the optimum's")
    axes[1].axhline(ERROR, color="grey", ls=":", lw=1)
    for axis, label in zip(axes, ("gain in AUROC", "share of cohorts in which help is shown"), strict=True):
        axis.set(xscale="log", xlabel="patients", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
    plt.close(figure)


def learning_curve(words: list[str]) -> None:
    """Run everything and print the table."""
    own, overrides = asked(words)
    configs, out = plan(own, overrides), Path(own["out"]).expanduser()
    run_all({name: out / name for name in configs}, configs, int(own["jobs"]) if own["jobs"] else None)
    table = summarised(own, out)
    write_atomically(out / "learning_curve.csv", lambda path: table.to_csv(path, index=False, float_format="%.5f"))
    write_text(out / "learning_curve.md", markdown(table))
    draw(table, out / "learning_curve.svg")
    print(f"\n{markdown(table)}\nwritten to {out}")


def main() -> None:
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        sys.exit(__doc__)
    telling(lambda: learning_curve(sys.argv[1:]))


if __name__ == "__main__":
    main()
