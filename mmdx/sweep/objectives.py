"""What a sweep steers by: the names and directions of its objectives."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mmdx.errors import InputError

SCORE, LATENCY, PARAMETERS, WORST = "val/score", "latency_ms", "parameters", "val/worst_group/"
DIRECTIONS = ("maximize", "minimize")
NAMES = f"{SCORE} (the task's own), val/METRIC such as val/auroc, {WORST}METRIC, {LATENCY} or {PARAMETERS}"


def read_objectives(given: Any, direction: str) -> dict[str, str]:
    """Directions by name, in the order given.

    Args:
        given: ``hydra.sweeper.objectives``; without it the run's validation score is the one objective.
        direction: ``hydra.sweeper.direction`` of that one.

    Raises:
        InputError: where it isn't a mapping, or for a direction that is none.
    """
    if given and not isinstance(given, Mapping):
        told = f"[{','.join(map(str, given))}]" if isinstance(given, list) else given
        raise InputError(f"hydra.sweeper.objectives={told}: must be {{NAME: {' or '.join(DIRECTIONS)}}}, such as '{{val/auroc: maximize}}'.")
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
    from mmdx.evaluation.kinds import KINDS

    metrics = list(dict.fromkeys(metric for kind in KINDS.values() for metric in kind.differences))
    known = [SCORE, LATENCY, PARAMETERS, *(f"{place}{metric}" for place in ("val/", WORST) for metric in metrics)]
    for name in objectives:
        if name not in known:
            hint = " Test rows choose nothing." if name.startswith("test") else ""
            near = get_close_matches(name, known, 1)
            meant = f"did you mean {near[0]}? An" if near else "an"
            raise InputError(
                f"hydra.sweeper.objectives.{name}: is not measured; {meant} objective is {NAMES}, where METRIC is one of {', '.join(metrics)}.{hint}"
            )


def check_metric(name: str, kind: str) -> None:
    """Refuse a metric that a kind of task has not.

    Raises:
        InputError: naming it.
    """
    from mmdx.evaluation.kinds import KINDS

    known = KINDS[kind].differences
    if name not in known:
        raise InputError(f"hydra.sweeper.objectives: {name} is not measured of a {kind} task, but {', '.join(known)}; an objective is {NAMES}.")
