"""Fusion heads on features that were computed beforehand: many at once, without a loader and without a framework's cost for each step."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdx.data.sampling import ORDERS
from mmdx.errors import InputError
from mmdx.files import write_tensors
from mmdx.training.alike import described
from mmdx.training.build import fused_form, parameter_groups
from mmdx.training.feature_table import FeatureTable, scale, standardised
from mmdx.training.model import MultimodalModel
from mmdx.training.plan import ModelPlan, TrainingPlan
from mmdx.training.progress import Bar
from mmdx.training.stack import Engine, OneHead, Stack, loss_of
from mmdx.types import Features, Task, Transform

SIZES = (32, 16, 8, 4)
"""Numbers of heads that are tried at once: the more the less a step costs each, until what it reads and writes leaves the cache."""
VALIDATED = 8192
"""Rows times heads of a batch for validation."""
WRITERS = 8
"""Checkpoints that are written at once."""
KEPT_READY = 2**28
"""Bytes of features up to which they are standardised once, in memory."""
Batch = tuple[dict[str, Features], dict[str, Tensor], Tensor]
KNOWN = {"accelerator", "devices", "num_nodes", "strategy", "precision", "max_epochs", "accumulate_grad_batches", "gradient_clip_val",
         "deterministic", "log_every_n_steps"}  # fmt: skip
FOLLOWED = {"accumulate_grad_batches": ("1",), "num_nodes": ("1",), "precision": ("32-true", "32"), "devices": ("auto", "1"), "strategy": ("auto",)}
"""Arguments of Lightning's trainer that are known here, and of some the values; with others, heads are trained by Lightning."""


@dataclass
class Head:
    """One model to be trained.

    Attributes:
        name: what it is called.
        seed: of order, dropout and modality dropout.
        training: how it is trained.
        groups: parameter groups of the optimiser, of names of the fusion's parameters, with their lr and weight decay.
        train, val: rows to train on and to choose the epoch by.
        model: with features in the place of inputs; takes the weights of the epoch that is chosen.
        task: fitted.
        transforms: fitted, of each modality.
        folder: takes checkpoints and logs.
    """

    name: str
    seed: int
    training: TrainingPlan
    groups: list[dict[str, Any]]
    train: np.ndarray
    val: np.ndarray
    model: MultimodalModel
    task: Task
    transforms: dict[str, Transform]
    folder: Path
    history: list[dict[str, float]] = field(default_factory=list)
    best: float = float("nan")
    best_epoch: int = -1
    chosen: dict[str, Tensor] = field(default_factory=dict)
    last: dict[str, Tensor] = field(default_factory=dict)
    waited: int = 0

    @property
    def shape(self) -> str:
        """What heads that are trained at once have in common: all but seeds, rows, weights, learning rates, weight decay, rates of dropout
        and of modality dropout, order, patience, and which checkpoint is taken.
        """
        training = self.training
        settings = [training.batch_size, dict(training.trainer), training.fused_loss, training.per_modality_loss, training.monitor, training.mode]
        groups = [{key: value for key, value in group.items() if key not in ("lr", "weight_decay")} for group in self.groups]
        parts = [training.optimizer, training.schedule, self.task, self.model.fusion]
        return described([len(self.train), settings, groups, _state(self.task), parts])


def _state(task: Task) -> dict[str, Tensor]:
    return task.state_dict() if isinstance(task, torch.nn.Module) else {}


def needs_lightning(training: TrainingPlan) -> str:
    """Why heads are trained by Lightning and not here; "" where they are not."""
    trainer = training.trainer
    for name, value in trainer.items():
        if name not in KNOWN:
            return f"trainer.{name} is Lightning's"
        if name in FOLLOWED and str(value) not in FOLLOWED[name]:
            return f"trainer.{name}={value}"
    if training.teacher:
        return "what a teacher says of each sample is Lightning's to heed"
    if training.callbacks():
        return "callbacks are Lightning's"
    return "" if training.monitor in ("val/score", "val/loss", "train/loss") else f"training.monitor={training.monitor}"


def train_heads(
    heads: Sequence[Head],
    table: FeatureTable,
    target: np.ndarray,
    device: torch.device,
    size: int = 1,
    finished: Callable[[Sequence[Head]], None] = lambda heads: None,
    done: Container[Path] = (),
) -> None:
    """Train heads of one shape, choose each one's epoch, and write its checkpoints and logs.

    Args:
        heads: of one ``shape``.
        table: the features.
        target: encoded targets of every row of the data set.
        device: where they are trained.
        size: so many are trained at once, in their order. What a head becomes depends on which are trained with it, by the last bits of its sums and
            by what dropout draws.
        finished: is given heads as soon as they are trained and written.
        done: folders of heads that are finished; those trained at once with others are trained again, and end as they did.

    Raises:
        InputError: where the outputs of a head are not finite.
    """
    groups = [list(heads[i : i + size]) for i in range(0, len(heads), size)]
    groups = [group for group in groups if not all(head.folder in done for head in group)]
    with Bar("training", sum(_steps(group[0]) for group in groups)) as bar:
        for group in groups:
            _fit(group, _engine(group), table, target, device, bar)
            with ThreadPoolExecutor(WRITERS) as pool:  # they wait for the disk together
                list(pool.map(_write, group))
            for head in group:
                _log(head)
                head.model.fusion.load_state_dict(head.chosen if head.training.checkpoint == "best" else head.last)
            finished(group)


