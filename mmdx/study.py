"""A study: one data set and model plan, trained for every seed, fold and (where asked) subset of modalities, and predicted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmdx.cells import MODELS, Cell, every_cell, listed_cells
from mmdx.data.kept_folds import KeptFolds
from mmdx.data.prepare import PreparedCohort, stop_or_quarantine
from mmdx.data.prepared_store import PreparedStore
from mmdx.data.splits import Fold
from mmdx.errors import InputError, SampleError
from mmdx.files import write_atomically, write_json
from mmdx.prediction_table import PredictionTable
from mmdx.timings import phase
from mmdx.together import train_together
from mmdx.training.distributed import is_first, rank_and_world, wait_for_all
from mmdx.training.earlier import EarlierRun
from mmdx.training.fit import TrainedModel, device_of, fit_model, load_model
from mmdx.training.frozen import encode_once
from mmdx.training.heads import needs_lightning
from mmdx.training.plan import ModelPlan, TrainingPlan
from mmdx.training.predict import predict, subset_name, subsets
from mmdx.training.pretrained import PretrainedEncoder
from mmdx.training.teacher import Teaching
from mmdx.types import Dataset

PREDICTIONS, DATA = "predictions.parquet", "data.json"
AT_ONCE = 1024
"""Rows whose features are predicted from at once."""
ABLATIONS = ("none", "offered", "retrained")


@dataclass
class Study:
    """Trains and predicts.

    Attributes:
        dataset: the cohort.
        model: what each model is made of.
        training: how each model is trained.
        split: makes the folds.
        folder: takes ``predictions.parquet``, ``quarantine.csv`` and a folder a model under ``models/``.
        seeds: one model a fold for each.
        ablation: "offered" also predicts each subset of modalities with the one model, "retrained" also trains a model on each,
            "none" does neither.
        on_error: "stop" at the first sample that cannot be used, or "quarantine" such samples.
        cache_gb: prepared inputs are kept in memory where they take no more than that, in GiB; 0 makes them anew each time.
        store: keeps prepared inputs on disk, for later runs too.
        encode_once: run the encoders, all frozen, once, and train on their features.
        features: the folder that keeps these for later runs, and at most how many GiB of them; None keeps them for this run.
        stack: whether heads on features are trained at once; None measures which is faster.
        resume: take over the models that the folder already has, and go on with one that was begun.
    """

    dataset: Dataset
    model: ModelPlan
    training: TrainingPlan
    split: Any
    folder: Path
    seeds: tuple[int, ...] = (0,)
    ablation: str = "offered"
    on_error: str = "stop"
    cache_gb: float = 4.0
    store: PreparedStore | None = None
    encode_once: bool = False
    features: Path | None = None
    features_gb: float = 20.0
    stack: bool | None = None
    resume: bool = False
    prepared: bool = field(default=False, init=False)
    begun: bool = field(default=False, init=False)
    cohort: PreparedCohort = field(init=False)
    rows: np.ndarray = field(init=False)
    target: np.ndarray = field(init=False)
    made: list[Fold] | None = field(default=None, init=False)
    pretrained: list[PretrainedEncoder] = field(init=False)
    teachers: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.pretrained = [part.pretrained for part in self.model.encoders.values() if part.pretrained]
        if self.ablation not in ABLATIONS:
            raise InputError(f"ablation={self.ablation}: must be one of {', '.join(ABLATIONS)}.")
        if self.training.balance:
            if self.encode_once:
                raise InputError("balance: heads on frozen features have no encoder that learns, so there is nothing to balance; use balance=none.")
            widths = dict.fromkeys(self.model.encoders, 8)
            balance = self.training.balance(widths=widths, head=lambda width: torch.nn.Linear(width, 1), kind=self.kind)
            if self.training.compile and not balance.compiles:
                raise InputError(f"training.compile=true: a compiled encoder gives no second gradient to balance={balance.name}; set it to false.")
        for name, source in self.model.sources.items():
            if source not in self.dataset.modalities:
                raise InputError(f"encoders.{name}: the data set has no modality {source!r}; it has {', '.join(self.dataset.modalities)}.")

    @property
    def kind(self) -> str:
        """What is predicted, as the task says."""
        return self.model.task().kind

    def take_over(self, other: Study) -> None:
        """Use what another study has prepared, of the same data, encoders, task and seeds, in the place of preparing it again."""
        self.cohort, self.rows, self.target, self.prepared = other.cohort, other.rows, other.target, True
        self._write_quarantine(list(getattr(self.dataset, "faults", [])) + self.cohort.faults)
        self.model = replace(self.model, encoders=other.model.encoders)

    def prepare(self) -> None:
        """Read every sample once, set faulty ones aside or stop, and encode targets; once.

        Raises:
            InputError: the first fault, unless samples are quarantined; or a target that does not fit the task.
        """
        if self.prepared:
            return
        self.prepared = True
        faults = list(getattr(self.dataset, "faults", []))
        stop_or_quarantine(faults, self.on_error)
        rows = self._read()
        stop_or_quarantine(self.cohort.faults, self.on_error)
        self._write_quarantine(faults + self.cohort.faults)
        if not len(rows):
            raise InputError(f"the data set has no usable sample for the modalities {', '.join(self.cohort.transforms)}; nothing to train on.")
        if self.cohort.unused:
            say(f"{self.cohort.unused} of {len(self.dataset)} samples have none of {', '.join(self.cohort.transforms)} and are left out.")
        encoded = self.model.task().encode(self.dataset.table.iloc[rows])
        self.target = np.zeros((len(self.dataset), *encoded.shape[1:]), encoded.dtype)
        self.target[rows] = encoded
        self.rows = rows

    @phase("read")
    def _read(self) -> np.ndarray:
        """The cohort's inputs, or features in their place, and the rows that can be used."""
        workers = self.training.num_workers or 0
        if self.encode_once:
            torch.manual_seed(self.seeds[0])  # for a frozen encoder without pretrained weights
            self.cohort, self.model, rows = encode_once(
                self.dataset, self.model, device_of(self.training), self.training.batch_size, workers, self.features, self.features_gb
            )
            return rows
        transforms = {m: self.model.encoders[m].transform for m in sorted(self.model.encoders)}
        self.cohort = PreparedCohort(self.dataset, transforms, self.cache_gb, self.model.sources, self.store)
        return self.cohort.read(workers=workers)

    def _write_quarantine(self, faults: list[SampleError]) -> None:
        if faults and is_first():
            frame = pd.DataFrame([{"sample_id": f.sample_id, "file": f.file, "row": f.row, "reason": str(f)} for f in faults])
            write_atomically(self.folder / "quarantine.csv", lambda path: frame.to_csv(path, index=False))
            say(f"{len(faults)} samples set aside, see {self.folder / 'quarantine.csv'}")

    def folds(self) -> list[Fold]:
        """The folds, their indices being rows of the data set; made once."""
        if self.made is not None:
            return self.made
        table = self.dataset.table.iloc[self.rows].reset_index(drop=True)
        target, task = self.target[self.rows], self.model.task()
        labels = target if task.kind == "multilabel" else task.strata(target)  # of several labels each is spread, not the rarest alone
        folds = self.split.folds(table, labels)
        self.made = [Fold(f.name, self.rows[f.train], self.rows[f.val], self.rows[f.test]) for f in folds]
        return self.made

    def cells(self, folds: list[Fold]) -> Iterator[Cell]:
        """Every model of the study on some folds, in the order of training. A model is named by what tells it from the others, in letters
        that a folder's name may have.
        """
        return every_cell(self.seeds, folds, self.model.encoders, self.ablation == "retrained")

    def run(self) -> pd.DataFrame:
        """Train and predict every model, write ``predictions.parquet``, and return it."""
        return run_together([self])[0]

    def begin(self) -> list[Cell]:
        """Prepare, write down what is to be trained on what, and return the models.

        Raises:
            InputError: where a run that is gone on with was begun on other data, or a pretrained encoder or a teacher learned from labels of
                test rows.
        """
        self.earlier_runs()
        self.prepare()
        self.check_same_data()
        folds = self.folds()
        tested = np.unique(np.concatenate([fold.test for fold in folds]))
        for pretrained in self.pretrained:
            say(pretrained.check_patients(self.dataset.table, self.cohort.contents, tested))
        cells = [cell for cell in self.cells(folds) if self._trainable(cell)]
        self.teachers = {cell.name: self._teacher_of(cell) for cell in cells if self.training.teacher}
        if is_first():
            KeptFolds.of(folds, self.dataset.table, self.cohort.contents).write(self.folder)
        write_json_once(self.folder / MODELS, [self._describe(cell) for cell in cells])
        self.begun = True
        if self.encode_once and (why := needs_lightning(self.training)):
            say(f"{why}: the heads are trained by Lightning, one at a time.")
        return cells

    def check_same_data(self) -> None:
        """Compare the data with that which the folder's run was begun on, where there is one to go on with, and write down which it is.

        Raises:
            InputError: where it is other data.
        """
        path = self.folder / DATA
        before = json.loads(path.read_text(encoding="utf-8"))["fingerprint"] if self.resume and path.exists() else None
        if before not in (None, self.cohort.fingerprint):
            raise InputError(
                f"resume: the data has changed since {self.folder} was begun (fingerprint {before}, now {self.cohort.fingerprint}: ids, targets or "
                "inputs of its samples); start a new run, or set the data back."
            )
        write_json_once(path, {"fingerprint": self.cohort.fingerprint})

    def earlier_runs(self) -> list[EarlierRun]:
        """The runs that this one takes something from.

        Raises:
            InputError: where one of them isn't there, or has not what is to be taken.
        """
        return [source.run for source in (*self.pretrained, self.training.teacher) if source]

    def earlier(self) -> dict[str, list[dict[str, str]]]:
        """For the run's provenance the models of earlier runs that it takes something from, by key of the config."""
        found = {f"encoders.{part.name}.pretrained": [part.run.described(part.run.model)] for part in self.pretrained}
        if self.training.teacher:
            taught = {model["name"]: model for model in self.teachers.values()}
            found["distillation.run"] = [self.training.teacher.run.described(model) for model in taught.values()]
        return found

    def _teacher_of(self, cell: Cell) -> dict[str, Any]:
        """Which of the teacher's models teaches one of these."""
        assert self.training.teacher is not None
        return self.training.teacher.chosen(cell.seed, self.dataset.table, self.cohort.contents, cell.fold.test, cell.name)

    def _teaching(self, cell: Cell, train: np.ndarray) -> Teaching | None:
        """What the teacher says of the rows that a model is trained on."""
        if not self.training.teacher:
            return None
        return self.training.teacher.teach(self.teachers[cell.name], self.dataset.table, self.target, train, self.model.task())

    @property
    def heads_alone(self) -> bool:
        """Whether the models are heads on features that are trained without Lightning."""
        return self.encode_once and not needs_lightning(self.training) and rank_and_world()[1] == 1

    def evaluate(self, source: Path, everything: bool) -> pd.DataFrame:
        """Predictions of the models that another folder holds.

        Args:
            source: the folder of the run that trained them.
            everything: every usable row that none of them was trained on or chosen by is a test row; else the run's own folds.

        Raises:
            InputError: where the run's folder doesn't say what it was trained on, or no row is left.
        """
        kept = KeptFolds.read(source)
        if everything:
            fresh = kept.unseen(self.dataset.table, self.cohort.contents, self.rows)
            if len(fresh) < len(self.rows):
                out = len(self.rows) - len(fresh)
                say(f"{out} of {len(self.rows)} samples are left out: the run was trained or chosen on them or their patients.")
            if not len(fresh):
                raise InputError(f"run={source}: it was trained or its models were chosen on every sample of this data; there is none to test on.")
            for pretrained in self.pretrained:
                say(pretrained.check_patients(self.dataset.table, self.cohort.contents, fresh))
            self.rows, self.made = fresh, None
            cells = [cell for cell in self.cells_of(source) if self.cohort.rows_with(cell.modalities)[fresh].any()]
        else:
            cells = [cell for cell in self.cells(kept.folds(self.dataset.table)) if self._trainable(cell)]
        return pd.concat([self.predict(cell, self.load(source, cell)) for cell in cells], ignore_index=True)

    def cells_of(self, source: Path) -> list[Cell]:
        """The models of a finished run, each to predict every row."""
        return listed_cells(source, self.model.encoders, self.rows)

    def _trainable(self, cell: Cell) -> bool:
        """Whether a model has samples of two classes (or ranges of a number, or times of events) to train on and to be chosen by; one of fewer
        modalities is left out with a word.

        Raises:
            InputError: where the model of all modalities cannot be trained.
        """
        task = self.model.task()
        has, strata = self.cohort.rows_with(cell.modalities), task.strata(self.target)
        alike = {"regression": "all with about one value", "survival": "without events at different times"}.get(task.kind, "all of one class")
        for part in ("train", "val"):
            rows = getattr(cell.fold, part)
            rows = rows[has[rows]]
            if len(rows) and (strata.ndim > 1 or len(np.unique(strata[rows])) > 1):
                continue
            problem = f"{cell.name}: {len(rows)} samples with {' or '.join(cell.modalities)} in its {part} part, {alike}"
            if not cell.retrained:
                raise InputError(f"{problem}; use fewer folds, a larger split.val, or another split.")
            say(f"{problem}; not trained.")
            return False
        return True

    def finish(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Put the models' predictions in order and write them.

        Raises:
            InputError: where the folder was removed in the meantime.
        """
        frame = frame.reset_index(drop=True)
        if is_first():
            if self.begun and not (self.folder / MODELS).exists():
                raise InputError(f"{self.folder}: was removed while the run was writing to it; start the run again.")
            write_atomically(self.folder / PREDICTIONS, lambda path: frame.to_parquet(path, index=False))
        wait_for_all()
        return frame

    def _describe(self, cell: Cell) -> dict[str, Any]:
        counts = {name: len(getattr(cell.fold, name)) for name in ("train", "val", "test")}
        return {"name": cell.name, "seed": cell.seed, "fold": cell.fold.name, "modalities": list(cell.modalities), "samples": counts}

    @phase("train")
    def train_all(self, cells: Sequence[Cell]) -> pd.DataFrame:
        """Train the models one after another by Lightning; their predictions."""
        return pd.concat([self.train(cell, f"model {i} of {len(cells)} ({cell.name})") for i, cell in enumerate(cells, 1)])

    def train(self, cell: Cell, title: str) -> pd.DataFrame:
        """Train one model, or take over a finished one, and predict it."""
        folder, done = self.folder_of(cell), self.predictions_of(cell)
        if self.resume and done.exists():
            return self.kept(cell)
        has = self.cohort.rows_with(cell.modalities)
        train, val = (part[has[part]] for part in (cell.fold.train, cell.fold.val))
        plan = self.plan_of(cell)
        trained = fit_model(
            folder, plan, self.training, self.cohort, self.target, train, val, cell.seed, title, self.resume, self._teaching(cell, train)
        )
        frame = self.predict(cell, trained)
        if not is_first():
            return frame
        write_atomically(done, lambda path: frame.to_parquet(path, index=False))
        return self.kept(cell)  # as a run reads it that goes on from here: the same bytes, in which Parquet also says what held the text

    def kept(self, cell: Cell) -> pd.DataFrame:
        """The predictions of a model that is finished.

        Raises:
            InputError: where they cannot be read.
        """
        path = self.predictions_of(cell)
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError):
            raise InputError(f"{path}: damaged; remove it, and resume={self.folder} makes it again.") from None

    def load(self, source: Path, cell: Cell) -> TrainedModel:
        """The model of a cell that a run folder holds."""
        return load_model(source / "models" / cell.name, self.plan_of(cell), self.training)

    def folder_of(self, cell: Cell) -> Path:
        """Where a model is kept."""
        return self.folder / "models" / cell.name

    def predictions_of(self, cell: Cell) -> Path:
        """The predictions of one model; they are there when it is finished."""
        return self.folder_of(cell) / PREDICTIONS

    def plan_of(self, cell: Cell) -> ModelPlan:
        """What a model is made of."""
        return ModelPlan({m: self.model.encoders[m] for m in cell.modalities}, self.model.fusion, self.model.task)

    @phase("predict")
    def predict(self, cell: Cell, trained: TrainedModel) -> pd.DataFrame:
        """The rows of ``predictions.parquet`` of one model: validation and test split, each subset offered."""
        has = self.cohort.rows_with(cell.modalities)
        offered = subsets(cell.modalities) if self.ablation != "none" and not cell.retrained else [cell.modalities]
        frames = []
        for split in ("val", "test"):
            rows = getattr(cell.fold, split)
            rows = rows[has[rows]]
            if len(rows):
                plan = replace(self.training, batch_size=max(AT_ONCE, self.training.batch_size)) if self.encode_once else self.training
                batches = trained.batches(self.cohort, self.target, rows, plan)
                frames.append(predict(trained.model, trained.task, batches, offered, trained.device).assign(split=split))
        frame = pd.concat(frames, ignore_index=True)
        kind = "retrained" if cell.retrained else "offered"
        table = self.told.of(frame, kind, trained.task)
        if self.ablation == "retrained" and not cell.retrained:
            full = table[table["modalities"] == subset_name(cell.modalities)]
            table = pd.concat([table, full.assign(ablation="retrained")], ignore_index=True)
        if len(self.seeds) > 1:
            table["seed"] = cell.seed
        if cell.folds > 1:
            table["fold"] = cell.fold.name
        return table

    @property
    def told(self) -> PredictionTable:
        """What makes tables of this study's predictions."""
        return PredictionTable(self.dataset, self.kind, self.model.sources)

    def optimum(self) -> dict[str, dict[str, float]] | None:
        """On a simulated cohort the best value of each metric for visits like those tested, by subset of modalities."""
        tested = np.unique(np.concatenate([fold.test for fold in self.folds()]))
        return self.told.optimum(tested, subsets(self.model.encoders))


def run_together(studies: Sequence[Study]) -> list[pd.DataFrame]:
    """Run some studies; those of heads on the features of one cohort train them at once where their shapes allow it."""
    cells = [study.begin() for study in studies]
    if all(study.heads_alone and study.cohort is studies[0].cohort for study in studies):
        frames = train_together(list(zip(studies, cells, strict=True)))
    else:
        frames = [study.train_all(own) for study, own in zip(studies, cells, strict=True)]
    return [study.finish(frame) for study, frame in zip(studies, frames, strict=True)]


def say(sentence: str) -> None:
    """Print once, whatever the number of processes."""
    if is_first():
        print(sentence, flush=True)


def write_json_once(path: Path, value: Any) -> None:
    """Write JSON from one process only."""
    if is_first():
        write_json(path, value)
