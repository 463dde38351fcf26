"""Simulated visits as a perfect encoder sees them: features that hold the findings of each modality and much that says nothing."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np

from mmdx.data.tables import sample
from mmdx.errors import InputError
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.draws import generator
from mmdx.simulate.renderers import RENDERERS
from mmdx.simulate.rendering import FINDINGS
from mmdx.types import Sample

FEATURE_STREAM, DIRECTION_STREAM = 21, 1_000_004


class SimulatedFeatures(SimulatedCohort):
    """A simulated cohort whose modalities are tokens [N, D] in the place of films, notes and sounds: what fusions are compared on.

    Finding k of a modality stands in token k (of N, counted round), as its value times a direction of its own, or, where it is not shown, as another
    direction; 2 * 3 directions of D that are orthonormal and fixed. In all directions orthogonal to these every token has standard normal noise. So
    the findings can be read exactly, from the tokens as from their mean, and the best that any model can reach is the cohort's ``optimum``.

    Args:
        width: D, more than 6.
        tokens: N.
        settings: of ``SimulatedCohort``.

    Raises:
        InputError: where an argument is out of range, or a marker is asked for, which only films have.
    """

    def __init__(self, width: int = 16, tokens: int = 2, **settings: Any) -> None:
        if width <= 2 * FINDINGS:
            raise InputError(f"data.width={width}: must be more than {2 * FINDINGS}.")
        if tokens < 1:
            raise InputError(f"data.tokens={tokens}: must be 1 or more.")
        if settings.get("marker") is not None:
            raise InputError(f"data.marker={settings['marker']}: features have no film that could carry a marker; use data=simulated.")
        super().__init__(**settings)
        self.width, self.tokens = width, tokens

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        there = [m for m in self.modalities if self.present[m][index]]
        return sample(self.table, index, {m: self.features(index, m) for m in there})

    def features(self, index: int, modality: str) -> np.ndarray:
        """Tokens float32 [N, D] of a modality of a visit, also of one that is missing."""
        number = list(RENDERERS).index(modality)
        directions = _directions(number, self.width)
        tokens = generator(self.seed, FEATURE_STREAM, index, number).standard_normal((self.tokens, self.width - 2 * FINDINGS))
        made = tokens @ directions[2 * FINDINGS :]
        for k, value in enumerate(self._shown(index, modality)):
            made[k % self.tokens] += directions[FINDINGS + k] if np.isnan(value) else value * directions[k]
        return made.astype(np.float32)

    def made_from(self, index: int) -> str:
        """As of ``SimulatedCohort``, and the features' size."""
        return json.dumps([super().made_from(index), self.width, self.tokens])


@lru_cache
def _directions(modality: int, width: int) -> np.ndarray:
    """Orthonormal rows [D, D], the same for every cohort."""
    return np.linalg.qr(generator(DIRECTION_STREAM, modality, width).standard_normal((width, width)))[0]
