"""Ends a trial in the middle of its training where it looks worse than the others did."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.callbacks import Callback

from mmdx.errors import InputError
from mmdx.sweep.outcome import TRIAL, Pruned

if TYPE_CHECKING:
    import optuna

WATCHED = "watched"
"""User attribute of a trial: the folder of the model whose epochs are reported."""


class Pruning(Callback):
    """Reports ``val/score`` of each epoch to the sweep that the run is a trial of, and ends the run when the sweep's pruner says so.

    Of a run that trains several models (folds, seeds, subsets) the first alone is watched. In a run that is no trial it does nothing.
    """

    def __init__(self) -> None:
        self._trial: optuna.Trial | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the trial.

        Raises:
            InputError: where several processes train one model.
        """
        self._trial = trial_of(_run_folder())
        if self._trial is None:
            return
        if trainer.world_size > 1:
            raise InputError("hydra.sweeper.pruner: a model trained by several processes can't be pruned; set hydra/sweeper/pruner=none.")
        watched = self._trial.user_attrs.get(WATCHED) or Path(trainer.default_root_dir).name
        if watched != Path(trainer.default_root_dir).name:
            self._trial = None
        elif WATCHED not in self._trial.user_attrs:
            self._trial.set_user_attr(WATCHED, watched)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch.

        Raises:
            Pruned: where the trial is to end.
        """
        if self._trial is not None and "val/score" in trainer.callback_metrics:
            report(self._trial, trainer.current_epoch, float(trainer.callback_metrics["val/score"]))


def _run_folder() -> Path | None:
    return Path(HydraConfig.get().runtime.output_dir) if HydraConfig.initialized() else None


def trial_of(folder: Path | None) -> optuna.Trial | None:
    """The trial that a run folder belongs to, where it is to be pruned and has not ended."""
    if folder is None or not (folder / TRIAL).exists():
        return None
    found: dict[str, Any] = json.loads((folder / TRIAL).read_text(encoding="utf-8"))
    if not found["pruning"]:
        return None
    import optuna

    from mmdx.sweep.samplers import pruner_of
    from mmdx.sweep.storage import open_storage, open_study

    optuna.logging.set_verbosity(logging.ERROR)
    study = open_study(open_storage(folder.parent, found["pruning"]["storage"]))
    study.pruner = pruner_of(found["pruning"]["pruner"])
    frozen = study.get_trials(deepcopy=False)[found["number"]]
    return None if frozen.state.is_finished() else optuna.Trial(study, frozen._trial_id)


def report(trial: optuna.Trial, epoch: int, value: float) -> None:
    """Report the value of an epoch; one that was reported before the run was gone on with is not judged again.

    Raises:
        Pruned: where the trial is to end.
    """
    reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    if reported and epoch <= max(reported):
        return
    trial.report(value, epoch)
    if trial.should_prune():
        raise Pruned(f"pruned after epoch {epoch} with val/score {value:.4f}")
