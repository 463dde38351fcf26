"""The raw inputs that data sets hand to encoders, one form for each kind of modality.

- image: numpy array [H, W] or [H, W, 3]; a volume is [D, H, W]; any integer or float type.
- text: ``str``.
- audio: ``Recording``.
- signal: ``Signal``.
- tabular: dict from column to number, string or None (a missing value).

A bag is a list of these.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Recording(NamedTuple):
    """A mono sound.

    Attributes:
        samples: float32 [T], in -1 to 1.
        rate: samples a second, in Hz.
    """

    samples: np.ndarray
    rate: int


class Signal(NamedTuple):
    """A signal of several channels in physical units, such as an ECG.

    Attributes:
        samples: float32 [C, T].
        rate: samples a second of each channel, in Hz.
        names: of the channels, e.g. "II".
        units: of the channels, e.g. "mV".
    """

    samples: np.ndarray
    rate: float
    names: tuple[str, ...]
    units: tuple[str, ...]
