"""The progress a person wants to see: which model, how far, how good so far, how long still."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """A bar on a terminal, nothing elsewhere; a context manager.

    Args:
        title: what is done.
        total: in how many steps.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.bar: Progress | None = None

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            count = TextColumn("{task.completed} of {task.total} {task.fields[numbers]}")
            columns = [TextColumn("{task.description}"), BarColumn(20), count, TimeRemainingColumn()]
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.line = self.bar.add_task(self.title, total=self.total, numbers="")
            self.bar.start()
        return self

    def step(self, numbers: str = "") -> None:
        """One step further."""
        if self.bar:
            self.bar.update(self.line, advance=1, numbers=numbers)

    def __exit__(self, *fault: object) -> None:
        if self.bar:
            self.bar.stop()


class TrainingProgress(Callback):
    """A bar while training on a terminal, one line at the end in any case.

    Args:
        title: which model of the run this is, such as "fold 2 of 5".
        monitor: the validation metric that is shown with its best value.
        mode: "max" or "min", what is better.
    """

    def __init__(self, title: str, monitor: str, mode: str) -> None:
        self.title, self.monitor, self.sign = title, monitor, 1.0 if mode == "max" else -1.0
        self.best, self.best_epoch, self.started = float("nan"), 0, 0.0
        self.bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin."""
        self.started = time.monotonic()
        if trainer.is_global_zero and sys.stderr.isatty():
            columns = [TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[numbers]}"), TimeRemainingColumn()]
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            total = trainer.max_epochs * trainer.num_training_batches if trainer.max_epochs else None
            self.line = self.bar.add_task(self.title, total=total, numbers="")
            self.bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """One step further."""
        if self.bar:
            self.bar.update(self.line, completed=trainer.global_step * trainer.accumulate_grad_batches)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's numbers."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score = metrics.get(self.monitor, float("nan"))
        if not self.sign * score <= self.sign * self.best:
            self.best, self.best_epoch = score, trainer.current_epoch + 1
        if self.bar:
            loss = metrics.get("train/loss", float("nan"))
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            text = f"{epoch}  loss {loss:.3f}  {self.monitor} {score:.3f} (best {self.best:.3f}, epoch {self.best_epoch})"
            self.bar.update(self.line, numbers=text)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One line that stays."""
        self._stop()
        if trainer.is_global_zero:
            took = time.monotonic() - self.started
            print(f"{self.title}: {trainer.current_epoch} epochs in {took:.0f} s, best {self.monitor} {self.best:.3f} at epoch {self.best_epoch}")

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
