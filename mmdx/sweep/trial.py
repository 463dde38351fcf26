"""One trial: the application's own job, of which however it ends an outcome is kept in the run folder."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException

from mmdx.errors import InputError
from mmdx.files import write_json
from mmdx.sweep.outcome import OBJECTIVES, TRIAL, DiskFault, Outcome, Pruned, complete, lock_of, read_outcome

if TYPE_CHECKING:
    from omegaconf import DictConfig


class TrialJob:
    """What a launcher runs in the place of the application's job, in this process or on another machine.

    Args:
        task: the job; returns the value of the one objective, values by name, or leaves them in ``objectives.json``.
        objectives: directions by name.
        pruning: settings of the pruner and kind of storage, for the run to report to; None where nothing is pruned.
    """

    def __init__(self, task: Callable[[Any], Any], objectives: Mapping[str, str], pruning: Mapping[str, Any] | None = None) -> None:
        self.task, self.objectives, self.pruning = task, dict(objectives), dict(pruning) if pruning else None

    def __call__(self, cfg: DictConfig) -> dict[str, Any]:
        """Run the trial of Hydra's run folder, unless it has ended before; returns its outcome.

        While it runs it holds the trial's lock: whoever else is given the same trial waits, and takes its outcome.
        """
        folder = Path(HydraConfig.get().runtime.output_dir)
        lock = lock_of(folder.parent, folder.name)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(lock)):
            outcome = read_outcome(folder)
            if outcome is None:
                write_json(folder / TRIAL, {"number": int(folder.name), "objectives": self.objectives, "pruning": self.pruning})
                started = time.monotonic()
                outcome = replace(self._run(cfg, folder), seconds=time.monotonic() - started)
                outcome.write(folder)
        return vars(outcome)

    def _run(self, cfg: DictConfig, folder: Path) -> Outcome:
        try:
            found = self.task(cfg)
        except Pruned:
            return Outcome("PRUNED")
        except SystemExit as stop:
            if isinstance(stop.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise  # stopped from outside; whoever comes next goes on with it
        except DiskFault:
            raise
        except Exception as fault:
            gc.collect()
            return Outcome("FAIL", reason=_reason(fault))
        return complete(self._values(found, folder), self.objectives)

    def _values(self, found: Any, folder: Path) -> dict[str, Any]:
        path = folder / OBJECTIVES
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        if isinstance(found, Mapping):
            return {str(name): value for name, value in found.items()}
        if found is None or len(self.objectives) > 1:
            return {}
        return {next(iter(self.objectives)): found}


def _reason(fault: Exception) -> str:
    """A fault in one line."""
    line = (str(fault).strip().splitlines() or [""])[0]
    return line.removeprefix("error: ") if isinstance(fault, (InputError, CompactHydraException)) else f"{type(fault).__name__}: {line}"
