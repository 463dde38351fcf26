"""What came of one trial, written into its run folder as the last thing a run does; imports nothing heavy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException

from mmdx.errors import InputError
from mmdx.files import write_json

OUTCOME, OBJECTIVES, TRIAL = "outcome.json", "objectives.json", "trial.json"
LOCKS = ".locks"
"""Folder of a sweep for lock files."""


class DiskFault(CompactHydraException):
    """Ends a job whose disk is full, gone or not to be written: no fault of the trial's, which is begun again by the next command."""


class Pruned(Exception):
    """Ends a run whose trial is pruned."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: "COMPLETE", "PRUNED" or "FAIL".
        values: of a complete one, by objective.
        reason: why it failed.
        seconds: that it took, since it was last begun.
    """

    state: str
    values: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Write it."""
        write_json(folder / OUTCOME, asdict(self))


def read_outcome(folder: Path) -> Outcome | None:
    """How the trial of a run folder ended; None where it has not.

    Raises:
        InputError: where what says so is damaged.
    """
    try:
        return Outcome(**json.loads((folder / OUTCOME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        raise InputError(f"{folder / OUTCOME}: damaged; remove it, and the same command makes it again.") from None


def lock_of(sweep: Path, number: int | str) -> Path:
    """The lock that the run of a trial holds."""
    return sweep / LOCKS / f"trial-{number}"


def complete(values: Mapping[str, Any], objectives: Mapping[str, str]) -> Outcome:
    """The outcome of a run that ended with some values: complete where every objective has a number, else failed."""
    numbers = {}
    for name in objectives:
        try:
            numbers[name] = float(values[name])
            if math.isfinite(numbers[name]):
                continue
        except (KeyError, TypeError, ValueError):
            pass
        found = "was not measured" if name not in values else f"is {values[name]}"
        return Outcome("FAIL", reason=f"{name} {found}; an objective must be a finite number")
    return Outcome("COMPLETE", numbers)
