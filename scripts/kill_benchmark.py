"""kill -9 at random moments: does a run that goes on end with the same weights, predictions and metrics, to the last bit?

    python scripts/kill_benchmark.py --out benchmarks/kill [--kills 50] [--scenarios end_to_end,ddp,frozen_features] [--plain 10]

Each scenario is run once without a stop. Then a fresh run of it is begun, its whole process group is killed at a moment drawn evenly from about
the first checkpoint of the unbroken run to some way behind the last, every checkpoint that is there is read, and the same command, which has
resume=auto, ends it. The kills are dealt to the scenarios in turn. "end_to_end": film and note, two loader workers, augmentation, dropout and
modality dropout, a checkpoint every step; "ddp": the same in two processes; "frozen_features": 12 heads with dropout on features of a perfect
encoder, trained at once. Of each kill it is told what the last checkpoint says, and whether a file was half written; "last step or validation" is
what lies between the checkpoint before an epoch's last step and that after its validation. A run that had ended by then counts for nothing, and
another moment is drawn.

--plain does the same with PyTorch Lightning by itself: its own ModelCheckpoint every step, its own resume, a shuffling DataLoader with two
workers whose augmentation draws from torch's global state. The table gives, for each, in how many of the kills the end was the same, and where
the kills came. Written to kill_benchmark.md and .json; kills that are recorded there are not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import OmegaConf

from mmdx.files import UNFINISHED, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent
FILMS = ["+experiment=xray_text", "data.samples=240", "split.val=0.4", "trainer.max_epochs=4", "training.save_steps=1", "evaluation.resamples=50"]
SCENARIOS = {
    "end_to_end": [*FILMS, "data.num_workers=2", "data.batch_size=8"],
    "ddp": [*FILMS, "data.num_workers=0", "data.batch_size=8", "trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu"],
    "frozen_features": ["+experiment=fusion_missing", "fusion=concat", "fusion.dropout=0.3", "seeds=[0,1,2,3,4,5,6,7,8,9,10,11]", "data.samples=2000",
                        "evaluation.resamples=50"],
}  # fmt: skip


def command(name: str, folder: Path) -> list[str]:
    if name == "plain":
        return [sys.executable, __file__, "--child", str(folder)]
    return [sys.executable, str(ROOT / "train.py"), *SCENARIOS[name], f"hydra.run.dir={folder}", "resume=auto"]


def run(name: str, folder: Path, seconds: float | None = None) -> tuple[float, float, float]:
    """Run to the end, or for so long and kill; after how many seconds there was a checkpoint, the last one was written, and it ended."""
    started, clock, first = time.monotonic(), time.time(), 0.0
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        process = subprocess.Popen(command(name, folder), stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None:
            if seconds is not None and time.monotonic() - started > seconds:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return first, seconds, seconds
            first = first or any(folder.rglob("*.ckpt")) * (time.monotonic() - started)
            time.sleep(0.02)
    if process.returncode:
        sys.exit(f"{name}: ended with code {process.returncode}, see {folder.parent / f'{folder.name}.log'}.")
    return first, max(path.stat().st_mtime for path in folder.rglob("*.ckpt")) - clock, time.monotonic() - started


def place(folder: Path) -> str:
    """Where a killed run had come to; every checkpoint has to be readable."""
    kept = {path: torch.load(path, weights_only=True, map_location="cpu") for path in folder.rglob("*.ckpt")}
    half = "".join(f", {path.name.split('.')[1]}.{path.name.split('.')[2]} half written" for path in folder.rglob(f".*{UNFINISHED}"))
    if (folder / "predictions.parquet").exists():
        return f"scoring{half}"
    models = len(list(folder.glob("models/*/predictions.parquet")))
    last = [one for path, one in kept.items() if path.name == "last.ckpt" and "batches" in one]
    if last and not models:
        done, of = last[0]["batches"], batches(folder)
        where = "epoch ended" if not done else "last step or validation" if of and done == of - 1 else f"{done} of {of or '?'} batches"
        return f"epoch {last[0]['epoch'] + 1}, {where}{half}"
    steps = [one["global_step"] for one in kept.values() if "global_step" in one]  # of Lightning by itself
    return f"{models} models done{half}" if models else f"step {max(steps)}{half}" if steps else f"before the first checkpoint{half}"


def batches(folder: Path) -> int:
    """Of an epoch in each process; 0 where that isn't known, as of Lightning by itself."""
    if not (folder / "models.json").exists():
        return 0
    model, *_ = json.loads((folder / "models.json").read_text())
    cfg = OmegaConf.load(folder / "config.yaml")
    several = cfg.trainer.devices if isinstance(cfg.trainer.devices, int) else 1
    return -(-model["samples"]["train"] // (cfg.data.batch_size * several))


def ended(folder: Path, whole: Path) -> bool:
    """Whether a run has all results, or of Lightning by itself all steps, of the whole one."""
    if (whole / "metrics.json").exists():
        return (folder / "metrics.json").exists()
    steps = [max([torch.load(path, weights_only=True)["global_step"] for path in run.rglob("*.ckpt")], default=0) for run in (folder, whole)]
    return steps[0] == steps[1]


def difference(one: Path, other: Path) -> str:
    """What of two runs is not the same; "" for nothing."""
    names = sorted(path.relative_to(one) for path in one.rglob("*.ckpt"))
    if names != sorted(path.relative_to(other) for path in other.rglob("*.ckpt")):
        return "which checkpoints there are"
    for name in names:
        first, second = (torch.load(run / name, weights_only=True, map_location="cpu")["state_dict"] for run in (one, other))
        if first.keys() != second.keys() or not all(torch.equal(first[key], second[key]) for key in first):
            return f"weights of {name}"
    if (one / "metrics.json").exists():
        if not pd.read_parquet(one / "predictions.parquet").equals(pd.read_parquet(other / "predictions.parquet")):
            return "predictions"
        if (one / "metrics.json").read_bytes() != (other / "metrics.json").read_bytes():
            return "metrics"
    return ""


def killed(name: str, number: int, out: Path, whole: Path, first: float, last: float, end: float) -> dict[str, Any]:
    """One kill, and what came of it; a run that had nothing left to do by then is no kill, and another moment is drawn."""
    folder = out / f"{name}-{number}"
    for attempt in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        at = random.Random(f"{name} {number} {attempt}").uniform(first, last + 0.3 * (end - last))
        run(name, folder, at)
        if not ended(folder, whole):
            break
    came = place(folder)
    run(name, folder)
    found = {"scenario": name, "number": number, "second": round(at, 2), "place": came, "differs": difference(whole, folder)}
    if not found["differs"]:
        shutil.rmtree(folder)
    return found


def table(found: list[dict[str, Any]]) -> str:
    frame = pd.DataFrame(found)
    lines = ["| scenario | kills | same end | what differs | where the kills came |", "|---|---|---|---|---|"]
    for name, own in frame.groupby("scenario", sort=False):
        same = (own["differs"] == "").sum()
        apart = ", ".join(sorted(set(own["differs"]) - {""}))
        where = ", ".join(f"{place} ({count})" for place, count in own["place"].value_counts(sort=False).sort_index().items())
        lines.append(f"| {name} | {len(own)} | {same} of {len(own)} | {apart} | {where} |")
    return "\n".join(lines) + "\n"


def benchmark(out: Path, scenarios: list[str], kills: int, plain: int) -> list[dict[str, Any]]:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "kill_benchmark.json"
    kept = json.loads(path.read_text()) if path.exists() else {"seconds": {}, "kills": []}
    todo = [(scenarios[k % len(scenarios)], k // len(scenarios)) for k in range(kills)] + [("plain", k) for k in range(plain)]
    for name, number in todo:
        if any(one["scenario"] == name and one["number"] == number for one in kept["kills"]):
            continue
        whole = out / f"{name}-whole"
        if name not in kept["seconds"]:
            shutil.rmtree(whole, ignore_errors=True)
            kept["seconds"][name] = [round(value, 2) for value in run(name, whole)]
        found = killed(name, number, out, whole, *kept["seconds"][name])
        kept["kills"].append(found)
        write_json(path, kept)
        print(f"{name} {number}: killed after {found['second']} s ({found['place']}); {found['differs'] or 'the same end'}", flush=True)
    write_text(out / "kill_benchmark.md", table(kept["kills"]))
    print(f"\n{table(kept['kills'])}\nwritten to {out}")
    return kept["kills"]


def lightning_alone(folder: Path) -> None:
    """A small network trained as Lightning's documentation has it, and gone on with from the last checkpoint where there is one."""
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import ModelCheckpoint
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Films(Dataset):
        def __len__(self) -> int:
            return 2000

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            film = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(index))
            time.sleep(0.001)
            return film + 0.1 * torch.randn(1), (film.mean() > 0).float()

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.LazyLinear(1))
            self.body(torch.zeros(1, 1, 32, 32))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return nn.functional.binary_cross_entropy_with_logits(self.body(batch[0])[:, 0], batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    pl.seed_everything(0, workers=True, verbose=False)
    saving = ModelCheckpoint(folder / "checkpoints", "last", every_n_train_steps=1, save_top_k=1, enable_version_counter=False)
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", callbacks=[saving], logger=False, enable_progress_bar=False, enable_model_summary=False)
    last = folder / "checkpoints" / "last.ckpt"
    loader = DataLoader(Films(), batch_size=32, shuffle=True, num_workers=2)
    trainer.fit(Module(), loader, ckpt_path=str(last) if last.exists() else None, weights_only=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--plain", type=int, default=10, help="kills of Lightning by itself (10)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        lightning_alone(chosen.child)
        return
    if not chosen.out:
        parser.error("--out is required")
    if unknown := [name for name in chosen.scenarios.split(",") if name not in SCENARIOS]:
        parser.error(f"--scenarios {unknown[0]}: there are {', '.join(SCENARIOS)}")
    found = benchmark(chosen.out.expanduser().absolute(), chosen.scenarios.split(","), chosen.kills, chosen.plain)
    sys.exit(any(one["differs"] for one in found if one["scenario"] != "plain"))


if __name__ == "__main__":
    main()
