"""Whether two runs have the same results: the same bits, the same within a tolerance, or not, and where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

BITS, WITHIN, OTHER = "same bits", "same within tolerance", "not the same"
VERDICTS = (BITS, WITHIN, OTHER)
KEY = ("seed", "fold", "split", "ablation", "modalities", "sample_id")
SCORES = frozenset({"test", "retrained"})
NOT_RESULTS = frozenset({"predictions", "settings"})
"""Of ``metrics.json`` what says where the numbers are from."""


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison.

    Attributes:
        verdict: one of VERDICTS.
        largest: the largest absolute difference of two numbers, 0 for the same bits, infinity where a number stands against none.
        where: the place of it, or what is not the same.
        compared: how many numbers were.
    """

    verdict: str
    largest: float
    where: str
    compared: int

    def sentence(self, what: str, tolerance: float) -> str:
        """For a person."""
        if self.verdict == BITS:
            return f"{what}: the same bits ({self.compared:,} numbers)."
        if self.verdict == WITHIN:
            return f"{what}: the same within {tolerance:g} (largest difference {self.largest:.3g}, {self.where})."
        if self.largest and math.isfinite(self.largest):
            return f"{what}: not the same (largest difference {self.largest:.3g}, {self.where})."
        return f"{what}: not the same ({self.where})."

    def plain(self) -> dict[str, Any]:
        """As JSON has it; an infinite difference is null."""
        return asdict(self) | {"largest": self.largest if math.isfinite(self.largest) else None}


def same_predictions(then: pd.DataFrame, now: pd.DataFrame, tolerance: float) -> Verdict:
    """Compare two tables of predictions, whatever the order of their rows.

    Args:
        then, now: as ``predictions.parquet`` holds them.
        tolerance: the largest absolute difference of two numbers that count as the same.
    """
    if set(then) != set(now):
        return _other(f"columns that only one has: {', '.join(sorted(map(str, set(then) ^ set(now))))}")
    key = [name for name in KEY if name in then]
    then, now = (_sorted(frame, key) for frame in (then, now))
    if len(then) != len(now) or not then[key].equals(now[key]):
        rows = [pd.MultiIndex.from_frame(frame[key].astype(str)) for frame in (then, now)]
        one, other = len(rows[0].difference(rows[1])), len(rows[1].difference(rows[0]))
        return _other(f"{one} of {len(then)} rows of the old predictions are not among the new, {other} new ones not among the old")
    largest, where, compared = 0.0, "", 0
    for name in (str(name) for name in then if name not in key):
        if not pd.api.types.is_float_dtype(then[name]) or not pd.api.types.is_float_dtype(now[name]):
            unlike = ~((then[name] == now[name]) | (then[name].isna() & now[name].isna())).to_numpy(dtype=bool)
            if unlike.any():
                return _other(f"{name} of {int(unlike.sum())} of {len(then)} rows, sample {then['sample_id'][int(unlike.argmax())]!r} the first")
            continue
        old, new = (frame[name].to_numpy(dtype=float) for frame in (then, now))
        compared += len(old)
        apart = difference(old, new)
        if len(apart) and apart.max() > largest:
            row = int(apart.argmax())
            largest = float(apart.max())
            where = f"{name} of sample {then['sample_id'][row]!r}, {then['modalities'][row]}; {int((apart > 0).sum())} of {len(old)} rows differ"
    return Verdict(_verdict(largest, tolerance), largest, where, compared)


def same_metrics(then: Mapping[str, Any], now: Mapping[str, Any], tolerance: float) -> Verdict:
    """Compare two ``metrics.json``: every number of the sections that both have, and of those of the scores themselves."""
    sections = ((set(then) & set(now)) | SCORES) - NOT_RESULTS  # mmdx stress adds some of its own
    old, new = (dict(_leaves({k: v for k, v in metrics.items() if k in sections}, "")) for metrics in (then, now))
    largest, where, compared = 0.0, "", 0
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if _is_number(one) and _is_number(other):
            compared += 1
            apart = abs(float(one) - float(other))  # type: ignore[arg-type]
            if apart > largest:
                largest, where = apart, f"{name}: {one:.6g} then, {other:.6g} now"
        elif one != other:
            return _other(f"{name}: {one} then, {other} now")
    return Verdict(_verdict(largest, tolerance), largest, where, compared)


def difference(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Absolute difference of numbers, 0 where both are missing and infinity where one is; zeros of two signs are told apart, by the least number."""
    missing = np.isnan(old).astype(int) + np.isnan(new)
    apart = np.where(missing == 0, np.abs(old - new), np.where(missing == 2, 0.0, np.inf))
    unlike = (missing == 0) & (apart == 0) & (np.signbit(old) != np.signbit(new))
    return np.asarray(np.where(unlike, np.nextafter(0, 1), apart))


def _sorted(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return frame.sort_values(key, kind="stable").reset_index(drop=True)


def _verdict(largest: float, tolerance: float) -> str:
    return BITS if largest == 0 else WITHIN if largest <= tolerance else OTHER


def _other(where: str) -> Verdict:
    return Verdict(OTHER, math.inf, where, 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    parts = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else None
    if parts is None:
        yield key, node
        return
    for name, part in parts:
        yield from _leaves(part, f"{key}/{name}" if key else str(name))
