"""Run experiments and print the figures that their headers and docs/results.md state.

    python scripts/reproduce.py xray_text tri_modal
    python scripts/reproduce.py pcg -- data=physionet2016 data.root=FOLDER split=kfold
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).resolve().parent.parent / "train.py"
EVERY = ("xray_text", "xray_text_tabular", "pcg", "tri_modal", "synergy")


def reproduce(experiment: str, overrides: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="reproduce-")) / "run"
    start = time.monotonic()
    command = [sys.executable, str(TRAIN), f"+experiment={experiment}", *overrides, f"hydra.run.dir={folder}"]
    one_thread = dict(os.environ, OMP_NUM_THREADS="1")  # the last digits follow the number of threads, so it is fixed here
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    took = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{experiment}: {done.stderr.strip().splitlines()[-1]}")
    metrics = json.loads((folder / "metrics.json").read_text())
    main = metrics["primary"]
    print(f"{experiment} {' '.join(overrides)}: {took / 60:.1f} minutes, one thread, unit {metrics['unit']}, run folder {folder}")
    for part in ("test", "retrained"):
        for subset, values in metrics.get(part, {}).items():
            print(f"  {part:9} {subset:28} " + "  ".join(shown(name, values) for name in (main, f"{main}_within_site", "macc") if name in values))
    for site, subsets in metrics.get("by_site", {}).items():
        print(f"  site {site:10} " + "  ".join(shown(main, values) for name, values in subsets.items() if name == metrics["full"]))


def shown(name: str, values: dict) -> str:
    entry = values[name]
    if entry["value"] is None:
        return f"{name} undefined ({entry.get('reason', '')})"
    text = f"{name} {entry['value']:.3f}"
    if entry["low"] is not None:
        text += f" [{entry['low']:.3f}, {entry['high']:.3f}]"
    if "oracle" in entry:
        text += f" oracle {entry['oracle']:.3f}"
    if entry.get("share_low") is not None:
        text += f" share {entry['share_of_optimum']:.3f} [{entry['share_low']:.3f}, {entry['share_high']:.3f}]"
    if "optimum" in entry:
        text += f" optimum {entry['optimum']:.3f}"
    return text


def main() -> None:
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    split = words.index("--") if "--" in words else len(words)
    for experiment in words[:split] or EVERY:
        reproduce(experiment, words[split + 1 :])


if __name__ == "__main__":
    main()
