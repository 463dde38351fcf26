"""How long the phases of a run take; what a phase does inside another one counts for the inner one alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_seconds: dict[str, float] = {}
_open: list[str] = []
_since = 0.0


def start_clock() -> None:
    """Forget what was measured before: a process may do several runs, one after another."""
    _seconds.clear()
    _open.clear()


def timings() -> dict[str, float]:
    """Seconds of each phase that was left since the clock was started, in the order in which they were first entered."""
    return {name: round(value, 3) for name, value in _seconds.items()}


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Measure a block, or as a decorator a function, as a phase of the run. Phases are entered by one thread."""
    global _since
    _turn()
    _seconds.setdefault(name, 0.0)
    _open.append(name)
    try:
        yield
    finally:
        _turn()
        if _open:
            _open.pop()


def _turn() -> None:
    """Give the time since the last turn to the innermost open phase."""
    global _since
    now = time.monotonic()
    if _open:
        _seconds[_open[-1]] = _seconds.get(_open[-1], 0.0) + now - _since
    _since = now
