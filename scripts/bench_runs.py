"""How long `mmdx runs` takes over many runs: python scripts/bench_runs.py RUN [--copies 2000]

Copies the JSON and YAML files of a real run so many times and lists, sorts, filters and exports them, each by a fresh command.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEPT = ("config.yaml", "provenance.json", "metrics.json", "predictions.parquet")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("--copies", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for number in range(given.copies):
            folder = Path(place) / f"sweep_{number // 100:03}" / f"{number % 100}"
            folder.mkdir(parents=True)
            for name in KEPT:
                shutil.copyfile(given.run / name, folder / name)
        size = (given.run / "metrics.json").stat().st_size
        print(f"{given.copies} runs, metrics.json of {size / 1024:.0f} KiB each")
        for words in ([], ["--sort", "auroc", "--filter", "auroc>0.1"], ["--export", f"{place}/runs.parquet"], ["--json"]):
            before, started = os.times(), time.monotonic()
            subprocess.run([sys.executable, "-m", "mmdx.cli", "runs", place, *words], check=True, capture_output=True)
            after, wall = os.times(), time.monotonic() - started
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"mmdx runs {' '.join(word.replace(place, 'FOLDER') for word in words):45} {wall:5.1f} s, of CPU time {cpu:.1f} s")


if __name__ == "__main__":
    main()
