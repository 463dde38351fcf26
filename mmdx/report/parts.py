"""What a chapter of the report is made of; pages, files of figures and files of tables are all written from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mmdx.report.wording import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = Entry | str | int | float | None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Note:
    """A line on what is not here, and the command that would make it."""

    text: str
    command: str = ""
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files, without ending.
        title: what it shows, in a few words.
        caption: what is drawn and how to read it, with n, unit and method of the intervals.
        figure: the drawing.
        svg: as it stands in the page, filled in when it is saved.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    svg: str = ""
    kind: ClassVar[str] = "drawing"


@dataclass(frozen=True)
class Table:
    """A table; cells are entries of ``metrics.json``, numbers or words.

    Attributes:
        name: of its file, without ending.
        caption: what it holds.
        head: what its first column is.
        columns: what the others are.
        rows: the first cell and the others.
        digits: of numbers.
        folded: whether the page shows it only when asked to.
    """

    name: str
    caption: str
    head: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    digits: int = 3
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Lines:
    """Text that is shown as it is, only when asked to, such as a config."""

    title: str
    text: str
    kind: ClassVar[str] = "lines"


@dataclass(frozen=True)
class Warnings:
    """Things to know before believing what follows."""

    items: Sequence[str]
    kind: ClassVar[str] = "warnings"


@dataclass(frozen=True)
class Pairs:
    """Names and what they are."""

    items: Sequence[tuple[str, Any]]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Points:
    """Sentences by topic."""

    items: Sequence[tuple[str, Sequence[str]]]
    kind: ClassVar[str] = "points"


Block = Text | Note | Drawing | Table | Lines | Warnings | Pairs | Points


@dataclass(frozen=True)
class Chapter:
    """A section of the page.

    Attributes:
        name: of its anchor.
        title: of it.
        blocks: what stands in it, in order.
    """

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)
