"""``mmdx stress RUN``: what a finished run's models do when modalities go missing or become noisy, how unsure they are, and what they look at."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdx.commands.hydra_app import telling
from mmdx.stress.settings import PARTS, Settings

DESCRIPTION = """\
Put the models of a finished run under stress and score the run again.

  missingness  modalities are taken from test rows, each at random, one alone, or from the sick more often
  noise        one modality is disturbed
  uncertainty  Monte-Carlo dropout, and how unlike the training data a row is
  cases        single cases, with what the model looked at

Tables go to RUN/stress, cases to RUN/cases, results into RUN/metrics.json. A part that is done again replaces its earlier results."""


def main() -> None:
    """Put a run under stress and print a table of what became of it."""
    default = Settings()
    parser = argparse.ArgumentParser("mmdx stress", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--only", nargs="+", default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rates", nargs="+", type=float, default=default.rates, metavar="RATE",
                        help=f"of missing modalities ({_told(default.rates)})")  # fmt: skip
    parser.add_argument("--draws", type=int, default=default.draws, help="of what is missing, at each rate (%(default)s)")
    parser.add_argument("--train-rates", nargs="+", type=float, default=(), metavar="RATE",
                        help="train again with this share absent; costs a training each")  # fmt: skip
    parser.add_argument("--levels", nargs="+", type=float, default=default.levels, metavar="LEVEL",
                        help=f"of noise, in standard deviations and as the share of tokens ({_told(default.levels)})")  # fmt: skip
    parser.add_argument("--passes", type=int, default=default.passes, help="of Monte-Carlo dropout (%(default)s)")
    parser.add_argument("--cases", type=int, default=default.cases, help="explained at most (%(default)s)")
    parser.add_argument("--notes", action="store_true", help="explained cases may hold patients' free text")
    parser.add_argument("--baseline", type=Path, metavar="RUN",
                        help="a run, stressed before, that robustness is compared with, such as one of late fusion")  # fmt: skip
    parser.add_argument("--seed", type=int, default=default.seed, help="of every draw (%(default)s)")
    given = vars(parser.parse_args())
    telling(lambda: run(given.pop("run"), given))


def run(folder: str, options: Mapping[str, Any]) -> None:
    """Do it.

    Args:
        folder: the run's.
        options: of ``Settings``.

    Raises:
        InputError: for whatever is wrong with the options or the run.
    """
    settings = Settings(**{**options, "only": tuple(part for part in PARTS if part in options["only"]) or tuple(options["only"])})
    from mmdx.stress.run import stress

    metrics = stress(folder, settings)
    for line in summary(metrics.get("stress") or {}):
        print(line)
    print(f"{', '.join(files(Path(folder)))} written; metrics.json scored again.")


def summary(section: Mapping[str, Any]) -> Iterator[str]:
    """A short table: AUROC of each curve along its rates or levels, and its relative and effective robustness."""
    if "reason" in section:
        yield section["reason"]
    for name, key, curve in (("missingness", "rate", ("trained", "pattern")), ("noise", "level", ("modality", "noise"))):
        points = section.get(name) or []
        if not points:
            continue
        levels = sorted({point[key] for point in points})
        curves: dict[tuple[str, ...], dict[float, Any]] = {}
        for point in points:
            curves.setdefault(tuple(point[k] for k in curve), {})[point[key]] = point["auroc"]["value"]
        wide = max(24, *(len(_curve(name, which)) + 2 for which in curves))
        yield f"{'AUROC by ' + key:{wide}}" + "".join(f"{level:>7g}" for level in levels) + "   relative  effective"
        for which, values in curves.items():
            told = section.get("robustness", {}).get(_robustness_key(name, which), {})
            numbers = "".join(_number(values.get(level), 7) for level in levels)
            ends = [_number((told.get(what) or {}).get("value"), 11) for what in ("relative", "effective")]
            yield f"{_curve(name, which):{wide}}{numbers}{''.join(ends)}"


def _curve(table: str, which: tuple[str, ...]) -> str:
    return f"{which[0]} ({which[1]})" if table == "noise" else _robustness_key(table, which)


def _robustness_key(table: str, which: tuple[str, ...]) -> str:
    if table == "noise":
        return which[0]
    return which[1] if which[0] == "as trained" else f"{which[1]}, trained at {which[0]}"


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.3f}"


def files(folder: Path) -> list[str]:
    """What there is of the tables and cases, by their paths."""
    found = [*sorted((folder / "stress").glob("*.parquet")), folder / "stress" / "stress.json", folder / "cases" / "cases.json"]
    return [str(path) for path in found if path.exists()]


def _told(values: Any) -> str:
    return " ".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    main()
