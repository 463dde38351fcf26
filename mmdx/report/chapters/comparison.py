"""Other runs beside this one, where ``mmdx compare`` has left its result in the folder."""

from __future__ import annotations

from typing import Any

from mmdx.evaluation.comparison_table import TESTS, beaten, notes, of_folds, own_entry
from mmdx.report.parts import Block, Cell, Chapter, Table, Text
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import subset, title, upper_first


def chapter(run: RunFolder) -> Chapter | None:
    """The runs, every pair of them, and what the figures rest on; None where nothing was compared."""
    found = run.comparison
    if not found:
        return None
    blocks: list[Block] = [_runs(found), _pairs(found), *(Text(note) for note in notes(found))]
    return Chapter("comparison", "Comparison with other runs", blocks)


def _metric(found: dict[str, Any]) -> str:
    return title(found["metric"]) + (", mean over folds" if of_folds(found) else "")


def _runs(found: dict[str, Any]) -> Table:
    rows: list[tuple[str, list[Cell]]] = []
    for own in found["runs"]:
        others = beaten(found, own)
        cells: list[Cell] = [upper_first(subset(own["modalities"])), own_entry(found, own), "none shown" if others == "-" else others]
        rows.append((own["name"], cells))
    caption = f"{_metric(found)} of each run on the test samples that all of them predicted, with 95 % intervals."
    return Table("comparison_runs", caption, "Run", ["Modalities", _metric(found), "Better than"], rows)


def _pairs(found: dict[str, Any]) -> Table:
    rows: list[tuple[str, list[Cell]]] = []
    for pair in found["pairs"]:
        end = f"{_better(found, pair)} *" if pair["significant"] else "neither shown"
        cells: list[Cell] = [pair["shown"], TESTS[pair["test"]], pair["p"], pair["p_holm"], end]
        rows.append((f"{pair['a']} minus {pair['b']}", cells))
    less = "" if found["higher_is_better"] else "; less is better"
    caption = f"Differences of {_metric(found)}, paired, with 95 % intervals{less}."
    return Table("comparison_pairs", caption, "Pair", ["Difference", "Test", "p", "p (Holm)", "Better"], rows)


def _better(found: dict[str, Any], pair: dict[str, Any]) -> str:
    """Which of the two the difference, first minus second, speaks for."""
    return str(pair["a"] if (pair["shown"]["value"] > 0) == found["higher_is_better"] else pair["b"])
