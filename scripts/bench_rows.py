"""A manifest of a million rows: how long it takes to open and to split, and what memory it and its loader workers take, beside pandas.

    python scripts/bench_rows.py [--rows 1000000]

The manifest is generated: Parquet, 0.4 patients a row, 20 sites, an image each (a hundred files, named over and over), age, sex and a binary label.
Every figure is of a process of its own. Memory of a process is what is resident; that of a worker is what it alone holds (unique set size), after
a thousand batches of 64, drawn at random. "pandas" reads the same file into a DataFrame of Python objects, makes the same checks and hands the
workers a list with one dict a row, as scripts without a framework do.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MEASURED = ("open", "split", "workers")


def generate(folder: Path, rows: int) -> Path:
    """The manifest and its images."""
    import pandas as pd
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(100):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"image_{i:04d}.png")
    frame = pd.DataFrame({
        "sample_id": [f"s{i:08d}" for i in range(rows)],
        "patient_id": [f"p{i:07d}" for i in rng.integers(0, max(10, rows * 4 // 10), rows)],
        "site": [f"site{i:02d}" for i in rng.integers(0, 20, rows)],
        "image": [f"image_{i % 100:04d}.png" for i in range(rows)],
        "age": np.where(rng.random(rows) < 0.05, np.nan, rng.integers(18, 95, rows)),
        "sex": rng.choice(["F", "M"], rows),
        "label": rng.integers(0, 2, rows),
    })
    frame.to_parquet(folder / "manifest.parquet", index=False)
    return folder / "manifest.parquet"


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def open_with(way: str, path: Path) -> Any:
    """The manifest's rows, checked."""
    if way == "mmdx":
        from mmdx.data.manifest import Manifest

        return Manifest(path)
    import pandas as pd

    frame = pd.read_parquet(path).astype(object)
    assert frame["sample_id"].is_unique and frame["label"].isin([0, 1]).all() and frame["image"].notna().all()
    return frame


class Rows:
    """A data set as a list of dicts, for PyTorch."""

    def __init__(self, rows: list[dict[str, Any]], folder: Path) -> None:
        self.rows, self.folder = rows, folder

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch
        from PIL import Image

        row = self.rows[index]
        return torch.from_numpy(np.asarray(Image.open(self.folder / row["image"]), np.float32)), row["label"]


def loader_of(way: str, opened: Any, path: Path) -> Any:
    """A loader of two workers over all rows, shuffled."""
    if way == "pandas":
        from torch.utils.data import DataLoader

        return DataLoader(Rows(opened.to_dict("records"), path.parent), batch_size=64, shuffle=True, num_workers=2)  # type: ignore[arg-type]
    from mmdx.data.loading import Examples, ModalityDropout, loader
    from mmdx.data.prepare import PreparedCohort
    from mmdx.data.sampling import EpochSampler
    from mmdx.encoders.image import ImageTransform

    cohort = PreparedCohort(opened, {"image": ImageTransform(32)}, memory_gb=0.0)
    examples = Examples(cohort, cohort.transforms, opened.table["target"].to_numpy(), 0, ModalityDropout(0.0))
    return loader(examples, EpochSampler(np.arange(len(opened)), "shuffled"), 64, 2)


def measure(what: str, way: str, path: Path) -> dict[str, float]:
    """One figure or two, of this process."""
    start = time.perf_counter()
    opened = open_with(way, path)
    if what == "open":
        return {"seconds": time.perf_counter() - start, "MB": resident()}
    if what == "split":
        if way == "mmdx":
            from mmdx.data.splits import KFold

            start = time.perf_counter()
            KFold(5).folds(opened.table)
            return {"seconds": time.perf_counter() - start}
        from sklearn.model_selection import StratifiedGroupKFold

        start = time.perf_counter()
        list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(opened["label"], opened["label"].astype(int), opened["patient_id"]))
        return {"seconds": time.perf_counter() - start}
    batches = iter(loader_of(way, opened, path))
    for _ in range(min(1000, len(batches))):
        next(batches)
    alone = []
    for worker in batches._workers:
        lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
        alone.append(sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty"))) / 1e3)
    return {"MB a worker": max(alone)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", nargs=3, metavar=("WHAT", "WAY", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], given.one[1], Path(given.one[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = generate(Path(folder), given.rows)
        print(f"{given.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        for what in MEASURED:
            for way in ("mmdx", "pandas"):
                done = subprocess.run([sys.executable, __file__, "--one", what, way, str(path)], capture_output=True, text=True, check=True)
                figures = json.loads(done.stdout)
                shown = "  ".join(f"{value:.1f} {name}" for name, value in figures.items())
                print(f"  {what:8} {way:7} {shown}", flush=True)


if __name__ == "__main__":
    main()
