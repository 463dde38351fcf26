"""How fast simulated patients are rendered, and a cohort of a million is opened and read at random.

    python scripts/bench_simulate.py [--patients 3000] [--workers 2] [--large 1000000]

Rendering is of image, text and audio of patients that have all three, with a loader's processes, as training reads them.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from torch.utils.data import DataLoader

from mmdx.simulate.cohort import SimulatedCohort

MODALITIES = ("image", "text", "audio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--large", type=int, default=1_000_000)
    given = parser.parse_args()
    cohort = SimulatedCohort(samples=given.patients, modalities=MODALITIES, missing={}, visits=[1])
    for workers in sorted({1, given.workers}):
        start = time.perf_counter()
        done = sum(len(samples) for samples in DataLoader(cohort, batch_size=16, num_workers=workers, collate_fn=list))
        took = time.perf_counter() - start
        print(f"{done} patients of {' + '.join(MODALITIES)}, {workers} processes: {done / took:.0f} a second")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    large = SimulatedCohort(samples=given.large, modalities=MODALITIES)
    opened = time.perf_counter() - start
    rows = np.random.default_rng(0).integers(0, given.large, 200)
    start = time.perf_counter()
    for row in rows:
        large[int(row)]
    took = (time.perf_counter() - start) / len(rows) * 1000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(f"{given.large} visits: opened in {opened:.1f} s with {grown:.0f} MB, nothing written; {took:.1f} ms for one at random, in one process")


if __name__ == "__main__":
    main()
