"""Tabular values of a case with the weight of each column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmdx.encoders.tabular import TabularTransform
from mmdx.explain.overlay import scaled
from mmdx.explain.parts import Part


def render_table(parts: list[Part]) -> dict[str, Any]:
    """The case's entry: of each column that the encoder reads its name, its value (null where missing) and its weight, strongest first.

    Of a transform that is not ``TabularTransform`` all columns are shown; weights that are not known are null.
    """
    cells: list[dict[str, Any]] = []
    for part in parts:
        weights = column_weights(part)
        transform = part.transform
        names = [*transform.numeric, *transform.categorical] if isinstance(transform, TabularTransform) else list(map(str, part.raw))
        raw = {str(name): value for name, value in part.raw.items()}
        cells += [{"name": n, "value": _shown(raw.get(n)), "weight": None if weights is None else weights[n]} for n in names]
    known = scaled(np.array([cell["weight"] or 0.0 for cell in cells]))
    for cell, weight in zip(cells, known.tolist(), strict=True):
        cell["weight"] = None if cell["weight"] is None else round(weight, 3)
    return {"kind": "table", "cells": sorted(cells, key=lambda cell: -abs(cell["weight"] or 0.0))}


def column_weights(part: Part) -> dict[str, float] | None:
    """Attribution of each column in log-odds; of a number its value and whether it is missing together."""
    if not isinstance(part.transform, TabularTransform) or len(part.items) != 1:
        return None
    arrays, transform = part.items[0], part.transform
    if "numeric" not in arrays and "categorical" not in arrays:
        return None
    numbers = arrays.get("numeric", np.zeros(len(transform.numeric))) + arrays.get("missing", np.zeros(len(transform.numeric)))
    categories = arrays.get("categorical", np.zeros(len(transform.categorical)))
    return dict(zip([*transform.numeric, *transform.categorical], np.concatenate([numbers, categories]).tolist(), strict=True))


def _shown(value: Any) -> str | None:
    if value is None or value != value:
        return None
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def is_table(part: Part) -> bool:
    """Whether a raw input is a dict from column to value."""
    return isinstance(part.raw, Mapping)
