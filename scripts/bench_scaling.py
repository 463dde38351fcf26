"""How time and memory of training heads grow with patients, modalities, tokens and seeds: log-log, with the exponent of the last half.

    python scripts/bench_scaling.py [--largest 1000000] [--only patients modalities tokens seeds] [--out FOLDER]

Random features of width 32, one epoch of batches of 64, concatenation (tokens: the joint Transformer of width 32), each size in a process of its own,
whose peak of memory beyond its own start is given (private memory, without files that are mapped). With --out the table as CSV and a plot.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = {
    "patients": [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
    "modalities": [1, 2, 4, 8],
    "tokens": [1, 4, 16, 64],
    "seeds": [1, 4, 16, 64, 256],
}
BASE = {"patients": 4_000, "modalities": 2, "tokens": 1, "seeds": 1}


def one(what: str, size: int) -> dict[str, float]:
    """Seconds and MiB of one size."""
    import bench_heads
    import torch

    torch.set_num_threads(2)
    of = BASE | {what: size}
    bench_heads.MODALITIES = tuple(f"m{k}" for k in range(of["modalities"]))
    fusion = "tokens" if what == "tokens" else "concat"
    bench_heads.FUSIONS["tokens"] = lambda **given: bench_heads.JointTransformer(hidden=32, **given)
    with tempfile.TemporaryDirectory() as folder:
        bench_heads.ours(bench_heads.Data(500, 32, 1), fusion, 1, range(1), 0.1, Path(folder) / "warm")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        data = bench_heads.Data(of["patients"], 32, of["tokens"])
        start = time.perf_counter()
        bench_heads.ours(data, fusion, 1, range(of["seeds"]), 0.1, Path(folder) / "own")
        seconds = time.perf_counter() - start
    features = sum(values.nbytes for values in data.features.values()) / 2**20
    return {"seconds": seconds, "MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10, "features MiB": features}


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of the logarithms over the larger half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half - 1 :]), np.log(np.maximum(values[half - 1 :], 1e-9)), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], int(given.one[1]))))
        return
    rows = []
    for what in given.only:
        sizes = [size for size in SIZES[what] if what != "patients" or size <= given.largest]
        found = []
        for size in sizes:
            command = [sys.executable, __file__, "--one", what, str(size)]
            found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]))
            own = found[-1]
            print(f"{what} {size}: {own['seconds']:.2f} s, {own['MiB']:.0f} MiB ({own['features MiB']:.0f} of features)", flush=True)
            rows.append({"what": what, "size": size, **found[-1]})
        slopes = [exponent(sizes, [own[name] for own in found]) for name in ("seconds", "MiB")]
        print(f"{what}: time grows with the power {slopes[0]:.2f}, memory with {slopes[1]:.2f}")
    if given.out:
        import pandas as pd

        given.out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(given.out / "scaling.csv", index=False)
        plot(rows, given.out / "scaling.svg")


def plot(rows: list[dict], path: Path) -> None:
    """Time and memory over each size, log-log."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["what"] for row in rows))
    figure, axes = pyplot.subplots(2, len(names), figsize=(3.2 * len(names), 5), squeeze=False, layout="constrained")
    for column, what in enumerate(names):
        own = [row for row in rows if row["what"] == what]
        for line, unit in enumerate(("seconds", "MiB")):
            axes[line, column].loglog([row["size"] for row in own], [max(row[unit], 0.1) for row in own], marker="o")
            axes[line, column].set(xlabel=what, ylabel=unit)
    figure.savefig(path)


if __name__ == "__main__":
    main()
