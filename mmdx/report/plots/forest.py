"""Values with their intervals, one a line: subsets, differences, groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdx.report.plots.style import INK, MARKERS, MUTED, PAPER, SERIES, grid, new_figure
from mmdx.report.wording import Entry, bounded, digits_of, known, number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation, Text

LINE, AROUND, LEGEND = 0.29, 0.62, 0.26
"""Inches of a row, of the axis below, of the legend above."""


@dataclass(frozen=True)
class Row:
    """One line of a forest plot.

    Attributes:
        label: its name.
        entry: its value; a row without one is a heading.
        series: which colour and mark it has.
        note: what stands in the place of a value, such as that a group is too small.
    """

    label: str
    entry: Entry | None = None
    series: int = 0
    note: str = ""

    @property
    def heading(self) -> bool:
        """Whether it names the rows below it."""
        return self.entry is None and not self.note


def forest(
    rows: Sequence[Row],
    axis: str,
    reference: float | None = None,
    legend: Sequence[str] = (),
    bars: bool = False,
    signed: bool = False,
) -> Figure:
    """Dots (or bars) with intervals, the numbers written at the right.

    Args:
        rows: from top to bottom.
        axis: what the horizontal axis is, with its unit.
        reference: where a vertical line stands, such as 0 for differences.
        legend: names of the series, where there are several.
        bars: whether a bar from 0 is drawn instead of a dot.
        signed: whether numbers carry a plus.
    """
    figure = new_figure(AROUND + LINE * len(rows) + LEGEND * bool(legend), layout=None)
    axes = figure.add_subplot()
    if reference is not None:
        axes.axvline(reference, color=MUTED, linewidth=1, zorder=1)
    numbers = [_number_at_right(axes, place, row, reference, signed) for place, row in enumerate(rows)]
    for place, row in enumerate(rows):
        if known(row.entry):
            _draw(axes, place, row, bars)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [plain(row.label, 24) if row.label and not row.heading else "" for row in rows])
    for place, row in enumerate(rows):
        if row.heading:
            behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
            at: Any = {"xycoords": ("figure fraction", "data"), "va": "center", "bbox": behind}
            axes.annotate(plain(row.label, 60), (0.006, place), fontsize=9, fontweight="bold", zorder=3, **at)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=5)
    grid(axes, "x")
    if legend:
        handles = [axes.plot([], [], MARKERS[k % len(MARKERS)], color=SERIES[k % len(SERIES)], label=plain(name))[0] for k, name in enumerate(legend)]
        figure.legend(handles=handles, loc="upper right", ncols=len(legend), handletextpad=0.1, columnspacing=1.2, borderpad=0.1)
    _leave_room(figure, axes.get_yticklabels(), numbers, bool(legend))
    return figure


def _number_at_right(axes: Axes, place: int, row: Row, reference: float | None, signed: bool) -> Annotation:
    told = row.note
    if known(row.entry):
        digits = digits_of(row.entry, reference)
        told = number(row.entry["value"], digits, signed)
        if bounded(row.entry):
            told += f" ({number(row.entry['low'], digits)}, {number(row.entry['high'], digits)})"
    return axes.annotate(told, (1.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=INK if known(row.entry) else MUTED)


def _leave_room(figure: Figure, labels: Sequence[Text], numbers: Sequence[Annotation], legend: bool) -> None:
    """Margins that the labels on both sides fit in."""
    width, height = figure.get_size_inches() * figure.dpi
    left, right = (max(text.get_window_extent().width for text in texts) / width for texts in (labels, numbers))
    head = (0.06 + LEGEND * legend) * figure.dpi / height
    left = left + 0.025
    figure.subplots_adjust(left=left, right=max(left + 0.2, 1 - right * 1.08 - 0.03), top=1 - head, bottom=(AROUND - 0.1) * figure.dpi / height)


def _draw(axes: Axes, place: int, row: Row, bars: bool) -> None:
    assert row.entry is not None
    colour = SERIES[row.series % len(SERIES)]
    if bounded(row.entry):
        ends = [row.entry["low"], row.entry["high"]]
        axes.plot(ends, [place, place], color=INK if bars else colour, linewidth=1.6, solid_capstyle="butt", zorder=4)
    if bars:
        axes.barh(place, row.entry["value"], height=0.55, color=colour, alpha=0.55, zorder=2)
    else:
        axes.plot([row.entry["value"]], [place], MARKERS[row.series % len(MARKERS)], color=colour, markersize=5.5, zorder=5)
