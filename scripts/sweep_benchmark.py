"""Does TPE find a better configuration than random search, with as many trials?  On a simulated cohort whose optimum is known.

    python scripts/sweep_benchmark.py --out FOLDER
    python scripts/sweep_benchmark.py --out FOLDER --repeats 2 --trials 12 -- data.samples=400 trainer.max_epochs=2

Each repeat draws a cohort (data.seed), initial weights (seed) and the samplers' own seed by its number, the same for both samplers, and sweeps
over how a gated head is trained (+sweep=training) and how wide it is. A configuration is chosen by the validation AUROC alone. The table gives,
after so many trials, the best validation AUROC so far and the test AUROC of the trial that it belongs to, each the mean over repeats, and the
paired difference of TPE from random search with its 95 % t-interval over repeats. It is printed and written to sweep_benchmark.md and .csv. The
same command goes on after a kill. What follows -- is passed to train.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mmdx.commands.hydra_app import telling
from mmdx.errors import InputError
from mmdx.files import write_atomically, write_text

SAMPLERS = ("tpe", "random")
SPACE = ("+sweep=training", "fusion.hidden=tag(log,int(interval(16,256)))")
FIXED = ("+experiment=fusion_missing", "fusion=gated", "logger=none", "evaluation.resamples=10", "ablation=none")
LEVEL = 0.95


def sweep(folder: Path, sampler: str, repeat: int, trials: int, overrides: list[str]) -> pd.DataFrame:
    """Best validation AUROC and the test AUROC of its trial, after each trial of a sweep that is run or gone on with."""
    train = Path(__file__).resolve().parents[1] / "train.py"
    own = ["hydra/sweeper=optuna", f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.sampler.seed={repeat}", f"hydra.sweeper.n_trials={trials}",
           f"hydra.sweep.dir={folder.absolute()}", f"seed={repeat}", f"data.seed={repeat}"]
    done = subprocess.run([sys.executable, str(train), "-m", *FIXED, *own, *SPACE, *overrides], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{folder}: the sweep ended with exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    table = pd.read_csv(folder / "sweep.csv")[:trials]
    values = table["val/score"].to_numpy(float)
    best = [int(np.nanargmax(values[: k + 1])) if np.isfinite(values[: k + 1]).any() else -1 for k in range(len(values))]
    test = [test_auroc(folder / str(number)) if number >= 0 else np.nan for number in best]
    return pd.DataFrame({"sampler": sampler, "repeat": repeat, "trials": np.arange(1, len(best) + 1), "validation": values[best], "test": test})


def test_auroc(run: Path) -> float:
    (found,) = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test"].values()
    return float(found["auroc"]["value"])


def summary(curves: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Means of both samplers and their paired difference, after some numbers of trials."""
    rows = []
    for count in sorted({count for count in (5, 10, 20, 30, 40, 60, 80) if count < trials} | {trials}):
        for split in ("validation", "test"):
            wide = curves[curves["trials"] == count].pivot(index="repeat", columns="sampler", values=split).dropna()
            difference = (wide["tpe"] - wide["random"]).to_numpy()
            mean, half = difference.mean(), np.nan
            if len(difference) > 1:
                half = stats.t.ppf((1 + LEVEL) / 2, len(difference) - 1) * stats.sem(difference)
            means = {"TPE": wide["tpe"].mean(), "random": wide["random"].mean(), "difference": mean, "low": mean - half, "high": mean + half}
            rows.append({"trials": count, "AUROC": split, **means, "repeats": len(difference)})
    return pd.DataFrame(rows)


def as_text(table: pd.DataFrame) -> str:
    lines = ["| trials | AUROC | TPE | random | TPE - random (95 % interval) | repeats |", "|---|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        interval = f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        lines.append(f"| {row['trials']} | {row['AUROC']} | {row['TPE']:.4f} | {row['random']:.4f} | {interval} | {row['repeats']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("overrides", nargs="*", help="after --, for train.py")
    given = parser.parse_args()
    if given.repeats < 1 or given.trials < 1:
        raise InputError("--repeats, --trials: must be 1 or more.")
    curves = []
    for repeat in range(given.repeats):
        for sampler in SAMPLERS:
            curves.append(sweep(given.out / sampler / str(repeat), sampler, repeat, given.trials, given.overrides))
            print(f"{sampler}, repeat {repeat}: best validation AUROC {curves[-1]['validation'].iloc[-1]:.4f}", flush=True)
    joined = pd.concat(curves, ignore_index=True)
    text = as_text(summary(joined, given.trials))
    write_atomically(given.out / "sweep_benchmark.csv", lambda path: joined.to_csv(path, index=False))
    write_text(given.out / "sweep_benchmark.md", text)
    print(text)


if __name__ == "__main__":
    telling(main)
