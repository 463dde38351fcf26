"""Train one model and keep it in a folder: fitted state, checkpoints, logs."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from mmdx.data.loading import Examples, ModalityDropout, loader
from mmdx.data.prepare import PreparedCohort
from mmdx.data.sampling import EpochSampler
from mmdx.errors import InputError
from mmdx.files import write_json
from mmdx.stopping import looking
from mmdx.training.build import (
    FITTED,
    build_model,
    check_learns,
    fit_transforms,
    lay_out,
    linear_head,
    load_transforms,
    load_weights,
    parameter_groups,
    read_checkpoint,
    read_fitted,
)
from mmdx.training.distributed import is_first, rank_and_world
from mmdx.training.feature_table import FeatureBatches
from mmdx.training.frozen import EncodedCohort
from mmdx.training.model import MultimodalModel
from mmdx.training.module import MultimodalModule
from mmdx.training.plan import ModelPlan, TrainingPlan
from mmdx.training.predict import outputs_of
from mmdx.training.progress import TrainingProgress
from mmdx.training.saving import LAST, Saving, WholeFiles, position
from mmdx.training.teacher import Teaching
from mmdx.types import Batch, Calibrated, Task, Transform


class Batches(pl.LightningDataModule):
    """Training and validation batches of one model, shared out over the processes of a run."""

    def __init__(
        self, examples: Examples, train: np.ndarray, val: np.ndarray, strata: np.ndarray, plan: TrainingPlan, seed: int, pin_memory: bool
    ) -> None:
        super().__init__()
        self.examples, self.train, self.val, self.strata = examples, train, val, strata
        self.plan, self.seed, self.pin_memory = plan, seed, pin_memory
        self.epoch = self.done = 0

    def state_dict(self) -> dict[str, Any]:
        """Which epoch is under way, and how many of its batches are done."""
        assert self.trainer is not None
        done = position(self.trainer)
        return {"epoch": self.trainer.current_epoch + (done == 0), "batches": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin after those."""
        self.epoch, self.done = state_dict["epoch"], state_dict["batches"]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches in the plan's order; at first those that a stopped run has left of its epoch."""
        return self._loader(self.train, self.plan.order, self.done)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation row."""
        return self._loader(self.val, None)

    def _loader(self, rows: np.ndarray, order: str | None, done: int = 0) -> DataLoader[Batch]:
        rank, world = rank_and_world()
        by = self.plan.bucket_by if order and self.plan.bucket_by in self.examples.transforms else None
        sizes = self.examples.cohort.sizes_of(by, rows) if by else None
        sampler = EpochSampler(rows, order, self.strata[rows], self.seed, rank, world, sizes, self.plan.batch_size)
        sampler.skip = done * self.plan.batch_size
        sampler.set_epoch(self.epoch)  # workers draw before Lightning says which epoch it is
        return loader(self.examples, sampler, self.plan.batch_size, self.plan.num_workers, self.pin_memory)


class TrainedModel:
    """A model with its fitted transforms and task, ready to predict.

    Attributes:
        model, task, transforms: what it is made of.
        device: where it runs.
    """

    def __init__(self, model: MultimodalModel, task: Task, transforms: Mapping[str, Transform], device: torch.device) -> None:
        self.model, self.task, self.transforms, self.device = model, task, dict(transforms), device

    def batches(self, cohort: PreparedCohort, target: np.ndarray, rows: np.ndarray, plan: TrainingPlan) -> Iterable[Batch]:
        """Batches of some rows for evaluation, this process's share."""
        if isinstance(cohort, EncodedCohort) and rank_and_world()[1] == 1:
            return FeatureBatches(cohort, self.transforms, target, rows, plan.batch_size)
        examples = Examples(cohort, self.transforms, target, 0, ModalityDropout(0.0))
        sampler = EpochSampler(rows, None, None, 0, *rank_and_world())
        return loader(examples, sampler, plan.batch_size, plan.num_workers, self.device.type == "cuda")


