"""What a sweep ends in: its table, its plots, the configs of its best trials, and a line on the screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mmdx.errors import InputError
from mmdx.sweep.best import write_best
from mmdx.sweep.plots import write_plots
from mmdx.sweep.table import write_table

if TYPE_CHECKING:
    from mmdx.sweep.shared import SharedStudy
    from mmdx.sweep.sweeper import Sweep

BEST = re.compile(r"best(_\d+)?\.yaml")


def sum_up(sweep: Sweep, study: SharedStudy) -> Any:
    """Write the table, the plots and the best configs, and say where they are.

    Returns:
        The best trial's values by objective, None where no trial is complete; of several objectives those of the front by trial.

    Raises:
        InputError: where every trial failed.
    """
    with study.lock:
        trials = study.study.get_trials(deepcopy=False)
        write_table(sweep.folder, sweep.space, sweep.objectives, trials)
        finished = [trial for trial in trials if trial.state.name == "COMPLETE"]
        if not any(trial.state.name != "FAIL" for trial in trials):
            raise InputError(f"all {len(trials)} trials failed, the last: {trials[-1].user_attrs.get('reason')} ({sweep.folder / 'sweep.md'})")
        write_plots(sweep.folder, sweep.space, sweep.objectives, study.study)
        best = study.study.best_trials if finished else []
        best = best[:1] if len(sweep.objectives) == 1 else best
        written = [write_best(sweep, trial, only=len(sweep.objectives) == 1) for trial in best]
        for path in sweep.folder.glob("best*.yaml"):  # of trials that were the best before
            if BEST.fullmatch(path.name) and path not in written:
                path.unlink(missing_ok=True)
    states = [trial.state.name for trial in trials]
    counts = ", ".join(f"{states.count(name)} {word}" for name, word in (("COMPLETE", "complete"), ("PRUNED", "pruned"), ("FAIL", "failed")))
    print(f"{len(trials)} trials: {counts}. Table and plots: {sweep.folder}")
    found = {trial.number: dict(zip(sweep.objectives, trial.values, strict=True)) for trial in best}
    return next(iter(found.values()), None) if len(sweep.objectives) == 1 else found
