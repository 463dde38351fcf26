"""Checkpoints: the best epoch's, and the latest state of training, from which a run goes on with the last bit equal."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from mmdx.errors import InputError
from mmdx.files import write_tensors
from mmdx.stopping import leave, listen
from mmdx.training.distributed import gather, rank_and_world, wait_for_all

BEST, LAST = "best.ckpt", "last.ckpt"
AGREED = 10
"""Steps after which several processes agree whether to save or to stop; one process looks after each."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint so that a kill leaves the old or the new one, whole, on the disk and not only on its way there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write."""
        write_tensors(Path(path), checkpoint)


class Saving(Checkpoint):
    """Writes ``best.ckpt`` after an epoch that is better than all before, and ``last.ckpt`` after each epoch, every so many steps or minutes,
    and where a signal asks the run to stop.

    A checkpoint between two steps is written only where gradients are not being accumulated, and never after an epoch's last step, since validation
    and the epoch's own checkpoint follow.

    Args:
        folder: takes both.
        monitor: the metric that tells which epoch is best.
        mode: "max" or "min", what is better.
        steps: steps of the optimiser between two checkpoints within an epoch; None for none.
        minutes: minutes between two checkpoints; None for none.
        asked: the signal that asked to stop, 0 for none.

    Raises:
        InputError: where the monitored metric was not measured, or the run's folder is gone.
        Stopped: after a checkpoint, where a signal asked for it.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        mode: str,
        steps: int | None = None,
        minutes: float | None = None,
        asked: Callable[[], int] = lambda: 0,
    ) -> None:
        self.folder, self.monitor, self.sign = folder, monitor, 1.0 if mode == "max" else -1.0
        self.steps, self.minutes, self.asked = steps, minutes, asked
        self.best, self.best_epoch, self.ended = float("nan"), -1, False
        self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        return {"best": self.best, "best_epoch": self.best_epoch, "ended": self.ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self.best, self.best_epoch, self.ended = (state_dict[key] for key in ("best", "best_epoch", "ended"))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run that had ended before it was stopped is not trained further."""
        trainer.should_stop = self.ended
        self.saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to signals, which Lightning's own handlers would answer without a checkpoint."""
        listen()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save, and stop, where it is time to."""
        done = batch_idx + 1
        if done >= trainer.num_training_batches or done % trainer.accumulate_grad_batches:
            return
        due = self.steps is not None and done // trainer.accumulate_grad_batches % self.steps == 0
        signum = 0
        if rank_and_world()[1] == 1 or done // trainer.accumulate_grad_batches % AGREED == 0:
            late = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
            told = gather((self.asked(), late))
            signum, due = max(one for one, _ in told), due or told[0][1]
        if due or signum:
            self._save(trainer, LAST)
        if signum:
            wait_for_all()
            leave(signum)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the best and the last."""
        if self.monitor not in trainer.callback_metrics:
            raise InputError(f"training.monitor={self.monitor}: not measured; there are {', '.join(sorted(trainer.callback_metrics))}.")
        value = float(trainer.callback_metrics[self.monitor])
        better = self.best_epoch < 0 or self.sign * value > self.sign * self.best or (np.isnan(self.best) and not np.isnan(value))
        if better:
            self.best, self.best_epoch = value, trainer.current_epoch
        self.ended = trainer.should_stop or trainer.current_epoch + 1 >= (trainer.max_epochs or 0)
        if better:
            self._save(trainer, BEST)
        self._save(trainer, LAST)
        if signum := max(gather(self.asked())):
            wait_for_all()
            leave(signum)

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        if not self.folder.parent.exists():
            raise InputError(f"{self.folder.parent}: was removed while the run was writing to it; start the run again.")
        trainer.save_checkpoint(self.folder / name)
        self.saved = time.monotonic()


def position(trainer: pl.Trainer) -> int:
    """How many batches of an epoch a trainer has done; 0 where it is between two epochs."""
    done: int = getattr(trainer.fit_loop.epoch_loop.batch_progress.current, "processed")  # noqa: B009
    return 0 if done >= trainer.num_training_batches else done


def random_states(device: torch.device) -> dict[str, Any]:
    """Every random state of this process, in tensors and plain values."""
    kind, keys, place, has, cached = np.random.get_state()
    states = {
        "torch": torch.get_rng_state(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(place), int(has), float(cached)],
        "python": random.getstate(),
    }
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Take back what ``random_states`` gave."""
    torch.set_rng_state(states["torch"].cpu())
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))
    if device.type != "cpu" and "device" in states:
        torch.get_device_module(device).set_rng_state(states["device"].cpu())
