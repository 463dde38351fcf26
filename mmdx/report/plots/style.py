"""How figures look: one matplotlib figure gives a file for a paper and a drawing that follows the page's light or dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from mmdx.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#1c2026", "#59616b", "#d5d9de", "#fdfdfc"
SERIES = ("#0072b2", "#d55e00", "#00875f", "#b0508a", "#a06c00", "#5f6875", "#3b4a9c")
"""After Okabe and Ito (2008), darkened where 3 to 1 on white asks for it; lines also differ in their dashes."""
DASHES = ("-", (0, (5, 1.6)), (0, (1.4, 1.3)), (0, (6, 1.5, 1.4, 1.5)), (0, (3, 1.2)), (0, (8, 2)), (0, (2, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper", **{colour: f"--series-{k + 1}" for k, colour in enumerate(SERIES)}}
WIDTH = 5.0
"""Inches; 360 units, so that a phone shows the letters at their own size."""
FONTS = ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"]
RC: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are made and saved in this style, whatever the user's own settings are.

    Raises:
        InputError: where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise InputError("figures need matplotlib: pip install 'mmdx[report]'") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure of a height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def grid(axes: Axes, axis: str = "both") -> None:
    """Faint lines behind the data."""
    axes.set_axisbelow(True)
    axes.grid(True, axis=axis, color=RULE, linewidth=0.6)  # type: ignore[arg-type]


def svg_of(figure: Figure, name: str) -> str:
    """A figure as SVG; the same figure gives the same bytes, and its ids begin with its name."""
    import matplotlib

    out = io.StringIO()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once for both files
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return out.getvalue()


def for_paper(svg: str) -> str:
    """The SVG as a file of its own: opaque, in a font that is at hand."""
    return svg.replace("'DejaVu Sans'", ", ".join(f"'{font}'" for font in FONTS))


def for_page(svg: str, name: str, title: str, description: str) -> str:
    """The SVG as it stands in the page: colours are the page's variables, the font is the page's, it has a name and a description for those who
    cannot see it, and no id that another drawing could have."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"font: (?:(\d+) )?([\d.]+)px [^;\"]*", lambda m: f"font-size: {m[2]}px; font-weight: {m[1] or 400}", body)  # matplotlib 3.8
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    for colour, variable in VARIABLES.items():
        body = re.sub(colour, f"var({variable})", body, flags=re.IGNORECASE)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", body))
    body = re.sub(r" id=\"([^\"]*)\"", lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", body)
    head = re.search(r"viewBox=\"([^\"]*)\"", body)
    start = f'<svg viewBox="{head[1] if head else "0 0 360 260"}" role="img" aria-labelledby="{name}-t {name}-d" xmlns:xlink="http://www.w3.org/1999/xlink">'
    named = f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
    return start + named + body[body.index(">") + 1 :]
