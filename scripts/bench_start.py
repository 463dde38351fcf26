"""How long `--help` and `--cfg job` take, as a ratio to importing Hydra alone, paired in one run.

    python scripts/bench_start.py [REPEATS]
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

TRAIN = Path(__file__).resolve().parent.parent / "train.py"


def seconds(*command: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ratios: dict[str, list[float]] = {"--help": [], "--cfg job": []}
    seconds("-c", "import hydra.main")
    for _ in range(repeats):
        bare = seconds("-c", "import hydra.main")
        for flags in ratios:
            ratios[flags].append(seconds(str(TRAIN), "+experiment=xray_text", *flags.split()) / bare)
    for flags, values in ratios.items():
        print(f"train.py {flags}: {median(values):.2f} times `import hydra.main` ({min(values):.2f} to {max(values):.2f}, {repeats} pairs)")


if __name__ == "__main__":
    main()
