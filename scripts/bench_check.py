"""How much faster `mmdx data check` is with two workers than with one, and a second time than the first, as ratios of pairs in one run.

    python scripts/bench_check.py data=physionet2016 data.root=FOLDER [--repeats 3]

Times are of opening the table, reading and comparing, in one process that is already there: a command adds what Python takes to start.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from mmdx.commands.data_source import open_source
from mmdx.data.checks.cache import Cache
from mmdx.data.checks.check import check
from mmdx.data.checks.read import usable_cpus


def seconds(source: list[str], workers: int, cache: Cache | None) -> float:
    start = time.perf_counter()
    check(open_source(source), workers, cache)
    return time.perf_counter() - start


def free_ratio(source: list[str]) -> float:
    """How much faster two workers would be on two processors that nobody else uses: processor time of one worker's run against that of
    this process, which works alone, and half of the workers'."""
    before = os.times()
    check(open_source(source), 1)
    between = os.times()
    check(open_source(source), 2)
    after = os.times()
    one = between.user + between.system - before.user - before.system
    alone = after.user + after.system - between.user - between.system
    shared = after.children_user + after.children_system - between.children_user - between.children_system
    return one / (alone + shared / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="+", help="as of mmdx data check")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    one, two, first, again = [], [], [], []
    seconds(given.source, 1, None)  # imports and the file system's own cache
    for _ in range(given.repeats):
        one.append(seconds(given.source, 1, None))
        two.append(seconds(given.source, 2, None))
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache(Path(folder))
            first.append(seconds(given.source, 2, cache))
            again.append(seconds(given.source, 2, cache))
    free = [free_ratio(given.source) for _ in range(given.repeats)]
    print(f"{usable_cpus()} processors, {given.repeats} pairs; medians, and ratios with the smallest and largest of a pair")
    for words, slow, fast in (("two workers against one", one, two), ("a second run against the first, two workers", first, again)):
        ratios = [a / b for a, b in zip(slow, fast, strict=True)]
        print(f"{words}: {median(slow):.2f} s, {median(fast):.2f} s; {median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"two workers against one by processor time, as on idle processors: {median(free):.2f} times ({min(free):.2f} to {max(free):.2f})")


if __name__ == "__main__":
    main()
