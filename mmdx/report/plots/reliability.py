"""Reliability diagrams: how often the event happened where a probability was given, and how often each was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdx.report.plots.style import MUTED, SERIES, grid, new_figure
from mmdx.report.wording import plain, upper_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bins = Sequence[Mapping[str, Any]]
BARS = 20


def reliability(curve: Bins, prob: np.ndarray, target: np.ndarray, sides: tuple[str, str]) -> Figure:
    """The diagram above a histogram.

    Args:
        curve: bins with ``prob``, ``observed``, ``low``, ``high``.
        prob: every probability, [n].
        target: 0 or 1, [n].
        sides: what targets 0 and 1 are called.
    """
    figure = new_figure(5.3)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.1])
    _bins(upper, curve, 0)
    upper.set_ylabel("Observed share")
    grid(lower)
    edges = np.linspace(0, 1, BARS + 1)
    bars: Any = {"bins": edges, "stacked": True, "color": [MUTED, SERIES[0]], "alpha": 0.6, "label": [plain(side, 22) for side in sides]}
    lower.hist([prob[target == 0], prob[target == 1]], **bars)
    lower.set_ylabel("Rows")
    lower.set_xlabel("Predicted probability")
    lower.legend(loc="upper center", ncols=2, handlelength=1)
    return figure


def recalibrated(curves: Mapping[str, Bins]) -> Figure:
    """A small diagram of each recalibration.

    Args:
        curves: bins by the name of the method.
    """
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure(0.5 + (2.4 if columns == 2 else 3.8) * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, (k, (name, bins)) in zip(panels.flat, enumerate(curves.items(), 1), strict=False):
        _bins(panel, bins, k)
        panel.set_title(upper_first(plain(name)), loc="left", fontsize=10)
    for panel in panels.flat[len(curves) :]:
        panel.set_visible(False)
    figure.supxlabel("Recalibrated probability", fontsize=10)
    figure.supylabel("Observed share", fontsize=10)
    return figure


def _bins(axes: Axes, bins: Bins, series: int) -> None:
    colour = SERIES[series % len(SERIES)]
    grid(axes)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
    own = [b for b in bins if b.get("observed") is not None]
    within = [b for b in own if b.get("low") is not None and b.get("high") is not None]
    axes.vlines([b["prob"] for b in within], [b["low"] for b in within], [b["high"] for b in within], color=colour, linewidth=1.3)
    axes.plot([b["prob"] for b in own], [b["observed"] for b in own], color=colour, marker="o", markersize=4.5, linewidth=1.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
