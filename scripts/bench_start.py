"""How long commands take to answer and a run takes to its first training step, as ratios measured in pairs.

    python scripts/bench_start.py [--repeats 7] [--first]

Answers are over a bare Hydra app (one file, one config) asked for its help. With --first the time from command to first training step, on warm
caches, over `import torch, pytorch_lightning`: of xray_text, trained end to end on the simulated cohort, and of xray_text_features with its features
cached (both are run once before).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
BARE = """
import hydra
from omegaconf import DictConfig
@hydra.main(version_base="1.3", config_path="conf", config_name="bare")
def app(cfg: DictConfig) -> None: pass
app()
"""
STEPS = {
    "xray_text": "import mmdx.training.module as part; part.MultimodalModule.training_step = stop",
    "xray_text_features": "import mmdx.training.stack as part; part.OneHead.step = stop",
}


def seconds(command: list[str], right: int = 0) -> float:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode != right:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return time.perf_counter() - start


def told(name: str, values: list[float], of: str, bar: float) -> None:
    print(f"{name}: {median(values):.2f} times {of} ({min(values):.2f} to {max(values):.2f}, {len(values)} pairs; bar {bar})")


def answers(repeats: int, folder: Path) -> None:
    """Help, a config and a mistake, over a bare app."""
    (folder / "conf").mkdir()
    (folder / "conf" / "bare.yaml").write_text("a: 1\n")
    (folder / "bare.py").write_text(BARE)
    commands = {
        "train.py --help": ([str(TRAIN), "--help"], 0),
        "train.py --cfg job": ([str(TRAIN), "+experiment=xray_text", "--cfg", "job"], 0),
        "train.py with an unknown option": ([str(TRAIN), "+experiment=xray_text", "optimiser.lr=1"], 1),
        "mmdx --help": (["-m", "mmdx.cli", "--help"], 0),
    }
    bare = [str(folder / "bare.py"), "--help"]
    seconds(bare)
    ratios: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, (command, right) in commands.items():
            ratios[name].append(seconds(command, right) / seconds(bare))
    for name, values in ratios.items():
        told(name, values, "a bare Hydra app's help", 2.0)


def first_steps(repeats: int, folder: Path) -> None:
    """From command to first training step, over importing torch and Lightning."""
    cache = f"cache.root={folder / 'cache'}"
    for experiment, patch in STEPS.items():
        overrides = [f"+experiment={experiment}", cache, "data.cache=disk", "data.samples=900"]
        seconds([str(TRAIN), *overrides, "trainer.max_epochs=1", f"hydra.run.dir={folder / experiment}"])
        stop = "import os, runpy, sys\ndef stop(*a, **k): os._exit(0)\n"
        code = f"{stop}{patch}\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
        ratios = []
        for repeat in range(repeats):
            own = seconds(["-c", code, str(TRAIN), *overrides, f"hydra.run.dir={folder / f'{experiment}{repeat}'}"])
            imports = seconds(["-c", "import torch, pytorch_lightning"])
            ratios.append(own / imports)
        told(f"{experiment} to its first step", ratios, "import torch, pytorch_lightning", 1.3)
        print(f"  the last: {own:.1f} s, imports {imports:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--first", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        (first_steps if given.first else answers)(given.repeats, Path(folder))


if __name__ == "__main__":
    main()