def fit_model(
    folder: Path,
    plan: ModelPlan,
    training: TrainingPlan,
    cohort: PreparedCohort,
    target: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    seed: int,
    title: str,
    resume: bool,
    teaching: Teaching | None = None,
) -> TrainedModel:
    """Train on some rows, choose on others, and return the chosen model.

    Args:
        folder: takes ``fitted.json``, ``checkpoints/`` and logs.
        plan: what the model is made of.
        training: how it is trained.
        cohort: prepared inputs.
        target: encoded targets of every row.
        train, val: rows to train on and to choose the checkpoint by.
        seed: of initialisation, order, dropout and augmentation.
        title: what the progress bar calls this model.
        resume: go on from the latest checkpoint where the folder has one.
        teaching: draws the model to a teacher; None does not.
    """
    transforms, states = fit_transforms(plan, cohort, train)
    pl.seed_everything(seed, workers=False, verbose=False)
    task = plan.task()
    states = {"inputs": states, "task": task.fit(target[train])}
    model = build_model(plan, transforms, task.outputs)
    groups = parameter_groups(model, plan, training.lr, training.weight_decay)
    check_learns(model, training)
    balance = None
    if training.balance and len(model.modalities) > 1:
        balance = training.balance(widths=model.widths, head=linear_head(task.outputs), kind=task.kind)
        groups += balance.parameter_groups(training.lr, training.weight_decay)
    module = MultimodalModule(
        model, task, groups, training.optimizer, training.schedule, seed, training.fused_loss, training.own_loss(model.fusion), balance, teaching
    )
    examples = Examples(cohort, transforms, target, seed, training.modality_dropout)
    checkpoints = folder / "checkpoints"
    last = checkpoints / LAST
    goes_on = resume and last.exists()
    if goes_on:
        read_checkpoint(last, "remove it, and this model is trained anew")
    with quiet(), looking() as asked:
        trainer = make_trainer(folder, training, title, asked)
        if trainer.is_global_zero:
            if not resume:
                for old in (checkpoints, folder / "logs"):
                    shutil.rmtree(old, ignore_errors=True)
            write_json(folder / FITTED, states)
        lay_out(model, training.channels_last, trainer.strategy.root_device)
        on_gpu = trainer.strategy.root_device.type == "cuda"
        batches = Batches(examples, train, val, task.strata(target), training, seed, on_gpu)
        if training.compile:
            for part in (*model.encoders.values(), *model.aggregators.values(), model.fusion):
                part.compile()  # in place, so that weights keep their names
        with _compiling() if training.compile else contextlib.nullcontext():
            trainer.fit(module, datamodule=batches, ckpt_path=str(last) if goes_on else None, weights_only=True)
    load_weights(module, checkpoints / f"{training.checkpoint}.ckpt")
    module.float()  # what was trained in other precision predicts in 32 bits, as it does when it is loaded again
    plain = copy.deepcopy(module.model) if training.compile else module.model  # a copy is not compiled
    trained = TrainedModel(plain, task, transforms, trainer.strategy.root_device)
    calibrate(trained, cohort, target, train, training, folder)
    return trained


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Say in one sentence that a model could not be compiled."""
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as fault:
        reason = str(getattr(fault, "inner_exception", fault)).strip().split("\n")[0] or type(fault).__name__
        raise InputError(f"training.compile=true: torch could not compile the model ({reason}); set training.compile=false.") from fault


def calibrate(
    trained: TrainedModel, cohort: PreparedCohort, target: np.ndarray, train: np.ndarray, training: TrainingPlan, folder: Path
) -> None:
    """Let a task that asks for it see the trained model's outputs on the training rows, and keep what it makes of them."""
    if isinstance(trained.task, Calibrated):
        found = trained.task.calibrate(*outputs_of(trained.model, trained.batches(cohort, target, train, training), trained.device))
        if is_first():
            write_json(folder / FITTED, read_fitted(folder) | {"task": found})


def load_model(folder: Path, plan: ModelPlan, training: TrainingPlan) -> TrainedModel:
    """The model that an earlier ``fit_model`` left in a folder."""
    states = read_fitted(folder)
    transforms = load_transforms(plan, states["inputs"])
    task = plan.task()
    task.load(states["task"])
    model = build_model(plan, transforms, task.outputs, trained=True)
    module = MultimodalModule(model, task, [], training.optimizer, training.schedule, 0)
    load_weights(module, folder / "checkpoints" / f"{training.checkpoint}.ckpt")
    device = device_of(training)
    lay_out(model, training.channels_last, device)
    return TrainedModel(model, task, transforms, device)


def device_of(training: TrainingPlan) -> torch.device:
    """This process's device of the kind that a plan's accelerator names, or of the best kind here where this machine has none of that."""
    with quiet():
        try:
            device = pl.Trainer(accelerator=training.trainer.get("accelerator", "auto"), devices=1, logger=False).strategy.root_device
        except (MisconfigurationException, RuntimeError, ImportError):
            device = pl.Trainer(accelerator="auto", devices=1, logger=False).strategy.root_device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if device.type == "cuda" else device


