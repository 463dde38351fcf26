"""``mmdx compare RUNS...``: runs against each other, on the rows that all of them predicted."""

from __future__ import annotations

import argparse

from mmdx.commands.hydra_app import telling


def main() -> None:
    """Print the comparison as Markdown; with ``--out`` write it as JSON, Markdown, LaTeX and, of three and more runs, a rank diagram."""
    parser = argparse.ArgumentParser("mmdx compare", description="Compare runs on common test rows: differences, intervals, tests, ranks.")
    parser.add_argument("runs", nargs="+", metavar="[NAME=]FOLDER", help="folders that hold a predictions.parquet, at least two")
    parser.add_argument("--metric", help="what is compared, such as auroc or brier; the main metric of the task where not given")
    parser.add_argument("--modalities", help="the subset compared, as in image+text; each run's own full set where not given")
    parser.add_argument("--ablation", choices=("offered", "retrained"), default="offered")
    parser.add_argument("--test", choices=("delong", "bootstrap", "corrected_t"), help="which test counts; see docs/compare.md for the rule")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    parser.add_argument("--out", metavar="FOLDER", help="write comparison.json, .md, .tex and the rank diagram there")
    chosen = parser.parse_args()

    def job() -> None:
        from pathlib import Path

        from mmdx.evaluation.compare import compare, named
        from mmdx.evaluation.comparison_table import latex, markdown
        from mmdx.files import write_json, write_text

        comparison = compare(
            named(chosen.runs),
            metric=chosen.metric,
            modalities=chosen.modalities,
            ablation=chosen.ablation,
            test=chosen.test,
            resamples=chosen.resamples,
            seed=chosen.seed,
        )
        print(markdown(comparison), end="")
        if chosen.out:
            folder = Path(chosen.out).expanduser()
            write_json(folder / "comparison.json", comparison)
            write_text(folder / "comparison.md", markdown(comparison))
            write_text(folder / "comparison.tex", latex(comparison))
            if "ranks" in comparison:
                from mmdx.report.rank_diagram import write_rank_diagram

                write_rank_diagram(comparison, folder / "ranks")
            print(f"\nwritten to {folder}")

    telling(job)


if __name__ == "__main__":
    main()
