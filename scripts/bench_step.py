"""A training step with real encoders (ResNet-18 at 224, a Transformer of 6 layers, a log-mel ResNet): mmdx against a hand-written loop with the same
maths, and against lightning-hydra-template's way, with its metrics and logging.

    python scripts/bench_step.py [--batch 8] [--steps 12] [--repeats 5] [--workers 0] [--precision 32-true]

All train the same model on the same simulated patients. The hand-written loop and the template's way take the optimiser and the memory layout as
PyTorch gives them; mmdx takes the fused optimiser, unless --plain takes it away, and the layout of training.channels_last=auto. The hand-written
loop draws batches from a DataLoader over tensors that lie ready; mmdx and the template's way draw them from mmdx's own loader. Times are of the
steps alone, after the first two; ratios are of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import logging
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from torch import nn

import mmdx.training.module
from mmdx.commands.hydra_app import composed
from mmdx.data.loading import Examples, loader
from mmdx.data.sampling import EpochSampler
from mmdx.parts import study_from
from mmdx.training.build import build_model, fit_transforms, lay_out, parameter_groups
from mmdx.training.fit import Batches, make_trainer
from mmdx.training.module import MultimodalModule

MODEL = [
    "+encoder/image@encoders.image=resnet18", "encoders.image.transform.size=224", "+encoder/text@encoders.text=small_transformer",
    "encoders.text.layers=6", "+encoder/audio@encoders.audio=timm_logmel", "encoders.audio.name=resnet18", "fusion=gated", "logger=default",
]  # fmt: skip
SKIPPED = 2


class Clock(Callback):
    """Seconds of each step, from batch to batch, and how much of it the loader took."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.waits: list[float] = []
        self.ended = 0.0

    def on_train_batch_start(self, *args: Any) -> None:
        """A batch has come."""
        self.started = time.perf_counter()
        if self.ended:
            self.waits.append(self.started - self.ended)

    def on_train_batch_end(self, *args: Any) -> None:
        """A step is done."""
        now = time.perf_counter()
        if self.ended:
            self.steps.append(now - self.ended)
        self.ended = now


class Template(MultimodalModule):
    """The module as lightning-hydra-template has it: metric objects called and logged in each step."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from torchmetrics import MeanMetric
        from torchmetrics.classification import BinaryAUROC

        self.train_loss, self.train_auroc = MeanMetric(), BinaryAUROC()

    def configure_optimizers(self) -> Any:
        """As the config makes it."""
        optimizer = self._optimizer(self._groups)
        schedule = self._schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Update and log loss and AUROC."""
        logits = self.model(batch).logits
        loss = self.task.loss(logits, batch.target)
        self.train_loss(loss)
        self.train_auroc(logits[:, 0].detach(), batch.target.int())
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch))
        self.log("train/auroc", self.train_auroc, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch))
        return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--precision", default="32-true", help="of mmdx alone")
    parser.add_argument("--plain", action="store_true", help="mmdx without the fused optimiser: what the framework itself costs")
    given = parser.parse_args()
    if given.plain:
        mmdx.training.module.fused_form = lambda optimizer: optimizer
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    rows = given.batch * (given.steps + SKIPPED + 1)
    device = ["trainer.accelerator=cpu", f"trainer.precision={given.precision}"]
    settings = [f"data.samples={2 * rows}", f"data.batch_size={given.batch}", f"data.num_workers={given.workers}"]
    cfg = composed([*MODEL, *settings, *device, "trainer.max_epochs=1"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        study = study_from(cfg, folder)
        study.prepare()
        train, val = study.rows[:rows], study.rows[rows : rows + given.batch]
        transforms, _ = fit_transforms(study.model, study.cohort, train)
        task = study.model.task()
        task.fit(study.target[train])
        model = build_model(study.model, transforms, task.outputs)
        print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} million weights, batches of {given.batch}, {torch.get_num_threads()} threads")
        examples = Examples(study.cohort, transforms, study.target, 0, study.training.modality_dropout)
        ready = list(loader(examples, EpochSampler(train, "shuffled", None, 0), given.batch, 0))

        def by_hand() -> list[float]:
            own = copy.deepcopy(model).train()
            groups = parameter_groups(own, study.model, study.training.lr, study.training.weight_decay)
            optimizer = study.training.optimizer(groups)
            schedule = study.training.schedule(optimizer, len(ready))
            times, ended = [], 0.0
            for batch in ready:
                optimizer.zero_grad()
                loss = task.loss(own(batch).logits, batch.target)
                loss.backward()
                nn.utils.clip_grad_norm_(own.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                now = time.perf_counter()
                times.append(now - ended)
                ended = now
            return times[1 + SKIPPED :]

        def by_trainer(template: bool) -> tuple[list[float], list[float]]:
            own, clock = copy.deepcopy(model), Clock()
            groups = parameter_groups(own, study.model, study.training.lr, study.training.weight_decay)
            if not (template or given.plain):
                lay_out(own, None, torch.device("cpu"))
            kind = Template if template else MultimodalModule
            module = kind(own, task, groups, study.training.optimizer, study.training.schedule, 0)
            batches = Batches(examples, train, val, task.strata(study.target), study.training, 0, False)
            if template:
                callbacks = [TQDMProgressBar(), ModelCheckpoint(folder / "template"), clock]
                trainer = pl.Trainer(
                    max_epochs=1, accelerator="cpu", gradient_clip_val=1.0, callbacks=callbacks, logger=CSVLogger(folder), num_sanity_val_steps=0,
                    use_distributed_sampler=False, enable_model_summary=False,
                )  # fmt: skip
            else:
                trainer = make_trainer(folder, study.training, "bench")
                trainer.callbacks.append(clock)  # type: ignore[attr-defined]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                trainer.fit(module, datamodule=batches)
            return clock.steps[SKIPPED:], clock.waits[SKIPPED:]

        hand, ways = [], {"mmdx": [], "template": []}
        waits = []
        for repeat in range(given.repeats):
            hand.append(median(by_hand()))
            for name in sorted(ways, reverse=repeat % 2 == 1):
                steps, waited = by_trainer(name == "template")
                ways[name].append(median(steps))
                waits += [sum(waited) / sum(steps)] if name == "mmdx" else []
        print(f"a step: by hand {median(hand):.3f} s, mmdx {median(ways['mmdx']):.3f} s, the template's way {median(ways['template']):.3f} s")
        print(f"mmdx over the hand-written loop: {median(h / m for h, m in zip(hand, ways['mmdx'], strict=True)):.3f} of its speed (bar 0.97)")
        over = median(t / m for t, m in zip(ways["template"], ways["mmdx"], strict=True))
        print(f"mmdx over the template's way: {over:.3f} of its speed (bar 1.0)")
        print(f"waiting for the loader: {100 * median(waits):.1f} % of a step (bar 5)")


if __name__ == "__main__":
    main()
