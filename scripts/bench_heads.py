"""Many fusion heads on cached features: mmdx against Lightning, as lightning-hydra-template trains and with logging alone, and a plain PyTorch loop.

    python scripts/bench_heads.py [--seeds 32] [--rows 4000] [--epochs 5] [--repeats 3] [--fusion concat]

All train the same head from the same start on the same rows in the same order, with AdamW, gradient clipping, warm-up and cosine, and measure
the validation rows after each epoch. The peers' time is that of a few seeds times the number of seeds. Ratios are of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mmdx.data.feature_store import Located
from mmdx.data.loading import ModalityDropout
from mmdx.data.sampling import EpochSampler
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.tokens import JointTransformer
from mmdx.tasks.binary import Binary
from mmdx.training.build import build_model
from mmdx.training.feature_table import FeatureTable
from mmdx.training.frozen import EncodedCohort, PrecomputedFeatures, StandardisedFeatures
from mmdx.training.heads import Head, at_once, named_groups, train_heads
from mmdx.training.plan import EncoderPlan, ModelPlan, TrainingPlan
from mmdx.types import Features

FUSIONS = {"concat": Concatenation, "gated": GatedMultimodalUnit, "tokens": JointTransformer}
MODALITIES = ("image", "text")
BATCH = 64


class Data:
    """Random features of two modalities with a class that they tell a little of."""

    def __init__(self, rows: int, width: int, tokens: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.target = rng.integers(0, 2, rows).astype(np.float32)
        self.features = {m: rng.normal(0, 1, (rows, tokens, width)).astype(np.float32) for m in MODALITIES}
        for values in self.features.values():
            values[:, :, :4] += 0.5 * self.target[:, None, None]
        self.train, self.val = np.arange(rows * 4 // 5), np.arange(rows * 4 // 5, rows)

    def cohort(self) -> EncodedCohort:
        """The features as an encoded cohort has them."""
        cohort = EncodedCohort.__new__(EncodedCohort)
        cohort.located = {}
        for m, values in self.features.items():
            rows, tokens, width = values.shape
            start = np.arange(rows) * tokens
            cohort.located[m] = Located([values.reshape(-1, width)], np.zeros(rows, int), start, np.full(rows, tokens))
        return cohort


def plans(data: Data, fusion: str, epochs: int, dropout: float) -> tuple[ModelPlan, TrainingPlan]:
    settings = {} if fusion == "gated" else {"dropout": dropout}
    parts = {
        m: EncoderPlan(lambda transform, width=v.shape[2]: PrecomputedFeatures(width, transform), StandardisedFeatures(v.shape[2]))
        for m, v in data.features.items()
    }
    trainer = {"max_epochs": epochs, "gradient_clip_val": 1.0, "accelerator": "cpu"}
    training = TrainingPlan(batch_size=BATCH, trainer=trainer, modality_dropout=ModalityDropout(0.0))
    return ModelPlan(parts, partial(FUSIONS[fusion], **settings), Binary), training


def started(data: Data, plan: ModelPlan, training: TrainingPlan, table: FeatureTable, seed: int, folder: Path) -> Head:
    states = table.fit(data.train)
    transforms = {m: StandardisedFeatures(values.shape[2]) for m, values in data.features.items()}
    for m, transform in transforms.items():
        transform.load(states[m])
    torch.manual_seed(seed)
    task = plan.task()
    task.fit(data.target[data.train])
    model = build_model(plan, transforms, task.outputs)
    groups = named_groups(model, plan, training)
    return Head(f"seed{seed}", seed, training, groups, data.train, data.val, model, task, transforms, folder / f"seed{seed}")


def ours(data: Data, fusion: str, epochs: int, seeds: range, dropout: float, folder: Path, stack: bool | None = None) -> list[Head]:
    plan, training = plans(data, fusion, epochs, dropout)
    table = FeatureTable(data.cohort(), MODALITIES)
    heads = [started(data, plan, training, table, seed, folder) for seed in seeds]
    size, told = at_once(heads, table, data.target, torch.device("cpu"), stack)
    train_heads(heads, table, data.target, torch.device("cpu"), size)
    if told:
        print(f"  {told}")
    return heads


class Plain(pl.LightningModule):
    """The same head as a Lightning module with the losses and the validation score logged."""

    def __init__(self, head: Head, training: TrainingPlan) -> None:
        super().__init__()
        self.fusion, self.task, self.plan = head.model.fusion, head.task, training
        self.seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Log the loss."""
        loss = self.task.loss(self.fusion(*as_features(batch)).logits, batch[-1])
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Keep logits and targets."""
        self.seen.append((self.fusion(*as_features(batch)).logits, batch[-1]))

    def on_validation_epoch_end(self) -> None:
        """Log the score."""
        logits, target = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.seen = []
        self.log("val/score", self.task.score(logits, target))

    def configure_optimizers(self) -> dict:
        """As mmdx has it."""
        optimizer, schedule = optimised(self.fusion, self.plan, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Template(Plain):
    """The same as lightning-hydra-template's module does it: metric objects of torchmetrics, called in each step, shown in the progress bar."""

    def __init__(self, head: Head, training: TrainingPlan) -> None:
        super().__init__(head, training)
        from torchmetrics import MaxMetric, MeanMetric
        from torchmetrics.classification import BinaryAUROC

        self.train_auroc, self.val_auroc, self.best = BinaryAUROC(), BinaryAUROC(), MaxMetric()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """Update and log loss and AUROC."""
        logits = self.fusion(*as_features(batch)).logits
        loss = self.task.loss(logits, batch[-1])
        self.train_loss(loss)
        self.train_auroc(logits[:, 0].detach(), batch[-1].int())
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/auroc", self.train_auroc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        """Update and log loss and AUROC."""
        logits = self.fusion(*as_features(batch)).logits
        self.val_loss(self.task.loss(logits, batch[-1]))
        self.val_auroc(logits[:, 0], batch[-1].int())
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/auroc", self.val_auroc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """The best value so far."""
        self.best(self.val_auroc.compute())
        self.log("val/auroc_best", self.best.compute(), sync_dist=True, prog_bar=True)


def as_features(batch: list[Tensor]) -> tuple[dict[str, Features], dict[str, Tensor]]:
    everything = torch.ones(len(batch[-1]), dtype=torch.bool)
    features = {m: Features(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)) for m, tokens in zip(MODALITIES, batch, strict=False)}
    return features, dict.fromkeys(MODALITIES, everything)


def optimised(fusion: nn.Module, training: TrainingPlan, steps: int) -> tuple[torch.optim.Optimizer, object]:
    matrices = [p for p in fusion.parameters() if p.ndim > 1]
    vectors = [p for p in fusion.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=training.lr)
    return optimizer, training.schedule(optimizer, steps)


def tensors(data: Data, head: Head) -> TensorDataset:
    values = [torch.from_numpy((v - head.transforms[m].mean) / head.transforms[m].sd) for m, v in data.features.items()]
    return TensorDataset(*values, torch.from_numpy(data.target))


class Rows(EpochSampler):
    """The order of mmdx, as plain row numbers."""

    def __iter__(self):
        yield from (index for _, index in super().__iter__())


def loaders(data: Data, head: Head) -> tuple[DataLoader, DataLoader]:
    dataset = tensors(data, head)
    train = DataLoader(dataset, BATCH, sampler=Rows(head.train, "shuffled", None, head.seed))
    return train, DataLoader(dataset, BATCH, sampler=Rows(head.val, None))


def by_lightning(data: Data, fusion: str, epochs: int, seeds: range, dropout: float, folder: Path, template: bool) -> list[Head]:
    plan, training = plans(data, fusion, epochs, dropout)
    table = FeatureTable(data.cohort(), MODALITIES)
    heads = [started(data, plan, training, table, seed, folder) for seed in seeds]
    for head in heads:
        callbacks: list[Callback] = [TQDMProgressBar()] if template else []
        if template:
            callbacks.append(ModelCheckpoint(head.folder, monitor="val/auroc", mode="max", save_last=True))
            callbacks.append(EarlyStopping("val/auroc", mode="max", patience=100))
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", gradient_clip_val=1.0, callbacks=callbacks, logger=CSVLogger(head.folder),
            default_root_dir=head.folder, enable_progress_bar=template, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip
        train, val = loaders(data, head)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer.fit((Template if template else Plain)(head, training), train, val)
    return heads


def by_hand(data: Data, fusion: str, epochs: int, seeds: range, dropout: float, folder: Path) -> list[Head]:
    plan, training = plans(data, fusion, epochs, dropout)
    table = FeatureTable(data.cohort(), MODALITIES)
    heads = [started(data, plan, training, table, seed, folder) for seed in seeds]
    for head in heads:
        fusion_, task = head.model.fusion, head.task
        train, val = loaders(data, head)
        optimizer, schedule = optimised(fusion_, training, epochs * len(train))
        for epoch in range(epochs):
            train.sampler.set_epoch(epoch)
            fusion_.train()
            for batch in train:
                optimizer.zero_grad()
                loss = task.loss(fusion_(*as_features(batch)).logits, batch[-1])
                loss.backward()
                nn.utils.clip_grad_norm_(fusion_.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            fusion_.eval()
            with torch.no_grad():
                logits = torch.cat([fusion_(*as_features(batch)).logits for batch in val])
            task.score(logits, torch.from_numpy(data.target[head.val]))
    return heads


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fusion", choices=FUSIONS, default="concat")
    given = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    data = Data(given.rows, given.width, given.tokens)
    head = (data, given.fusion, given.epochs)
    print(f"{given.seeds} seeds of {given.fusion}, {given.rows} rows, {given.epochs} epochs of batches of {BATCH}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        peers: dict[str, Callable[[range], object]] = {
            "lightning-hydra-template's way": lambda s: by_lightning(*head, s, 0.1, place / "template", True),
            "Lightning with logging alone": lambda s: by_lightning(*head, s, 0.1, place / "logging", False),
            "a plain loop with a DataLoader": lambda s: by_hand(*head, s, 0.1, place / "hand"),
            "mmdx, one head at a time": lambda s: ours(*head, s, 0.1, place / "alone", False),
        }
        ours(*head, range(2), 0.1, place / "warm")
        ratios: dict[str, list[float]] = {name: [] for name in peers}
        for repeat in range(given.repeats):
            own = seconds(partial(ours, *head, range(given.seeds), 0.1, place / f"ours{repeat}"))
            for name, work in peers.items():
                ratios[name].append(seconds(partial(work, range(2 * repeat, 2 * repeat + 2))) / 2 * given.seeds / own)
            print(f"  mmdx, all seeds: {own:.1f} s")
        for name, values in ratios.items():
            print(f"against {name}: {median(values):.1f} times as fast ({min(values):.1f} to {max(values):.1f})")
        states = {name: ours(*head, range(4), 0.0, place / name, stack) for name, stack in (("at once", True), ("alone", False))}
        states["by hand"] = by_hand(*head, range(4), 0.0, place / "exact")
        last = {name: [_last(h, name) for h in heads] for name, heads in states.items()}
        for other in ("alone", "by hand"):
            far = max(float((a[k] - b[k]).abs().max()) for a, b in zip(last["at once"], last[other], strict=True) for k in a)
            print(f"largest difference of a weight, dropout off, all at once and {other}: {far:.1e}")


def _last(head: Head, name: str) -> dict[str, Tensor]:
    return head.last or {key: tensor.detach() for key, tensor in head.model.fusion.state_dict().items()}


if __name__ == "__main__":
    main()
