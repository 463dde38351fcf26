"""From a scored run folder to ``report.html``, figures and tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmdx.files import write_atomically, write_text
from mmdx.report.cases import case_list
from mmdx.report.chapters import abstention, comparison, data, discrimination, groups, modalities, probabilities, summary
from mmdx.report.page import environment, page_of
from mmdx.report.parts import Block, Chapter, Drawing, Table
from mmdx.report.plots.style import drawing, for_page, for_paper, svg_of
from mmdx.report.run_folder import RunFolder, read_run
from mmdx.report.tables import csv_of

PAGE = "report.html"
CHAPTERS = (summary, discrimination, probabilities, abstention, modalities, groups, comparison, data)
DPI = 300


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run, its figures under ``figures/`` and its tables under ``tables/`` of the run folder.

    Args:
        folder: a run folder that has been scored, or the file of predictions in one.
        out: where the page is written; ``report.html`` in the folder where not given.

    Returns:
        The page.

    Raises:
        InputError: where the folder has not been scored, a file of it cannot be read, or Jinja2 or matplotlib is not installed.
    """
    run = read_run(folder)
    environment()
    with drawing():
        chapters = [found for part in CHAPTERS if (found := part.chapter(run)) is not None]
        chapters = [Chapter(c.name, c.title, [_kept(run, block) for block in c.blocks]) for c in chapters]
    page = Path(out).expanduser() if out else run.path / PAGE
    write_text(page, page_of(_name(run), data.facts(run), run.stress, chapters, case_list(run)))
    return page


def _kept(run: RunFolder, block: Block) -> Block:
    """Write a figure's or table's files; a figure comes back with its drawing for the page."""
    if isinstance(block, Table):
        write_text(run.path / "tables" / f"{block.name}.csv", csv_of(block))
    if not isinstance(block, Drawing):
        return block
    svg = svg_of(block.figure, block.name)
    write_text(run.path / "figures" / f"{block.name}.svg", for_paper(svg))
    write_atomically(
        run.path / "figures" / f"{block.name}.png",
        lambda path: block.figure.savefig(path, format="png", dpi=DPI, facecolor="white", metadata={"Software": None}),
    )
    return replace(block, svg=for_page(svg, f"figure-{block.name}", block.title, block.caption))


def _name(run: RunFolder) -> str:
    """The run in a few words: its data, and its folder."""
    source = (run.provenance or {}).get("data")
    return f"{source}: {run.name}" if source else run.name
