"""A paper's table in one command: every combination of methods and settings, many seeds and folds, on features encoded once, compared with tests.

    python scripts/grid.py experiment=xray_text_features fusion=all seeds=32 folds=5 out=grids/fusions
    python scripts/grid.py experiment=xray_text_features fusion=concat,gated optimizer.lr=0.001,0.003 seeds=8 out=grids/rates

experiment, fusion (names, or all), seeds (how many), folds (how many; 0 keeps the experiment's split), jobs (processes; as many as there are cores,
up to 8, and one where there is a GPU) and out are the grid's own; anything else is an override as for train.py, and one with several values, KEY=A,B,
is one more axis. Each combination is a run folder below out, with predictions, metrics and models. Combinations that differ in fusion, strategies
around it, optimizer, training or trainer alone share one reading of the cohort; heads that differ only in seed, fold, learning rate, weight decay,
dropout, modality dropout or patience are trained at once. The same command goes on after a kill: finished models are kept. At the end comparison.md,
.tex and .json compare all of them, and a table says how long each took, those that were trained at once an equal share each. ablation is none where
it is not given: the full set of modalities alone is predicted. metrics.json of each run holds discrimination alone; `mmdx score` on a run adds
calibration, groups and the rest.
"""

from __future__ import annotations

import itertools
import sys
import time
from functools import lru_cache
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mmdx.commands.hydra_app import composed, config_folder, telling
from mmdx.errors import InputError
from mmdx.evaluation.compare import compare
from mmdx.evaluation.comparison_table import latex, markdown
from mmdx.files import write_json, write_text
from mmdx.grid import made, run_all
from mmdx.methods import fusions as every_fusion

OWN = {"experiment": "", "fusion": "all", "seeds": "1", "folds": "0", "jobs": "", "out": ""}


def asked(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The grid's own settings, and the overrides.

    Raises:
        InputError: where a word is no KEY=VALUE, or one of the settings is missing or no number.
    """
    own, overrides = dict(OWN), []
    for word in words:
        key, found, value = word.partition("=")
        if not found and not word.startswith("~"):
            raise InputError(f"{word}: expected KEY=VALUE, as in seeds=32.")
        if key in own:
            own[key] = value
        else:
            overrides.append(word)
    for key in ("experiment", "out"):
        if not own[key]:
            what = "name one of conf/experiment" if key == "experiment" else "name a folder for the runs"
            raise InputError(f"{key}: not given; {what}, as {key}=NAME.")
    for key, least in (("seeds", 1), ("folds", 0), *((("jobs", 1),) if own["jobs"] else ())):
        if not (own[key].isascii() and own[key].isdigit()) or int(own[key]) < least:
            raise InputError(f"{key}={own[key]}: must be a whole number, {least} or more.")
    return own, overrides


def combinations(own: dict[str, str], overrides: list[str]) -> dict[str, list[str]]:
    """The overrides of each run, by the name of its folder.

    Raises:
        InputError: where an override is none, or a fusion isn't there.
    """
    known = every_fusion(config_folder())
    fusions = known if own["fusion"] == "all" else own["fusion"].split(",")
    if unknown := [name for name in fusions if name not in known]:
        raise InputError(f"fusion={unknown[0]}: no such fusion; there are {', '.join(known)}.")
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as fault:
        raise InputError(f"{str(fault).splitlines()[0]}") from None
    for part in parsed:
        if part.key_or_group in ("seed", "seeds"):
            raise InputError(f"{part.input_line}: seeds=N says how many models of each kind, with seeds 0 to N - 1.")
        if part.key_or_group == "training" and part.value() != "frozen_features":
            raise InputError(f"training={part.value()}: the grid trains on frozen features; for other training use train.py -m.")
        if int(own["folds"]) and part.key_or_group in ("split", "split.folds"):
            raise InputError(f"{part.input_line}: folds={own['folds']} says split=kfold; leave one of the two out.")
    axes = [[f"fusion={name}" for name in fusions]]
    fixed = [part.input_line for part in parsed if not part.is_sweep_override()]
    for part in parsed:
        if part.is_sweep_override():
            key = part.input_line.partition("=")[0]  # with + where it is added
            axes.append([f"{key}={value}" for value in part.sweep_string_iterator()])
    fixed += [f"seeds=[{','.join(map(str, range(int(own['seeds']))))}]", "training=frozen_features"]
    fixed += ["split=kfold", f"split.folds={own['folds']}"] if int(own["folds"]) else []
    fixed += [] if any(part.key_or_group == "ablation" for part in parsed) else ["ablation=none"]
    found = {}
    for chosen in itertools.product(*axes):
        name = ",".join(part.removeprefix("fusion=").replace("/", "_") for part in chosen)
        found[name] = [f"+experiment={own['experiment']}", *chosen, *fixed]
    return found


def config_of(overrides: list[str]) -> DictConfig:
    """The config of a run; what the experiment says of its own fusion's arguments is left out for another fusion, what the command says is not."""
    chosen = next(word.removeprefix("fusion=") for word in overrides if word.startswith("fusion="))
    groups = tuple(word for word in overrides if "." not in word.partition("=")[0] and not word.lstrip("+~").startswith("fusion"))
    fusion = OmegaConf.load(Path(config_folder()) / "fusion" / f"{chosen}.yaml")
    if _fusion_of(groups) == fusion["_target_"]:
        return composed(overrides)
    wanted = composed(overrides, check=False)
    for word in overrides:
        if word.lstrip("+").startswith("fusion."):
            key = word.lstrip("+").partition("=")[0]
            OmegaConf.update(fusion, key.removeprefix("fusion."), OmegaConf.select(wanted, key), force_add=True)
    return composed(overrides, fusion=fusion)


@lru_cache
def _fusion_of(groups: tuple[str, ...]) -> str:
    """The class of the fusion that an experiment, with these choices of other groups, has itself."""
    return str(composed(list(groups), check=False).fusion["_target_"])


def grid(words: list[str]) -> None:
    """Run everything, compare it, print the table."""
    own, overrides = asked(words)
    runs, out = combinations(own, overrides), Path(own["out"]).expanduser()
    configs = {name: config_of(lines) for name, lines in runs.items()}  # a wrong one is found before anything is trained
    made(out, "out")
    begun = time.monotonic()
    seconds = run_all({name: out / name for name in runs}, configs, int(own["jobs"]) if own["jobs"] else None)
    started = time.monotonic()
    lines = ["| run | read | train and predict | score |", "|---|---|---|---|"]
    for name in runs:
        took = seconds[name]
        lines.append(f"| {name} | {' | '.join(f'{took[part]:.0f} s' for part in ('read', 'train and predict', 'score'))} |")
    told = ""
    if len(runs) > 1:
        comparison = compare({name: out / name for name in runs})
        write_json(out / "comparison.json", comparison)
        write_text(out / "comparison.tex", latex(comparison))
        told = markdown(comparison) + "\n"
    told += "\n".join(lines) + "\n"
    write_text(out / "comparison.md", told)
    print(f"\n{told}\ntrained and scored in {started - begun:.0f} s, compared in {time.monotonic() - started:.0f} s; written to {out}")


def main() -> None:
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        sys.exit(__doc__)
    telling(lambda: grid(sys.argv[1:]))


if __name__ == "__main__":
    main()
