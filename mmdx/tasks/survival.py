"""Time to an event, such as death or relapse, of samples some of which were followed no longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.evaluation.survival_metrics import concordance_index
from mmdx.tasks.numbers import quantile_bins
from mmdx.tasks.partial_likelihood import TIES, partial_log_likelihood

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the times of events, at which survival is reported where no horizons are given."""


def default_horizons(time: np.ndarray, event: np.ndarray) -> list[float]:
    """Quantiles of the times of events, to three digits."""
    found = np.quantile(time[(event == 1) & np.isfinite(time)], QUANTILES)
    return sorted({float(f"{value:.3g}") for value in found if value > 0})


def observed(table: pd.DataFrame, task: str) -> np.ndarray:
    """Time and event of each row of a data set's table, float32 [n, 2].

    Raises:
        InputError: where the table has none, a time is no number of at least 0, an event is not 0 or 1, or nobody had it.
    """
    if "time" not in table or "event" not in table:
        raise InputError(f"task={task}: the data set has no columns time and event; a manifest names them by data.time=COLUMN data.event=COLUMN.")
    both = times_and_events(table)
    wrong = {"time": ~(np.isfinite(both[:, 0]) & (both[:, 0] >= 0)), "event": ~np.isin(both[:, 1], (0, 1))}
    for name, rows in wrong.items():
        if rows.any():
            at = int(np.argmax(rows))
            expected = "a number of at least 0" if name == "time" else "1 where it happened, 0 where the sample was followed no longer"
            raise InputError(f"task={task}: sample '{table['sample_id'].iloc[at] if 'sample_id' in table else at}' has {name} "
                             f"{table[name].iloc[at]}, expected {expected}.")  # fmt: skip
    if len(np.unique(both[both[:, 1] == 1, 0])) < 2:
        raise InputError(f"task={task}: {int(both[:, 1].sum())} of {len(both)} samples have event 1; at least two at different times are needed.")
    return both.astype(np.float32)


def times_and_events(table: pd.DataFrame) -> np.ndarray:
    """Time and event of each row, float64 [n, 2], NaN where there is no number."""
    return np.stack([pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64, na_value=np.nan) for name in ("time", "event")], axis=1)


