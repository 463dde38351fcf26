"""Filters and orders over runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmdx.errors import InputError
from mmdx.evaluation.direction import direction
from mmdx.runs.read import Run

COMPARISONS = {
    ">=": lambda one, other: one >= other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    "<": lambda one, other: one < other,
}


def matching(runs: Iterable[Run], filters: Sequence[str]) -> list[Run]:
    """The runs that pass every filter: ``KEY=VALUE`` (``VALUE`` may be several with commas between, and have ``*``), ``KEY!=VALUE``, ``KEY>0.8``.

    Raises:
        InputError: for a filter that isn't one, or a key that no run has.
    """
    runs = list(runs)
    for text in filters:
        found = re.fullmatch(r"\s*([^=<>!]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", text)
        if not found:
            raise InputError(f"--filter {text!r}: must be KEY=VALUE, KEY!=VALUE, KEY<NUMBER or KEY>NUMBER, as in 'fusion=gated' or 'auroc>0.8'.")
        key, sign, value = found.groups()
        check_key(runs, key, "--filter")
        runs = [run for run in runs if _passes(run.value(key), sign, value, text)]
    return runs


def in_order(runs: Iterable[Run], key: str, reverse: bool = False) -> list[Run]:
    """Runs by a key: metrics the best first, all else from small to large; those without it come last.

    Raises:
        InputError: for a key that no run has.
    """
    runs = list(runs)
    check_key(runs, key, "--sort")
    is_metric = any(run.entry(key) is not None for run in runs)
    down = (is_metric and direction(key.rpartition("/")[2]) > 0) != reverse
    has = [run for run in runs if run.value(key) is not None]
    numbers = all(_number(run.value(key)) is not None for run in has)
    has.sort(key=lambda run: _number(run.value(key)) if numbers else str(run.value(key)), reverse=down)  # type: ignore[arg-type, return-value]
    return has + [run for run in runs if run.value(key) is None]


def check_key(runs: Sequence[Run], key: str, option: str) -> None:
    """Refuse a key that no run has.

    Raises:
        InputError: naming it and the nearest there are.
    """
    if not runs or any(run.value(key) is not None for run in runs) or any(key in run.config for run in runs) or key in ("minutes", "problem", "n"):
        return
    from difflib import get_close_matches

    known = {"run", "state", "kind", "begun", "minutes", "n"}
    for run in runs:
        known |= run.config.keys() | run.choices.keys() | run.metrics.keys() | {name.rpartition("/")[2] for name in run.metrics}
    near = get_close_matches(key, known, 3)
    hint = f"near to it are {', '.join(near)}" if near else "mmdx runs --json shows what there is"
    raise InputError(f"{option} {key}: no run has that; {hint}.")


def _passes(value: Any, sign: str, wanted: str, text: str) -> bool:
    if sign in COMPARISONS:
        number, limit = _number(value), _number(wanted)
        if limit is None:
            raise InputError(f"--filter {text!r}: {wanted!r} is not a number.")
        return number is not None and COMPARISONS[sign](number, limit)
    equal = any(_equal(value, part.strip()) for part in ([wanted] if wanted.startswith("[") else wanted.split(",")))
    return equal == (sign == "=")


def _equal(value: Any, wanted: str) -> bool:
    if value is None or isinstance(value, bool):
        return wanted.lower() in {"null", "none"} if value is None else wanted.lower() == str(value).lower()
    if isinstance(value, list):
        return wanted.replace(" ", "") == str(value).replace(" ", "").replace("'", "")
    one, other = _number(value), _number(wanted)
    return one == other if one is not None and other is not None else fnmatchcase(str(value), wanted)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
