"""What every renderer gives back: the raw input, and what is true of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FINDINGS = 3
"""Findings that a modality can show at once."""
LARGEST = 5.0
"""Findings are cut to plus and minus this before they are shown."""


class Rendering(NamedTuple):
    """A rendered modality.

    Attributes:
        raw: what an encoder takes, see ``mmdx/data/raw.py``.
        truth: what is true of it, by name: the clinical quantities, and where each finding lies (mask, times or span).
    """

    raw: Any
    truth: dict[str, Any]


def shown(finding: float) -> float | None:
    """A finding as it is shown, cut to ``LARGEST``; None where it isn't shown at all (NaN)."""
    return None if np.isnan(finding) else float(np.clip(finding, -LARGEST, LARGEST))