OURS = {
    "fast_dev_run": "it trains nothing that is kept; use trainer.max_epochs=1 +trainer.limit_train_batches=2",
    "check_val_every_n_epoch": "the checkpoint is chosen after every epoch",
    "val_check_interval": "the checkpoint is chosen after every epoch",
    "limit_val_batches": "the checkpoint is chosen on every validation sample",
    "overfit_batches": "the checkpoint is chosen on every validation sample",
    "max_time": "the learning-rate schedule needs the number of epochs; use trainer.max_epochs",
    "max_steps": "the learning-rate schedule needs the number of epochs; use trainer.max_epochs",
    "enable_checkpointing": "a run keeps its best and its last model",
    "callbacks": "callbacks have a group of their own, as in callbacks=ema",
    "logger": "loggers have a group of their own, as in logger=csv",
    "default_root_dir": "the run folder is hydra.run.dir",
    "use_distributed_sampler": "every sample is dealt to one process by mmdx",
    "num_sanity_val_steps": "training begins with training",
    "enable_progress_bar": "the progress bar is mmdx's own; logger=none leaves out the logs",
    "enable_model_summary": "the progress bar is mmdx's own",
}
"""Arguments of Lightning's Trainer that mmdx sets itself, and why."""


def check_trainer(arguments: Mapping[str, Any]) -> None:
    """Try the trainer's arguments before anything is read.

    Raises:
        InputError: for one that Lightning does not know, refuses here, or that mmdx sets itself.
    """
    known = set(inspect.signature(pl.Trainer).parameters)
    devices = arguments.get("devices", "auto")
    accelerator = arguments.get("accelerator", "auto")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    if on_cpu and isinstance(devices, int) and devices > (os.cpu_count() or 1):
        raise InputError(f"trainer.devices={devices}: this machine has {os.cpu_count()} CPU cores, and each process needs one.")
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    if "bf16" in str(arguments.get("precision")) and on_gpu and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(False):
        raise InputError(f"trainer.precision={arguments['precision']}: this GPU does not compute in bfloat16; use 16-mixed or 32-true.")
    for name in arguments:
        if name in OURS:
            raise InputError(f"trainer.{name}: not to be set, since {OURS[name]}.")
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InputError(f"trainer.{name}: Lightning's Trainer has no such argument{f'; did you mean {near[0]}?' if near else '.'}")
    try:
        with quiet():
            pl.Trainer(**{**arguments, "strategy": "auto", "devices": 1, "num_nodes": 1}, logger=False, enable_checkpointing=False)
    except (TypeError, ValueError, ImportError, MisconfigurationException, RuntimeError) as fault:
        raise InputError(f"trainer: {str(fault).strip().splitlines()[0]}") from fault


def make_trainer(folder: Path, training: TrainingPlan, title: str, asked: Callable[[], int] = lambda: 0) -> pl.Trainer:
    """Lightning's trainer with our checkpoints, early stopping and progress; ``asked`` tells the signal that asked to stop."""
    callbacks: list[Callback] = [
        Saving(folder / "checkpoints", training.monitor, training.mode, training.save_steps, training.save_minutes, asked),
        TrainingProgress(title, training.monitor, training.mode),
        *training.callbacks(),
    ]
    if training.patience is not None:
        callbacks.append(EarlyStopping(training.monitor, mode=training.mode, patience=training.patience, check_on_train_epoch_end=True))
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # deterministic operations need no filled memory
    try:
        return _trainer(folder, training, callbacks)
    except (TypeError, ValueError, MisconfigurationException) as fault:
        raise InputError(f"trainer: {str(fault).strip().splitlines()[0]}") from fault


def _trainer(folder: Path, training: TrainingPlan, callbacks: list[Callback]) -> pl.Trainer:
    plugins = training.trainer.get("plugins") or []
    plugins = [*(plugins if isinstance(plugins, list | tuple) else [plugins]), WholeFiles()]
    fixed = {"use_distributed_sampler": False, "num_sanity_val_steps": 0, "enable_progress_bar": False, "enable_model_summary": False}
    given = {**training.trainer, **fixed, "plugins": plugins}
    return pl.Trainer(**given, callbacks=callbacks, logger=training.loggers(folder), default_root_dir=folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out Lightning's hints and notices; warnings of other libraries pass."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", module="lightning_fabric")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
