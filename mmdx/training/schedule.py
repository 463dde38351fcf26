"""Learning-rate schedules, stepped after each optimiser step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from mmdx.errors import InputError


class WarmupCosine:
    """Linear warm-up, then half a cosine down to ``floor`` times the learning rate (Loshchilov & Hutter 2017, arXiv:1608.03983,
    eq. 5, without restarts).

    Args:
        warmup: share of all steps spent warming up, 0 to below 1.
        floor: share of the learning rate that is left at the end, 0 to 1.
    """

    def __init__(self, warmup: float = 0.1, floor: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise InputError(f"training.schedule.warmup={warmup}: must be at least 0 and below 1.")
        if not 0 <= floor <= 1:
            raise InputError(f"training.schedule.floor={floor}: must be from 0 to 1.")
        self.warmup, self.floor = warmup, floor

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The schedule of a run of so many steps."""
        rising = max(1, round(self.warmup * steps))

        def factor(step: int) -> float:
            if step < rising and self.warmup:
                return (step + 1) / rising
            done = min(1.0, (step - rising) / max(1, steps - rising))
            return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * max(0.0, done)))

        return LambdaLR(optimizer, factor)


class Constant:
    """The same learning rate throughout."""

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        """The schedule of a run of any number of steps."""
        return LambdaLR(optimizer, lambda step: 1.0)
