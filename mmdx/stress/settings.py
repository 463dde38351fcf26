"""What ``mmdx stress`` is asked for, checked before anything heavy is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdx.errors import InputError

PARTS = ("missingness", "noise", "uncertainty", "cases")


@dataclass(frozen=True)
class Settings:
    """What is done to a run.

    Attributes:
        rates: of missing modalities, 0 to 1; 0, where nothing is taken, is always among them.
        draws: of what is missing, at each rate.
        levels: of noise, 0 or more; 0 is always among them.
        train_rates: shares of the modalities that are absent in training, for each of which the run's models are trained again.
        passes: of Monte-Carlo dropout.
        cases: how many are explained at most.
        notes: whether explained cases may show free text.
        only: parts to be done.
        seed: of every draw.
        baseline: another run, stressed before in the same way, that this one's robustness is compared with.

    Raises:
        InputError: naming the option that is out of range.
    """

    rates: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    draws: int = 3
    levels: Sequence[float] = (0.0, 0.25, 0.5, 1.0)
    train_rates: Sequence[float] = ()
    passes: int = 30
    cases: int = 300
    notes: bool = False
    only: Sequence[str] = PARTS
    seed: int = 0
    baseline: Path | None = None

    def __post_init__(self) -> None:
        for option, values, high in (("--rates", self.rates, 1.0), ("--train-rates", self.train_rates, 1.0), ("--levels", self.levels, math.inf)):
            for value in values:
                if not (0 <= value <= high and math.isfinite(value)):
                    raise InputError(f"{option} {value:g}: must be {'0 to 1' if high == 1 else '0 or more'}.")
        if any(rate in (0, 1) for rate in self.train_rates):
            raise InputError("--train-rates: must lie between 0 and 1; the run itself is the model with nothing taken away.")
        for option, number, low in (("--draws", self.draws, 1), ("--passes", self.passes, 2), ("--cases", self.cases, 1), ("--seed", self.seed, 0)):
            if number < low:
                raise InputError(f"{option} {number}: must be at least {low}.")
        if not self.only:
            raise InputError(f"--only: must name one or more of {', '.join(PARTS)}.")
        for part in self.only:
            if part not in PARTS:
                raise InputError(f"--only {part}: must be of {', '.join(PARTS)}.")

    @property
    def sweep_rates(self) -> list[float]:
        """The rates, rising, from 0 on."""
        return sorted({0.0, *map(float, self.rates)})

    @property
    def sweep_levels(self) -> list[float]:
        """The levels, rising, from 0 on."""
        return sorted({0.0, *map(float, self.levels)})
