"""What a sweep found, as pictures: history, importances, parallel coordinates, and the Pareto front of several objectives."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna

from mmdx.files import write_text
from mmdx.report.plots.style import INK, MUTED, SERIES, drawing, for_paper, grid, new_figure, svg_of
from mmdx.sweep.space import Choice, Parameter, Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.trial import FrozenTrial

TICKS = 12
"""Values of a choice that are written beside its axis."""


def write_plots(folder: Path, space: Space, objectives: Mapping[str, str], study: optuna.Study) -> None:
    """Write the SVG files that the complete trials allow: ``history``, ``importances``, ``parallel`` and, of two objectives, ``pareto``.

    Of several objectives the first two have a history, importances and parallel coordinates, as ``history_2.svg``.
    """
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    figures: dict[str, Figure] = {}
    with drawing():
        for k, (name, way) in enumerate(list(objectives.items())[:2] if trials else []):
            end = f"_{k + 1}" if k else ""
            figures[f"history{end}"] = _history(trials, k, name, way)
            figures[f"parallel{end}"] = _parallel(trials, k, name, way, space)
            if found := importances(study, k):
                figures[f"importances{end}"] = _importances(found, name, len(trials))
        if len(objectives) == 2 and trials:
            figures["pareto"] = _pareto(trials, study.best_trials, list(objectives))
        for stem, figure in figures.items():
            write_text(folder / f"{stem}.svg", for_paper(svg_of(figure, f"sweep-{stem}")))


OVER = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
"""Behind words that lines run through."""


def importances(study: optuna.Study, objective: int = 0) -> dict[str, float]:
    """Share of each parameter in what an objective owes to them all, as ``optuna.importance`` has it; {} where the trials are too few or alike."""
    sign = -1.0 if study.directions[objective] == optuna.study.StudyDirection.MAXIMIZE else 1.0  # what a target is of is taken to be minimized
    target = None if len(study.directions) == 1 else lambda trial: sign * float(trial.values[objective])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="The number of trials is too small")  # they would be told to be equal
            return dict(optuna.importance.get_param_importances(study, target=target))
    except (ValueError, RuntimeError, ZeroDivisionError, UserWarning):
        return {}


def _history(trials: Sequence[FrozenTrial], objective: int, name: str, way: str) -> Figure:
    """Values by trial, and the best so far."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(2.8)
    axes = figure.add_subplot()
    values = np.array([trial.values[objective] for trial in trials])
    best = np.maximum.accumulate(values) if way == "maximize" else np.minimum.accumulate(values)
    numbers = [trial.number for trial in trials]
    axes.plot(numbers, values, "o", color=SERIES[0], markersize=4, label="trial")
    axes.step(numbers, best, where="post", color=SERIES[1], label="best so far")
    axes.set_xlabel("trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(name)
    axes.legend()
    grid(axes)
    return figure


def _importances(found: Mapping[str, float], name: str, trials: int) -> Figure:
    figure = new_figure(0.9 + 0.32 * len(found))
    axes = figure.add_subplot()
    names = list(found)[::-1]
    axes.barh(names, [found[key] for key in names], color=SERIES[0], height=0.6)
    axes.set_xlabel(f"share in {name}, by {trials} trials")
    grid(axes, "x")
    return figure


def _parallel(trials: Sequence[FrozenTrial], objective: int, name: str, way: str, space: Space) -> Figure:
    """A line a trial across one axis a parameter; the better, the darker."""
    figure = new_figure(3.4)
    axes = figure.add_subplot()
    values = np.array([trial.values[objective] for trial in trials])
    spread = float(np.ptp(values)) or 1.0
    heights = np.array([[_height(parameter, trial.params[key]) for key, parameter in space.parameters.items()] for trial in trials])
    heights = np.column_stack([heights, (values - values.min()) / spread])
    places = np.arange(heights.shape[1])
    for row in heights:
        axes.plot(places, row, color=SERIES[0], alpha=0.15 + 0.75 * (row[-1] if way == "maximize" else 1 - row[-1]), linewidth=1.2)
    for place, (_, parameter) in enumerate(space.parameters.items()):
        axes.axvline(place, color=MUTED, linewidth=0.8)
        for height, text in _ticks(parameter):
            axes.annotate(text, (place, height), xytext=(3, 0), textcoords="offset points", fontsize=7, color=INK, va="center", bbox=OVER)
    for height, value in ((0.0, values.min()), (1.0, values.max())):
        axes.annotate(f"{value:.4g}", (places[-1], height), xytext=(3, 0), textcoords="offset points", fontsize=7, color=INK, va="center", bbox=OVER)
    axes.axvline(places[-1], color=MUTED, linewidth=0.8)
    _label(axes, [*space.parameters, name])
    return figure


def _label(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-0.1, len(names) - 0.6)


def _height(parameter: Parameter, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if isinstance(parameter, Choice):
        return parameter.options.index(value) / max(1, len(parameter.options) - 1)
    low, high, value = (math.log(v) if parameter.log else v for v in (float(parameter.low), float(parameter.high), float(value)))
    return (value - low) / ((high - low) or 1.0)


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    if isinstance(parameter, Choice):
        shown = parameter.options if len(parameter.options) <= TICKS else (parameter.options[0], parameter.options[-1])
        return [(_height(parameter, option), option) for option in shown]
    return [(0.0, f"{float(parameter.low):.4g}"), (1.0, f"{float(parameter.high):.4g}")]


def _pareto(trials: Sequence[FrozenTrial], best: Sequence[FrozenTrial], names: Sequence[str]) -> Figure:
    figure = new_figure(3.2)
    axes = figure.add_subplot()
    axes.plot(*zip(*(trial.values for trial in trials), strict=True), "o", color=MUTED, markersize=4, label="trial")
    front = sorted(tuple(trial.values) for trial in best)
    axes.plot(*zip(*front, strict=True), "s-", color=SERIES[1], markersize=4, label="Pareto front")
    for (x, y), own in itertools.groupby(sorted(best, key=lambda trial: tuple(trial.values)), key=lambda trial: tuple(trial.values)):
        axes.annotate(", ".join(str(trial.number) for trial in own), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8, color=INK)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend()
    grid(axes)
    return figure
