"""How fast the bootstrap is, against a loop over scikit-learn on the same resamples: AUROC, average precision and Brier score with intervals.

    python scripts/bench_bootstrap.py [--rows 1000000] [--resamples 2000] [--loop 5]

Prints the seconds for all resamples, the peak memory of all processes together, the seconds that the loop over scikit-learn takes for as many (the
first ``--loop`` are run and the rest reckoned from them), the ratio, and the largest difference between the two on the resamples that both have.
"""

from __future__ import annotations

import argparse
import os
import threading
import time

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mmdx.evaluation.intervals import bootstrap, drawn
from mmdx.evaluation.metrics import BinaryMetrics

NAMES = ("auroc", "auprc", "brier")
REFERENCES = (roc_auc_score, average_precision_score, brier_score_loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--loop", type=int, default=5, help="resamples that scikit-learn is run on")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, arguments.rows)
    prob = 1 / (1 + np.exp(-(rng.normal(size=arguments.rows) + target)))
    with Memory() as memory:
        start = time.perf_counter()
        statistic = BinaryMetrics(target, prob, np.arange(arguments.rows), names=NAMES)
        found = bootstrap(statistic, arguments.rows, arguments.rows, arguments.resamples)
        seconds = time.perf_counter() - start
    for name in NAMES:
        print(f"{name}: {found[name].value:.5f} [{found[name].low:.5f}, {found[name].high:.5f}] {found[name].method}")
    print(f"mmdx: {arguments.rows} rows x {arguments.resamples} resamples in {seconds:.1f} s, at most {memory.peak / 2**30:.2f} GiB")
    loop, difference = reference(statistic, target, prob, arguments.loop)
    print(f"scikit-learn in a loop: {loop:.3f} s a resample, {loop * arguments.resamples:.0f} s for all")
    print(f"ratio: {loop * arguments.resamples / seconds:.0f}")
    print(f"largest difference on the same {arguments.loop} resamples: {difference:.1e}")


def reference(statistic: BinaryMetrics, target: np.ndarray, prob: np.ndarray, number: int) -> tuple[float, float]:
    """Seconds a resample of scikit-learn, and the largest difference from the statistic's values."""
    seconds, difference = 0.0, 0.0
    for counts in drawn(len(target), 0, number, 0, 1):
        ours = statistic(counts)
        start = time.perf_counter()
        rows = np.repeat(np.arange(len(target)), counts[:, 0].astype(int))
        theirs = [metric(target[rows], prob[rows]) for metric in REFERENCES]
        seconds += time.perf_counter() - start
        difference = max(difference, *(abs(float(ours[name][0]) - value) for name, value in zip(NAMES, theirs, strict=True)))
    return seconds / number, difference


class Memory:
    """The largest memory that this process and its children hold together, in bytes, read ten times a second (proportional set size)."""

    def __enter__(self) -> Memory:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, sum(_memory(pid) for pid in _family(os.getpid())))


def _family(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
    except OSError:
        children = []
    return [pid, *(member for child in children for member in _family(child))]


def _memory(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


if __name__ == "__main__":
    main()
