"""``mmdx simulate optimum``: the best scores that any model can reach on a simulated cohort, for every set of modalities."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmdx.commands.hydra_app import telling
from mmdx.commands.simulate import cohort_from

if TYPE_CHECKING:
    from rich.table import Table

DESCRIPTION = """\
Print the best AUROC, average precision and Brier score that any model can reach on the population of a simulated cohort, and the
information that each set of modalities has about the target, in bits; of each pair its decomposition (Bertschinger et al. 2014) too.

Hydra overrides set the cohort: data.prevalence=0.2 'data.information.synergistic={image+text: 0.3}'."""

WORDS = (
    "Scores are those of the true posterior on the population, with what is missing as set. Bits are about the target, where nothing is missing, "
    "given hospital, age and time; asked is what data.information asks for, of the diagnosis and the findings alone."
)
PAIRS = "Of the bits of a pair, what both say, only the first, only the second, and only both together (Bertschinger et al. 2014):"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("mmdx simulate optimum", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="Hydra overrides of data=simulated")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    given = parser.parse_intermixed_args()
    telling(lambda: optimum(given.overrides, given.json))


def optimum(overrides: list[str], as_json: bool = False) -> None:
    """Print the table.

    Raises:
        InputError: where the overrides are wrong.
    """
    from mmdx.simulate.latent import subsets

    cohort = cohort_from(overrides)
    rows: list[dict[str, Any]] = []
    for subset in subsets(cohort.modalities):
        row: dict[str, Any] = {"modalities": "+".join(sorted(subset))} | cohort.optimum(subset)
        row |= {"information": cohort.information(subset), "asked": cohort.asked(subset)}
        if len(subset) == 2:
            row["decomposition"] = cohort.decomposition(*sorted(subset))._asdict()
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console()
    names = ("auroc", "auprc", "brier", "information", "asked")
    console.print(_table(("AUROC", "AUPRC", "Brier", "bits", "asked"), [(row["modalities"], [row[name] for name in names]) for row in rows]))
    console.print(f"\n{WORDS}")
    if pairs := [(row["modalities"], list(row["decomposition"].values())) for row in rows if "decomposition" in row]:
        console.print(f"\n{PAIRS}\n")
        console.print(_table(("redundant", "first", "second", "synergistic"), pairs))


def _table(names: Sequence[str], rows: Sequence[tuple[str, list[float]]]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("modalities", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for modalities, values in rows:
        table.add_row(modalities.replace("+", " + "), *(f"{value:.3f}" for value in values))
    return table