class Survival(nn.Module):
    """What both models of survival share.

    Args:
        horizons: times at which the probability of being without the event is predicted; None takes quantiles of the training split's events.
    """

    kind = "survival"
    score_name = "c_index"
    outputs = 1
    name = "survival"

    def __init__(self, horizons: Sequence[float] | None = None) -> None:
        super().__init__()
        for value in horizons or []:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InputError(f"task.horizons={list(horizons or [])}: must be times above 0, as in [365, 730], or null.")
        self.horizons = sorted({float(value) for value in horizons or []})

    def encode(self, table: pd.DataFrame) -> np.ndarray:
        """Time and event, float32 [n, 2]; raises as ``observed``."""
        return observed(table, self.name)

    def strata(self, target: np.ndarray) -> np.ndarray:
        """Labels [n] to stratify a split by: 0 without the event, else the fifth of the events' times, from 1 on."""
        event = target[:, 1] == 1
        labels = np.zeros(len(target), dtype=int)
        labels[event] = 1 + quantile_bins(target[event, 0])
        return labels

    def fit(self, target: np.ndarray) -> dict[str, Any]:
        """Horizons, where none were given, from the training split's times and events."""
        state = {"horizons": self.horizons or default_horizons(target[:, 0], target[:, 1])}
        self.load(state)
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Take back what ``fit`` returned."""
        self.horizons = list(state["horizons"])

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """``time`` and ``event`` of the predictions table."""
        both = times_and_events(table)
        return {"time": both[:, 0], "event": both[:, 1].astype(int)}

    def score(self, logits: Tensor, target: Tensor) -> float:
        """Harrell's C of the predicted risk, the validation score; NaN where no pair can be compared."""
        time, event = target.double().numpy().T
        return concordance_index(time, event == 1, self.predict(logits)["risk"])

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``risk`` and, where the curve is known, ``survival_T``."""
        raise NotImplementedError

    def _at_horizons(self, survival: np.ndarray) -> dict[str, np.ndarray]:
        return {f"survival_{time:.10g}": survival[:, i] for i, time in enumerate(self.horizons)}


class CoxProportionalHazards(Survival):
    """One output, the log-hazard: ``h(t | x) = h_0(t) exp(f(x))`` (Cox 1972, J R Stat Soc B 34:187), learned by partial likelihood.

    **The risk set is the batch** (of one process): a sample is compared with those of its own batch that are still at risk. Use large batches, and
    ``training.order=stratified`` to give each its share of events; a batch without events teaches nothing. The validation loss is over all rows.

    After training the baseline hazard comes from the training split (``calibrate``), so that survival at the horizons is known. ``risk`` is
    the log of the cumulative hazard at the middle horizon: unlike f, of which any constant can be taken, it compares between models.

    Args:
        ties: of events at one time, "efron" (Efron 1977, JASA 72:557) or "breslow" (Breslow 1974, Biometrics 30:89).
        horizons: as of ``Survival``.
    """

    name = "survival_cox"

    def __init__(self, ties: str = "efron", horizons: Sequence[float] | None = None) -> None:
        super().__init__(horizons)
        if ties not in TIES:
            raise InputError(f"task.ties={ties}: must be one of {', '.join(TIES)}.")
        self.ties = ties
        self.baseline: tuple[np.ndarray, np.ndarray] | None = None

    def load(self, state: dict[str, Any]) -> None:
        """Take back what ``fit`` or ``calibrate`` returned."""
        super().load(state)
        if "times" in state:
            self.baseline = np.array(state["times"]), np.array(state["cumulative_hazard"])

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Negative log partial likelihood of logits [B, 1] by event, with the batch for risk set; 0 where it has no event."""
        found = partial_log_likelihood(logits[:, 0], target[:, 0], target[:, 1] == 1, self.ties)
        return -found / (target[:, 1] == 1).sum().clamp(min=1)

    def entries(self, target: Tensor) -> int:
        """How many of targets [B, 2] are events, which the loss is the mean of."""
        return int((target[:, 1] == 1).sum())

    def calibrate(self, logits: Tensor, target: Tensor) -> dict[str, Any]:
        """The state with the cumulative baseline hazard, from the trained model's logits [n, 1] and targets [n, 2] of the training split.

        ``H_0(t) = sum over events until t of 1 / sum over those at risk of exp(f)`` (Breslow 1972, J R Stat Soc B 34:216).
        """
        hazard_ratio, time = np.exp(self._log_hazard(logits)), target[:, 0].double().numpy()
        times, place = np.unique(time, return_inverse=True)
        at_risk = np.cumsum(np.bincount(place, weights=hazard_ratio)[::-1])[::-1]
        cumulative = np.cumsum(np.bincount(place, weights=target[:, 1].double().numpy()) / at_risk)
        state = {"horizons": self.horizons, "times": times.tolist(), "cumulative_hazard": cumulative.tolist()}
        self.load(state)
        return state

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``risk`` [B] and, once the baseline hazard is known, ``survival_T`` [B] of each horizon, from logits [B, 1]."""
        log_hazard = self._log_hazard(logits)
        if self.baseline is None:
            return {"risk": log_hazard}
        times, cumulative = self.baseline
        hazard = np.append(0.0, cumulative)[np.searchsorted(times, self.horizons, side="right")]
        middle = hazard[len(hazard) // 2] or cumulative[-1]  # of all follow-up where no event is as early
        return {"risk": log_hazard + np.log(middle), **self._at_horizons(np.exp(-np.exp(log_hazard)[:, None] * hazard))}

    def _log_hazard(self, logits: Tensor) -> np.ndarray:
        return np.clip(logits[:, 0].double().numpy(force=True), -500, 500)  # so that its exponential and sums of it are finite


class DiscreteTimeSurvival(Survival):
    """The hazard of each of K intervals of time, ``h_k = sigmoid(f_k)``, and ``S(t_k) = (1 - h_1) ... (1 - h_k)``: no hazard is taken to be
    proportional, batches may be small, and survival follows directly (Gensheimer and Narasimhan 2019, PeerJ 7:e6257, "Nnet-survival").

    The intervals end at quantiles of the training split's events, and the outputs add to the log-odds of each interval's hazard there, so that
    a model begins at the survival of everybody. A sample censored in an interval counts as having survived it where it was followed
    at least half of it; a time beyond the last interval as having survived all. Within an interval log S falls evenly (Kvamme and Borgan 2021,
    Lifetime Data Anal 27:710), and beyond the last one S stays. ``risk`` is minus the mean time without the event until the last interval's end.

    Args:
        intervals: the most there are; fewer where events fall on few different times.
        horizons: as of ``Survival``.
    """

    name = "survival_discrete"
    offset: Tensor

    def __init__(self, intervals: int = 10, horizons: Sequence[float] | None = None) -> None:
        super().__init__(horizons)
        if isinstance(intervals, bool) or not isinstance(intervals, int) or intervals < 2:
            raise InputError(f"task.intervals={intervals}: must be a whole number of at least 2.")
        self.intervals = self.outputs = intervals
        self.breaks = np.arange(intervals + 1, dtype=np.float64)
        self.register_buffer("offset", torch.zeros(intervals))

    def fit(self, target: np.ndarray) -> dict[str, Any]:
        """Horizons, ends of the intervals, and the log-odds of their hazards in the training split; from then on ``outputs`` is their number."""
        state = super().fit(target)
        events = target[target[:, 1] == 1, 0]
        ends = np.unique(np.quantile(events, np.linspace(0, 1, self.intervals + 1)[1:], method="inverted_cdf"))
        state["breaks"] = [0.0, *ends[ends > 0].tolist()]
        self.breaks = np.array(state["breaks"])
        survived, died = (mask.sum(dim=0).numpy() for mask in self._masks(torch.as_tensor(target)))
        state["offset"] = np.log((died + 0.5) / (survived + 0.5)).tolist()
        self.load(state)
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Take back what ``fit`` returned."""
        super().load(state)
        if "breaks" in state and "offset" in state:
            self.breaks, self.offset = np.array(state["breaks"]), torch.tensor(state["offset"], dtype=torch.float32)
            self.outputs = len(self.offset)

    def _masks(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Of each sample [B, K] which intervals it survived, and in which it had the event."""
        ends = torch.as_tensor(self.breaks, device=target.device).to(target.dtype)
        time, event = target[:, :1], target[:, 1:] == 1
        start, end = ends[:-1], ends[1:]
        died = event & (time <= end) & ((time > start) | (start == 0))
        survived = torch.where(event, time > end, time >= (start + end) / 2)
        return survived, died

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-likelihood from logits [B, K] and targets [B, 2]."""
        survived, died = self._masks(target)
        hazard = logits + self.offset.to(logits.device)
        return -(F.logsigmoid(-hazard) * survived + F.logsigmoid(hazard) * died).sum(dim=1).mean()

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]:
        """``risk`` [B] and ``survival_T`` [B] of each horizon, from logits [B, K]."""
        log_left = F.logsigmoid(-(logits.double().cpu() + self.offset.double().cpu())).numpy(force=True)
        log_survival = np.concatenate([np.zeros((len(log_left), 1)), log_left.cumsum(axis=1)], axis=1)  # at the breaks
        width = np.diff(self.breaks)
        flat = log_left > -1e-9  # of an interval in which S hardly falls
        mean = np.where(flat, 1.0, np.expm1(log_left) / np.where(flat, 1.0, log_left))  # of S over an interval, in units of S at its start
        risk = -(np.exp(log_survival[:, :-1]) * mean * width).sum(axis=1)
        at = np.clip(self.horizons, 0, self.breaks[-1])
        place = np.clip(np.searchsorted(self.breaks, at, side="left") - 1, 0, len(width) - 1)
        part = (at - self.breaks[place]) / width[place]
        return {"risk": risk, **self._at_horizons(np.exp(log_survival[:, place] + part * log_left[:, place]))}
