"""Peak memory of training on ten times as many simulated patients.

    python scripts/bench_memory.py [--small 10000] [--large 100000]

Laboratory values, a multilayer perceptron, one epoch, nothing cached; the peak is that of the whole process (reading, training, predicting,
scoring), measured in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
MODEL = [
    "+encoder/tabular@encoders.tabular=mlp", "fusion=concat", "ablation=none", "data.cache=none", "data.batch_size=256", "trainer.max_epochs=1",
    "logger=none", "evaluation.resamples=50",
]  # fmt: skip
RUN = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)"  # noqa: E501


def peak(samples: int, folder: Path) -> float:
    """MiB at the peak of a run."""
    command = [sys.executable, str(TRAIN), *MODEL, f"data.samples={samples}", f"hydra.run.dir={folder / str(samples)}"]
    done = subprocess.run([sys.executable, "-c", RUN, *command], capture_output=True, text=True, check=True)
    most, code = done.stdout.split()
    if int(code):
        sys.exit(f"{samples} patients: the run failed")
    return int(most) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = (peak(samples, Path(folder)) for samples in (given.small, given.large))
    print(f"{given.small} patients: {small:.0f} MiB; {given.large}: {large:.0f} MiB; {large / small:.2f} times as much (bar 1.10)")


if __name__ == "__main__":
    main()
