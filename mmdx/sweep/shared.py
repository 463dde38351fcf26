"""A study that several processes share and that outlives them: who runs which trial, and what came of it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from mmdx.errors import InputError
from mmdx.sweep.outcome import LOCKS, Outcome, lock_of, read_outcome
from mmdx.sweep.samplers import pruner_of, sampler_for, suggest
from mmdx.sweep.space import Space
from mmdx.sweep.storage import open_storage, open_study

WORKER, ATTEMPTS, REASON, SECONDS = "worker", "attempts", "reason", "seconds"
"""User attributes of a trial: the process that has it, how often it was begun, why it failed, and the seconds it took."""

ALIKE = 3
"""Trials that fail for one reason before any has ended well: that is the sweep's fault, and more would be spent for nothing."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process is to run.

    Attributes:
        number: the trial's.
        overrides: of its run.
        attempts: how often it was begun, this time included.
    """

    number: int
    overrides: tuple[str, ...]
    attempts: int


class SharedStudy:
    """One study, in one folder, of any number of processes.

    A process holds a lock file for as long as it lives, and each run that of its trial; the system lets both go when they end. A trial whose process
    and run are both gone is begun again by whoever comes next, under the same number and with the same settings, or is taken as it ended where its
    folder says so. Everything that reads and then writes does so under one lock of the study.

    Args:
        folder: the sweep's.
        storage: "journal" or "sqlite".
        space: what is varied.
        sampler: settings of the sampler.
        objectives: directions by name, "maximize" or "minimize".
        trials: how many there are to be.
        attempts: how often a trial may be begun.
        pruner: settings of the pruner; None prunes nothing.
    """

    def __init__(
        self,
        folder: Path,
        storage: str,
        space: Space,
        sampler: Mapping[str, Any],
        objectives: Mapping[str, str],
        trials: int,
        attempts: int = 10,
        pruner: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.space, self.sampler, self.trials, self.attempts = folder, space, dict(sampler), trials, attempts
        self.objectives = dict(objectives)
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(str(folder / LOCKS / "study"))
        self.name = f"worker-{uuid.uuid4().hex}"
        self._alive = FileLock(str(folder / LOCKS / self.name))
        self._alive.acquire()
        self._mine: set[int] = set()
        with self.lock:
            try:
                self.storage = open_storage(folder, storage)
                self.study = open_study(self.storage, list(self.objectives.values()))
            except (ValueError, KeyError, DatabaseError) as fault:
                name = "study.db" if storage == "sqlite" else "study.journal"
                told = str(fault).splitlines()[0]
                raise InputError(f"{folder / name}: damaged ({told}); bring it back from a copy, or name another folder.") from None
        self.study.pruner = pruner_of(pruner)

    def close(self) -> None:
        """Let go what this process holds."""
        self._alive.release()
        (self.folder / LOCKS / self.name).unlink(missing_ok=True)

    def claim(self, most: int) -> list[Claim]:
        """Up to so many trials to run now: those left behind first, then new ones while fewer are begun than there are to be."""
        claims: list[Claim] = []
        with self.lock:
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                if len(claims) < most and self._left_behind(trial) and (claim := self._take(trial)):
                    claims.append(claim)
            for number in range(len(trials), self.trials):
                if len(claims) >= most:
                    break
                self.study.sampler = sampler_for(self.sampler, self.space, number)
                claims.append(self._begin(self.study.ask(), 1))
        return claims

    def _take(self, trial: FrozenTrial) -> Claim | None:
        """Go on with a trial that was left behind; one that has ended is told, one that was begun too often has failed."""
        if outcome := read_outcome(self.folder / str(trial.number)):
            self._tell(trial, outcome)
            return None
        begun = int(trial.user_attrs.get(ATTEMPTS, 0))
        if begun >= self.attempts:
            self._tell(trial, Outcome("FAIL", reason=f"its process ended {begun} times before it did, as where memory runs out"))
            return None
        self.study.sampler = sampler_for(self.sampler, self.space, trial.number)
        return self._begin(optuna.Trial(self.study, trial._trial_id), begun + 1)

    def _begin(self, trial: optuna.Trial, attempt: int) -> Claim:
        values = {key: suggest(trial, key, parameter) for key, parameter in self.space.parameters.items()}
        trial.set_user_attr(WORKER, self.name)
        trial.set_user_attr(ATTEMPTS, attempt)
        self._mine.add(trial.number)
        return Claim(trial.number, tuple(self.space.overrides(values)), attempt)

    def _left_behind(self, trial: FrozenTrial) -> bool:
        """Whether a trial has not ended, while its process and its run have."""
        if trial.state != TrialState.RUNNING or trial.number in self._mine:
            return False
        worker = trial.user_attrs.get(WORKER)
        return not (worker and is_held(self.folder / LOCKS / worker)) and not is_held(lock_of(self.folder, trial.number))

    def tell(self, number: int, outcome: Outcome) -> None:
        """Write down what came of a trial."""
        with self.lock:
            self._tell(self.study.get_trials(deepcopy=False)[number], outcome)

    def _tell(self, trial: FrozenTrial, outcome: Outcome) -> None:
        if trial.state.is_finished():
            return
        self.storage.set_trial_user_attr(trial._trial_id, SECONDS, round(outcome.seconds, 3))
        if outcome.reason:
            self.storage.set_trial_user_attr(trial._trial_id, REASON, outcome.reason)
        values = [outcome.values[name] for name in self.objectives] if outcome.state == "COMPLETE" else None
        self.study.sampler = sampler_for(self.sampler, self.space, trial.number)
        self.study.tell(trial.number, values, TrialState[outcome.state])

    def failing_alike(self) -> str:
        """Why all trials of this process have failed, where they are several, for one reason, while none of any has ended well and some are left."""
        trials = self.study.get_trials(deepcopy=False)
        mine = [trial for trial in trials if trial.number in self._mine and trial.state.is_finished()]
        reasons = {str(trial.user_attrs.get(REASON)) for trial in mine}
        well = any(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        return reasons.pop() if len(mine) >= ALIKE and len(reasons) == 1 and not well and len(trials) < self.trials else ""

    def running(self) -> int:
        """How many trials other processes still have."""
        return sum(trial.state == TrialState.RUNNING for trial in self.study.get_trials(deepcopy=False))


def is_held(path: Path) -> bool:
    """Whether some process holds a lock."""
    if not path.exists():
        return False
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


@contextlib.contextmanager
def shared(study: SharedStudy) -> Iterator[SharedStudy]:
    """A study that is closed at the end."""
    try:
        yield study
    finally:
        study.close()

