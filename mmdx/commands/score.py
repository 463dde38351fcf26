"""``mmdx score FOLDER...``: from predictions to metrics, without torch."""

from __future__ import annotations

import argparse

from mmdx.commands.hydra_app import telling


def main() -> None:
    """Score each folder that holds a ``predictions.parquet`` and print its table."""
    parser = argparse.ArgumentParser("mmdx score", description="Turn predictions.parquet into metrics.json; no torch is needed.")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a folder that holds a predictions.parquet, or a Parquet or CSV file")
    parser.add_argument("--kind", choices=["ordinal"], help="the classes of the table have an order, that of their prob_ columns")
    given = parser.parse_args()

    def job() -> None:
        from mmdx.evaluation.score import score_folder
        from mmdx.evaluation.table import print_results

        for folder in given.folders:
            print_results(score_folder(folder, kind=given.kind))

    telling(job)


if __name__ == "__main__":
    main()
