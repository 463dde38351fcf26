"""Every benchmark of docs/benchmarks.md, one after another, each in a process of its own.

    python scripts/bench.py [--only start first heads step scaling bootstrap] [--recordings FOLDER]

With --recordings, a folder of .wav files, log-mel spectrograms too. Each prints ratios of its own run, with the peer's side in the same file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {
    "start": [["bench_start.py"]],
    "first": [["bench_start.py", "--first", "--repeats", "3"]],
    "heads": [["bench_heads.py", "--width", width] for width in ("32", "128", "640")]
    + [["bench_heads.py", "--fusion", "tokens", "--tokens", "4", "--width", "64", "--repeats", "1"]],
    "step": [["bench_step.py"], ["bench_options.py"]],
    "scaling": [["bench_scaling.py"]],
    "bootstrap": [["bench_bootstrap.py"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--recordings", type=Path)
    given = parser.parse_args()
    commands = [command for part in given.only for command in PARTS[part]]
    commands += [["bench_logmel.py", str(given.recordings)]] if given.recordings else []
    for script, *words in commands:
        print(f"\n## {script} {' '.join(words)}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *words], check=False)


if __name__ == "__main__":
    main()
