"""What a sweep steers by: the names and directions of its objectives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mmdx.errors import InputError

SCORE, LATENCY, PARAMETERS, WORST = "val/score", "latency_ms", "parameters", "val/worst_group/"
DIRECTIONS = ("maximize", "minimize")
NAMES = f"{SCORE} (the task's own), val/METRIC such as val/auroc, {WORST}METRIC, {LATENCY} or {PARAMETERS}"


def read_objectives(given: Mapping[str, Any] | None, direction: str) -> dict[str, str]:
    """Directions by name, in the order given.

    Args:
        given: ``hydra.sweeper.objectives``; without it the run's validation score is the one objective.
        direction: ``hydra.sweeper.direction`` of that one.

    Raises:
        InputError: for a direction that is none.
    """
    found = {str(name): str(way) for name, way in (given or {SCORE: direction}).items()}
    for name, way in found.items():
        if way not in DIRECTIONS:
            key = f"hydra.sweeper.objectives.{name}" if given else "hydra.sweeper.direction"
            raise InputError(f"{key}={way}: must be {' or '.join(DIRECTIONS)}.")
    return found


def check_names(objectives: Mapping[str, str]) -> None:
    """Refuse what no run of mmdx measures.

    Raises:
        InputError: naming it.
    """
    for name in objectives:
        if name not in (SCORE, LATENCY, PARAMETERS) and not re.fullmatch(r"val/(worst_group/)?\w+", name):
            hint = " Test rows choose nothing." if name.startswith("test") else ""
            raise InputError(f"hydra.sweeper.objectives.{name}: is not measured; an objective is {NAMES}.{hint}")
