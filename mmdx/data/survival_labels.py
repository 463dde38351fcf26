"""The columns of a manifest that say how long a sample was followed, and whether the event happened then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmdx.data.columns import YES_NO
from mmdx.data.tables import Place, is_number, need_columns
from mmdx.errors import InputError


class SurvivalLabels:
    """Time and event, in the place of ``Labels``.

    Args:
        frame: the manifest.
        time: column of times, numbers of at least 0.
        event: column of 1 or true, and 0 or false.
        file: the manifest's name, for the messages.

    Attributes:
        columns: of the manifest.
        names: of the columns they become in the cohort's table.

    Raises:
        InputError: where a column isn't there.
    """

    names = ("time", "event")

    def __init__(self, frame: pd.DataFrame, time: str, event: str, file: str) -> None:
        need_columns(frame, {"data.time": time}, file)
        need_columns(frame, {"data.event": event}, file)
        self.columns = [time, event]

    @classmethod
    def named(
        cls, frame: pd.DataFrame, target: str | Sequence[str] | None, positive: str | int | None, time: str | None, event: str | None, file: str
    ) -> SurvivalLabels | None:
        """Those that the config names, or the columns ``time`` and ``event`` where there is no other label; None where there are none.

        Raises:
            InputError: where one is named without the other, or beside a label column.
        """
        if (time is None) != (event is None):
            lacks = "event" if event is None else "time"
            raise InputError(f"data.{lacks}: not given; survival needs both, as in data.time=COLUMN data.event=COLUMN.")
        if time is not None and event is not None:
            if target is not None or positive is not None:
                raise InputError("data.time: not together with data.target or data.positive; give a label column, or time and event.")
            return cls(frame, time, event, file)
        other = target is not None or any(name in ("label", "target") or name.startswith("label_") for name in frame.columns)
        return cls(frame, "time", "event", file) if not other and {"time", "event"} <= set(frame.columns) else None

    def unfit(self, frame: pd.DataFrame) -> np.ndarray:
        """Of each row [n] whether ``of`` would refuse it."""
        time, event = self._numbers(frame)
        return ~(np.isfinite(time) & (time >= 0)) | np.isnan(event)

    def coded(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """``time`` and ``event`` of rows that all fit."""
        time, event = self._numbers(frame)
        return {"time": time, "event": event.astype(int)}

    def _numbers(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        time = pd.to_numeric(frame[self.columns[0]], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        event = frame[self.columns[1]].str.lower().map(YES_NO)
        return time, event.to_numpy(dtype=np.float64, na_value=np.nan)

    def of(self, row: Mapping[str, Any], place: Place) -> dict[str, float | int]:
        """``time`` and ``event`` of one row.

        Raises:
            SampleError: where one is empty or out of range.
        """
        time, event = (row[column] for column in self.columns)
        if time is None or not is_number(time) or float(time) < 0:
            raise place.fault(f"time column '{self.columns[0]}' is '{time or ''}', expected a number of at least 0")
        if event is None or event.lower() not in YES_NO:
            raise place.fault(f"event column '{self.columns[1]}' is '{event or ''}', expected 1 where it happened at that time, 0 where not")
        return {"time": float(time), "event": YES_NO[event.lower()]}
