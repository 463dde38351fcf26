"""A finished model with more modalities teaches one that has, or sees, fewer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmdx.data.splits.fold import rows_of
from mmdx.errors import InputError
from mmdx.strategies.base import mean_over, require
from mmdx.strategies.distillation import divergence
from mmdx.training.build import FITTED
from mmdx.training.earlier import EarlierRun
from mmdx.training.predict import outputs_of
from mmdx.types import Task

LOGITS = ("_target_", "classes", "labels", "levels", "horizons")
"""Keys under ``task`` that say what a logit means."""
OWN = ("weights", "times", "cumulative_hazard")
"""What tasks learn from their training part that does not."""


class Teaching:
    """The loss that draws a student to what its teacher said of the same samples.

    Args:
        logits: the teacher's [n, K] of every row of the data set.
        known: [n], the rows of which there are any.
        kind: of the task.
        weight, temperature: as of ``Teacher``.
    """

    def __init__(self, logits: Tensor, known: Tensor, kind: str, weight: float, temperature: float) -> None:
        self.logits, self.known, self.kind, self.weight, self.temperature = logits, known, kind, weight, temperature

    def loss(self, student: Tensor, rows: list[int]) -> Tensor:
        """Of a batch, from the student's logits [B, K] in 32 bits and the rows of the data set that they are of."""
        teacher, known = self.logits[rows].to(student.device), self.known[rows].to(student.device)
        return self.weight * mean_over(divergence(self.kind, self.temperature, teacher, student), known)


class Teacher:
    """Distillation from a finished run with all modalities (Hinton et al. 2015, arXiv:1503.02531, section 2; from a multimodal teacher to a student
    with fewer modalities: Wang et al. 2020, Multimodal learning with incomplete modalities by knowledge distillation, KDD,
    doi:10.1145/3394486.3403234).

    ``L = weight * T^2 * KL(p(t / T) || p(s / T))`` beside the task's loss, the mean over the samples that the teacher's data has; t are the logits of
    the teacher, shown all that a sample has, s those of the student, shown what modality dropout leaves of the modalities that it is trained with.
    p, and logits of other kinds, as in ``FullModality``.

    The teacher predicts each sample once, before the student is trained, so that any encoders go with any, end to end or frozen, and its weights
    stay as they are. Of a run with several models each student gets one that knows none of its test samples, of its own seed where there is one:
    with the same ``split=kfold`` in both that of the same fold.

    Deviations: the teacher sees inputs without augmentation, the student with. It may have been trained on the student's training samples, as in
    Hinton et al.; of these it is surer than it should be.

    Args:
        run: the folder of the teacher's run, or ``RUN/models/NAME``; of the same samples and task.
        weight: of the loss.
        temperature: T.
        student: gives the config of the student's run, with ``data`` and ``task``.
        opened: gives the study of the run in a folder, prepared.
    """

    def __init__(
        self,
        run: str | None = None,
        weight: float = 1.0,
        temperature: float = 2.0,
        student: Callable[[], Mapping[str, Any]] | None = None,
        opened: Callable[[str], Any] | None = None,
    ) -> None:
        if not run:
            raise InputError("distillation.run: not given; name the folder of the teacher's run, which has all modalities.")
        require(weight >= 0, "distillation.weight", weight, "0 or more")
        require(temperature > 0, "distillation.temperature", temperature, "greater than 0")
        self.given, self.weight, self.temperature = run, weight, temperature
        self.student, self.opened = student, opened
        self._logits: dict[str, Tensor] = {}

    @cached_property
    def run(self) -> EarlierRun:
        """The teacher's run.

        Raises:
            InputError: where no finished run is there, or its logits are of another task.
        """
        assert self.student is not None
        student = self.student()
        run = EarlierRun(self.given, "distillation.run", student["data"])
        for key in LOGITS:
            before, now = run.config["task"].get(key), student["task"].get(key)
            if before != now:
                raise InputError(f"{run.named}: the teacher has task.{key}={before}, the student {now}; their logits must mean the same.")
        return run

    def chosen(self, seed: int, table: pd.DataFrame, contents: np.ndarray, tested: np.ndarray, name: str) -> dict[str, Any]:
        """Which of the run's models teaches a student that is tested on some rows.

        Raises:
            InputError: where each of them, or a run that it came from, was trained with labels on any of these or their patients, or chosen by them.
        """
        behind = [run for run in self.run.behind() if run.uses_labels]
        taught = [own.knows(model, table, contents, tested, same=True) for own in behind for model in own.models]
        known = {m["name"]: np.any([*taught, self.run.knows(m, table, contents, tested, same=True)], axis=0).sum() for m in self.run.models}
        fair = [model for model in self.run.models if not known[model["name"]]]
        if not fair:
            raise InputError(
                f"{self.run.named}: the teacher was trained or chosen on {min(known.values())} of the {len(tested)} test samples of {name}, or on "
                "their patients, and would tell the student of them; train the teacher with the same split and split.seed, or both with split=file."
            )
        return next((model for model in fair if model["seed"] == seed), fair[0])

    def teach(self, model: Mapping[str, Any], table: pd.DataFrame, target: np.ndarray, rows: np.ndarray, task: Task) -> Teaching:
        """What a model of the run says of a student's training rows.

        Args:
            model: as ``chosen``.
            table, target: of the student's data set, every row.
            rows: that it is trained on.
            task: the student's, fitted.

        Raises:
            InputError: where the teacher's data has none of the rows, another target for one, or its logits are scaled otherwise.
        """
        study, logits = self._study, self._logits_of(model)
        fitted = json.loads((self.run.folder_of(model) / FITTED).read_text(encoding="utf-8"))["task"]
        own = task.fit(target[rows])
        if any(fitted.get(key) != value for key, value in own.items() if key not in OWN):
            raise InputError(f"{self.run.named}: its task was fitted on other training rows, so its logits have another scale; use the same split.")
        place = rows_of(table["sample_id"], study.dataset.table)  # [n] rows of the teacher's data
        known = np.isin(place, study.rows)  # usable ones
        if not known[rows].any():
            raise InputError(f"{self.run.named}: its data has none of the samples that the student is trained on.")
        unlike = [row for row in rows[known[rows]] if not np.array_equal(target[row], study.target[place[row]], equal_nan=True)]
        if unlike:
            raise InputError(
                f"{self.run.named}: sample {table['sample_id'].iloc[unlike[0]]!r} has another target there; the teacher must be of the same cohort."
            )
        spread = torch.zeros(len(table), logits.shape[1])
        spread[torch.from_numpy(known)] = logits[torch.from_numpy(place[known])]
        return Teaching(spread, torch.from_numpy(known), task.kind, self.weight, self.temperature)

    @cached_property
    def _study(self) -> Any:
        assert self.opened is not None
        return self.opened(str(self.run.folder))

    def _logits_of(self, model: Mapping[str, Any]) -> Tensor:
        """Logits [n, K] of every row of the teacher's data set, zero where it has no usable sample."""
        if model["name"] not in self._logits:
            study = self._study
            cell = next(cell for cell in study.cells_of(self.run.folder) if cell.name == model["name"])
            trained, rows = study.load(self.run.folder, cell), study.rows[study.cohort.rows_with(cell.modalities)[study.rows]]
            own, _ = outputs_of(trained.model, trained.batches(study.cohort, study.target, rows, study.training), trained.device)
            logits = torch.zeros(len(study.dataset), own.shape[1])
            logits[torch.from_numpy(rows)] = own
            self._logits[model["name"]] = logits
        return self._logits[model["name"]]
