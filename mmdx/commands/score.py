"""``mmdx score FOLDER...``: from predictions to metrics, without torch."""

from __future__ import annotations

import argparse

from mmdx.commands.hydra_app import telling


def main() -> None:
    """Score each folder that holds a ``predictions.parquet`` and print its table."""
    parser = argparse.ArgumentParser("mmdx score", description="Turn predictions.parquet into metrics.json; no torch is needed.")
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a folder that holds a predictions.parquet, or a Parquet or CSV file")
    parser.add_argument("--kind", choices=["ordinal"], help="the classes of the table have an order, that of their prob_ columns")
    parser.add_argument("--resamples", type=int, metavar="N", help="bootstrap resamples, 1000 where not given")
    parser.add_argument("--seed", type=int, metavar="N", help="of the bootstrap, 0 where not given")
    parser.add_argument("--macc", action="store_true", default=None, help="also the balanced accuracy under PhysioNet's name, MAcc")
    given = parser.parse_args()
    for name, least in (("resamples", 1), ("seed", 0)):
        if (value := getattr(given, name)) is not None and value < least:
            parser.error(f"--{name} {value}: must be at least {least}")

    def job() -> None:
        from mmdx.evaluation.score import score_folder
        from mmdx.evaluation.table import print_results

        extra = ("macc",) if given.macc else None
        for folder in given.folders:
            print_results(score_folder(folder, kind=given.kind, extra_metrics=extra, resamples=given.resamples, seed=given.seed))

    telling(job)


if __name__ == "__main__":
    main()
