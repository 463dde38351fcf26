"""Signals that ask a run to stop: what is being trained is saved first, and goes on later."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """A run ends because a signal asked it to; no fault, so nothing that mends faults catches it.

    Attributes:
        signum: which.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class _Asked:
    """What signals have asked of this process.

    Attributes:
        signum: the one that came; 0 for none.
        looked_at: whether someone looks at it between steps; where no one does, a signal ends the run at once.
        before: the handlers that were there.
    """

    signum: int = 0
    looked_at: bool = False
    before: dict[int, Any] = {}


ASKED = _Asked()


def _signals() -> list[int]:
    """SIGTERM and SIGUSR1; SIGUSR2 too where someone listens to it already, as submitit does."""
    found = [signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    if hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2)):
        found.append(signal.SIGUSR2)
    return [int(one) for one in found]


def _handle(signum: int, frame: FrameType | None) -> None:
    ASKED.signum = ASKED.signum or signum
    if not ASKED.looked_at:
        leave(signum, frame)


def leave(signum: int, frame: FrameType | None = None) -> None:
    """End the run: by the handler that was there before, which may requeue a job, else by ``Stopped``.

    Raises:
        Stopped: unless the handler ends the process.
    """
    before = ASKED.before.get(signum)
    if callable(before) and before is not signal.default_int_handler:
        before(signum, frame)
    raise Stopped(signum)


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGUSR1 raise ``Stopped``: at once, or, while a model is trained, after the step that is under way and a checkpoint.

    Only in a process's main thread, elsewhere signals stay what they are; within another such block nothing more is done.
    """
    if ASKED.before or threading.current_thread() is not threading.main_thread():
        yield
        return
    ASKED.signum, ASKED.looked_at = 0, False
    ASKED.before = {signum: signal.getsignal(signum) for signum in _signals()}
    for signum in ASKED.before:
        signal.signal(signum, _handle)
    try:
        yield
    finally:
        for signum, handler in ASKED.before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        ASKED.before, ASKED.signum = {}, 0


def listen() -> None:
    """Take the signals again from whoever took them since."""
    for signum in ASKED.before:
        signal.signal(signum, _handle)


@contextlib.contextmanager
def looking() -> Iterator[Callable[[], int]]:
    """Within, a signal waits until the caller looks; gives what tells the signal that came, 0 for none."""
    ASKED.looked_at = True
    try:
        yield lambda: ASKED.signum
    except Exception:
        if ASKED.signum:  # a loader's worker was told to stop as well
            leave(ASKED.signum)
        raise
    finally:
        ASKED.looked_at = False


def ignore_in_worker() -> None:
    """A loader's worker leaves pre-emption signals to its parent."""
    for name in ("SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def requeue(signum: int) -> str:
    """Under Slurm, put the job back into the queue where SIGUSR1 announced its end; what was done, "" for nothing."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{job}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if job else os.environ.get("SLURM_JOB_ID")
    if not job or signum != getattr(signal, "SIGUSR1", None) or os.environ.get("SLURM_PROCID", "0") != "0":
        return ""
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as fault:
        told = getattr(fault, "stderr", None) or str(fault).encode()
        return f"the job could not be requeued ({told.decode(errors='replace').strip()})"
    return f"job {job} is in the queue again"
