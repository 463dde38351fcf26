"""``mmdx simulate optimum``: the best scores that any model can reach on a simulated cohort, for every set of modalities."""

from __future__ import annotations

import argparse
import json
from typing import Any

from mmdx.commands.hydra_app import telling
from mmdx.commands.simulate import cohort_from

DESCRIPTION = """\
Print the best AUROC, average precision and Brier score that any model can reach on the population of a simulated cohort, and the
information that each set of modalities has about the target, in bits; of each pair its decomposition (Bertschinger et al. 2014) too.

Hydra overrides set the cohort: data.prevalence=0.2 'data.information.synergistic={image+text: 0.3}'."""

WORDS = """
Scores are those of the true posterior on the population, with what is missing as set. Bits are about the target, where nothing is missing; of a
pair also what both say, only the first, only the second, and only both together (Bertschinger et al. 2014).""".replace("\n", " ").strip()


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
        row |= {"information": cohort.information(subset), "findings": cohort.asked(subset)}
        if len(subset) == 2:
            row["decomposition"] = cohort.decomposition(*sorted(subset))._asdict()
        rows.append(row)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold")
    table.add_column("modalities", overflow="fold")
    for name in ("AUROC", "AUPRC", "Brier", "bits", "redundant", "first", "second", "synergistic"):
        table.add_column(name, justify="right")
    for row in rows:
        parts = row.get("decomposition", {}).values()
        numbers = [row[name] for name in ("auroc", "auprc", "brier", "information")]
        table.add_row(row["modalities"], *(f"{number:.3f}" for number in [*numbers, *parts]))
    console.print(table)
    console.print(f"\n{WORDS}")
