"""Curves, with bands where their interval is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdx.report.plots.style import DASHES, INK, MARKERS, MUTED, SERIES, grid, new_figure
from mmdx.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[float | None] | np.ndarray


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        label: its name.
        x, y: its points; a missing one interrupts it.
        low, high: its band, empty where it has none.
        series: which colour and dashes it has; below 0 a thin grey line.
        marks: whether its points are marked.
        width: of the line, but for series 0, which is the widest.
    """

    label: str
    x: Points
    y: Points
    low: Points = ()
    high: Points = ()
    series: int = 0
    marks: bool = False
    width: float = 1.5


def lines(
    curves: Sequence[Curve],
    x: str,
    y: str,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    legend: str = "",
    diagonal: bool = False,
    square: bool = False,
    points: Sequence[tuple[float, float, str]] = (),
) -> Figure:
    """Curves in one set of axes.

    Args:
        curves: drawn in this order, the last on top.
        x, y: what the axes are.
        xlim, ylim: their ends.
        legend: where the names stand together, such as "lower right"; where not given each stands at its curve's end.
        diagonal: whether the line from (0, 0) to (1, 1) is drawn.
        square: whether both axes have the same length.
        points: single points with their names in the legend.
    """
    figure = new_figure(4.4 if square else 3.5)
    axes = figure.add_subplot()
    grid(axes)
    if diagonal:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    for curve in curves:
        _draw(axes, curve)
    for px, py, label in points:
        axes.plot([px], [py], "o", color=INK, markersize=6, zorder=6, label=label)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if xlim:
        axes.set_xlim(*xlim)
    if ylim:
        axes.set_ylim(*ylim)
    if square:
        axes.set_aspect("equal")
    if legend:
        handles, names = axes.get_legend_handles_labels()
        options: Any = {"loc": legend, "handlelength": 2.4, "labelspacing": 0.3}
        axes.legend(handles[::-1], names[::-1], **options)
    else:
        axes.margins(x=0.01)
        _name_ends(axes, curves)
    return figure


def _draw(axes: Axes, curve: Curve) -> None:
    x, y = _numbers(curve.x), _numbers(curve.y)
    grey = curve.series < 0
    colour = MUTED if grey else SERIES[curve.series % len(SERIES)]
    style: dict[str, Any] = {"color": colour, "label": plain(curve.label, 40)}
    style["linestyle"] = DASHES[(curve.series if not grey else 2) % len(DASHES)]
    style["linewidth"] = 1.1 if grey else 2.2 if curve.series == 0 else curve.width
    if curve.marks:
        style |= {"marker": MARKERS[curve.series % len(MARKERS)], "markersize": 4.5}
    if len(curve.low) and len(curve.high):
        low, high = _numbers(curve.low), _numbers(curve.high)
        if curve.marks and len(x) < 12:
            axes.vlines(x, low, high, color=colour, linewidth=1, alpha=0.8)
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(x, y, **style)


def _numbers(values: Points) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _name_ends(axes: Axes, curves: Sequence[Curve]) -> None:
    """Each name at the right end of its curve, moved up or down where two would lie on each other."""
    ends: list[tuple[float, float, Curve]] = []
    for curve in curves:
        places, heights_of = _numbers(curve.x), _numbers(curve.y)
        here = np.flatnonzero(~np.isnan(heights_of))
        if len(here):
            ends.append((float(heights_of[here[-1]]), float(places[here[-1]]), curve))
    ends.sort(key=lambda end: end[0])
    bottom, top = axes.get_ylim()
    heights = _apart([min(max(y, bottom), top) for y, *_ in ends], 0.062 * (top - bottom), top)
    for height, (y, x, curve) in zip(heights, ends, strict=True):
        colour = MUTED if curve.series < 0 else SERIES[curve.series % len(SERIES)]
        line = {"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 1, "shrinkB": 0}
        where: Any = {"textcoords": ("axes fraction", "data"), "va": "center", "fontsize": 9, "arrowprops": line}
        axes.annotate(plain(curve.label, 22), xy=(x, min(max(y, bottom), top)), xytext=(1.05, height), **where)


def _apart(heights: list[float], step: float, top: float) -> list[float]:
    """Rising heights moved until they are a step apart and none is above the top."""
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + step)
    for k in reversed(range(len(heights))):
        heights[k] = min(heights[k], heights[k + 1] - step if k + 1 < len(heights) else top)
    return heights