def _steps(head: Head) -> int:
    return int(head.training.trainer.get("max_epochs", 10)) * -(-len(head.train) // head.training.batch_size)


def _engine(heads: Sequence[Head]) -> Engine:
    """What takes the steps of some heads."""
    steps, training = _steps(heads[0]), heads[0].training
    parts: Any = (
        fused_form(training.optimizer),
        lambda optimizer: training.schedule(optimizer, steps),
        loss_of(heads[0].task, training.fused_loss, training.own_loss(heads[0].model.fusion)),
        training.trainer.get("gradient_clip_val"),
    )
    if len(heads) > 1:
        return Stack([head.model.fusion for head in heads], [head.groups for head in heads], *parts)
    return OneHead(heads[0].model.fusion, heads[0].groups, *parts)


def named_groups(model: MultimodalModel, plan: ModelPlan, training: TrainingPlan) -> list[dict[str, Any]]:
    """The optimiser's parameter groups of a model on features, of names of the fusion's parameters."""
    names = {parameter: name for name, parameter in model.fusion.named_parameters()}
    groups = parameter_groups(model, plan, training.lr, training.weight_decay)
    return [group | {"params": [names[p] for p in group["params"]]} for group in groups]


def at_once(heads: Sequence[Head], table: FeatureTable, target: np.ndarray, device: torch.device, asked: bool | None = None) -> tuple[int, str]:
    """How many heads of one shape are trained at once, and why: fewer are tried by the time of a few steps until that is slower.

    Args:
        heads, table, target, device: as of ``train_heads``.
        asked: True for more than one, False for one; None for what is faster.

    Raises:
        InputError: where more than one was asked for and they cannot be stacked.
    """
    if len(heads) == 1 or asked is False:
        return 1, ""
    some = [copy.copy(head) for head in heads[: max(SIZES)]]
    for head in some:
        head.model = copy.deepcopy(head.model)
    batches, name = Batches(some, table, target, device), type(heads[0].model.fusion).__name__
    times: dict[int, float] = {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for size in (1, *sorted({min(size, len(some)) for size in SIZES}, reverse=True)):
            own = some[:size]
            batch = batches(own, np.stack([head.train[: head.training.batch_size] for head in own]))
            try:
                times[size] = _seconds(_engine(own), batch, device) / size
            except (RuntimeError, NotImplementedError) as fault:
                told = f"{name} cannot be stacked ({str(fault).strip().splitlines()[0].rstrip('.')})"
                if asked:
                    raise InputError(f"training.stack=true: {told}; set it to auto.") from None
                return 1, f"one head at a time, as {told}"
            if 1 < size < max(times) and times[size] > min(times[other] for other in times if other > size):
                break
    best = min(times, key=lambda size: times[size] if size > 1 or not asked else np.inf)
    if best > 1:
        return best, f"{best} heads at once, {times[1] / times[best]:.1f} times as fast as one at a time"
    other = min(times[size] for size in times if size > 1)
    return 1, f"one head at a time, {other / times[1]:.1f} times as fast as several at once"


def _seconds(engine: Engine, batch: Batch, device: torch.device, repeats: int = 5) -> float:
    """The fastest of a few steps."""
    engine.begin([0] * engine.size, 0)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        engine.step(*batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)


class Batches:
    """Batches of heads' own rows from one table of features, standardised as each head's transforms say.

    Args:
        heads: they share shapes, and may differ in their folds.
        table: the features.
        target: encoded targets of every row of the data set.
        device: where batches go.
    """

    def __init__(self, heads: Sequence[Head], table: FeatureTable, target: np.ndarray, device: torch.device) -> None:
        self.table, self.target, self.device = table, target, device
        states = [{m: (t.mean.tobytes(), t.sd.tobytes()) for m, t in head.transforms.items()} for head in heads]  # type: ignore[attr-defined]
        self.ready = table.bytes <= KEPT_READY and all(state == states[0] for state in states)
        if self.ready:
            self.table = table.standardised(heads[0].transforms)

    def __call__(self, heads: Sequence[Head], rows: np.ndarray, kept: Mapping[str, np.ndarray] | None = None) -> Batch:
        """Features, presence and targets [E, B, ...] of rows [E, B]; ``kept`` says what modality dropout leaves."""
        features = self.table.features(rows)
        if not self.ready:
            features = {m: Features(standardised(f.tokens, *scale([h.transforms[m] for h in heads])), f.mask) for m, f in features.items()}
        moved = {m: Features(f.tokens.to(self.device), f.mask.to(self.device)) for m, f in features.items()}
        present = {m: torch.from_numpy(here).to(self.device) for m, here in (self.table.present(rows) if kept is None else kept).items()}
        return moved, present, torch.as_tensor(self.target[rows]).to(self.device)


def _fit(
    heads: list[Head], engine: Engine, table: FeatureTable, target: np.ndarray, device: torch.device, bar: Bar
) -> None:
    """Train some heads at once, each until its own end."""
    training = heads[0].training
    for head in heads:
        head.model.to(device)
    batches = Batches(heads, table, target, device)
    epochs = int(training.trainer.get("max_epochs", 10))
    active, sign = list(heads), 1.0 if training.mode == "max" else -1.0
    for epoch in range(epochs):
        engine.begin([head.seed for head in active], epoch)
        rows = np.stack([_order(head, target, epoch) for head in active])
        kept = [_kept(head, table, own, epoch) for head, own in zip(active, rows, strict=True)]
        present = {m: np.stack([own[m] for own in kept]) for m in kept[0]}
        total = torch.zeros(len(active), device=device)
        for start in range(0, rows.shape[1], training.batch_size):
            some = slice(start, start + training.batch_size)
            batch = batches(active, rows[:, some], {m: here[:, some] for m, here in present.items()})
            total += engine.step(*batch) * batch[2].shape[1]
            bar.step()
        stopped = _validated(active, engine, batches, epoch, (total / rows.shape[1]).tolist(), sign)
        for e, head in enumerate(active):
            if e in stopped or epoch + 1 == epochs:
                head.last = engine.state(e)
        active = [head for e, head in enumerate(active) if e not in stopped]
        if not active:
            return
        if stopped:
            engine.keep([e for e in range(engine.size) if e not in stopped])


def _order(head: Head, target: np.ndarray, epoch: int) -> np.ndarray:
    strata = head.task.strata(target)[head.train]
    return head.train[ORDERS[head.training.order](strata, np.random.default_rng([head.seed, epoch]))]


def _kept(head: Head, table: FeatureTable, rows: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
    """What of each row's modalities is left by modality dropout."""
    return head.training.modality_dropout.many(table.present(rows), np.random.default_rng([head.seed, epoch, 1]), epoch)


def _validated(
    heads: Sequence[Head],
    engine: Engine,
    batches: Batches,
    epoch: int,
    losses: Sequence[float],
    sign: float,
) -> set[int]:
    """Measure every head after an epoch, keep its weights where they are the best so far, and return those that stop here."""
    stopped = set()
    for some in _of_one_fold(heads):
        logits = _logits(heads, some, engine, batches)
        wanted = torch.as_tensor(batches.target[heads[some[0]].val])
        for e, own in zip(some, logits, strict=True):
            head = heads[e]
            if not torch.isfinite(own).all():
                raise InputError(
                    f"{head.name}: training diverged in epoch {epoch}: the model's outputs are not finite. Lower optimizer.lr, set "
                    "trainer.gradient_clip_val=1.0, or look for extreme values in the data."
                )
            found = {"train/loss": losses[e], "val/loss": float(head.task.loss(own, wanted)), "val/score": head.task.score(own, wanted)}
            head.history.append(found)
            value = found[head.training.monitor]
            if sign * value > sign * head.best or head.best_epoch < 0:
                head.best, head.best_epoch, head.waited = value, epoch, 0
                head.chosen = engine.state(e)
            else:
                head.waited += 1
            if head.training.patience is not None and (head.waited >= head.training.patience or not np.isfinite(value)):
                stopped.add(e)
    return stopped


def _of_one_fold(heads: Sequence[Head]) -> Iterator[list[int]]:
    """Places of the heads that are validated on the same rows."""
    found: dict[bytes, list[int]] = {}
    for e, head in enumerate(heads):
        found.setdefault(head.val.tobytes(), []).append(e)
    yield from found.values()


@torch.no_grad()
def _logits(heads: Sequence[Head], some: list[int], engine: Engine, batches: Batches) -> Tensor:
    """Logits [e, n, K] of heads of one fold on their validation rows."""
    rows, parts = heads[some[0]].val, []
    size = max(1, VALIDATED // len(some))
    for start in range(0, len(rows), size):
        features, present, _ = batches([heads[some[0]]], rows[None, start : start + size])
        own = {m: Features(f.tokens[0], f.mask[0]) for m, f in features.items()}
        parts.append(engine.logits(some, own, {m: here[0] for m, here in present.items()}).float().cpu())
    return torch.cat(parts, dim=1)


def _write(head: Head) -> None:
    """Write checkpoints."""
    own = {f"task.{key}": tensor.cpu() for key, tensor in _state(head.task).items()}
    for name, state, epoch in (("best", head.chosen, head.best_epoch), ("last", head.last, len(head.history) - 1)):
        kept = {f"model.fusion.{key}": tensor.cpu() for key, tensor in state.items()} | own
        write_tensors(head.folder / "checkpoints" / f"{name}.ckpt", {"epoch": epoch, "state_dict": kept})


def _log(head: Head) -> None:
    for logger in head.training.loggers(head.folder):
        for epoch, found in enumerate(head.history):
            logger.log_metrics({"epoch": epoch, **found}, step=epoch)
        logger.finalize("success")
