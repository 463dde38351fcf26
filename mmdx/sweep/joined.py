"""A sweep over ``seed``, ``split.fold`` or both ends in one result: runs that differ in nothing else are scored as one run of all of them is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

VARIED = re.compile(r"\+*(seed|split\.fold)=")


class RunsJoined(Callback):
    """Hydra's callback for the end of a sweep, whatever the sweeper and the launcher; it does nothing where neither seed nor fold is varied."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Score the runs of several seeds and folds together."""
        params = config.hydra.sweeper.get("params") or {}
        if not {"seed", "split.fold"} & set(params) and not any(VARIED.match(word) for word in config.hydra.overrides.task):
            return
        from mmdx.errors import InputError

        try:
            made = join_runs(Path(str(config.hydra.sweep.dir)))
        except (InputError, OSError) as fault:
            print(f"joined: {fault}")
            return
        if not made:
            print("joined: no two finished runs differ in seed or fold alone, so there is nothing to join.")
        elif len(made) > 1 and "optuna" in str(config.hydra.sweeper._target_):
            print("best.yaml is of the best single run, the luck of its seed or fold included; settings are compared by the joined results.")


@dataclass(frozen=True)
class Part:
    """A finished run of one seed, or of one fold, or of one of both."""

    folder: Path
    cfg: DictConfig

    @property
    def seed(self) -> int | None:
        """None where the run has several."""
        return None if self.cfg.get("seeds") else int(self.cfg.seed)

    @property
    def fold(self) -> int | None:
        """None where the run has several, or its split has one."""
        number = (self.cfg.get("split") or {}).get("fold")
        return number if isinstance(number, int) else None

    def predictions(self, seeds: bool, folds: bool) -> pd.DataFrame:
        """With columns ``seed`` and ``fold`` where there are several."""
        import pandas as pd

        from mmdx.data.kept_folds import KeptFolds

        frame = pd.read_parquet(self.folder / "predictions.parquet")
        frame = frame.assign(seed=self.seed) if seeds else frame
        return frame.assign(fold=KeptFolds.read(self.folder).frame["fold"].iloc[0]) if folds else frame


def join_runs(sweep: Path) -> list[Path]:
    """Score finished runs below a sweep's folder together that differ in ``seed`` and ``split.fold`` alone; returns the folders of their results.

    A result is ``SWEEP/joined`` with ``config.yaml``, ``predictions.parquet`` (columns ``seed``, ``fold``) and ``metrics.json``, as of one run
    with ``seeds`` and all these folds; where the sweep varies more there is one for each setting, ``SWEEP/joined-RUN``, called after its first run.
    A seed that has not all folds that others have is left out, and so are runs that have not finished, with a word. Joined results of an earlier
    time that are none any more are removed.

    Raises:
        InputError: where the runs of a setting were made on different data.
    """
    import shutil

    import pandas as pd
    from omegaconf import OmegaConf

    from mmdx.evaluation.score import earlier_settings, score_folder
    from mmdx.evaluation.table import print_results
    from mmdx.files import write_atomically, write_text

    if unfinished := [path.name for path in numbered(sweep) if not (path / "metrics.json").exists()]:
        print(f"joined: without {', '.join(unfinished)}, which did not finish.")
    groups, made = runs_by_setting(sweep), []
    for parts in groups:
        folder, runs = sweep / ("joined" if len(groups) == 1 else f"joined-{parts[0].folder.name}"), [part.folder for part in parts]
        seeds, folds = _different(part.seed for part in parts), _different(part.fold for part in parts)
        frame = pd.concat([part.predictions(len(seeds) > 1, len(folds) > 1) for part in parts], ignore_index=True)
        check_same_data(runs)
        settings = earlier_settings(runs[0])
        joined = parts[0].cfg.copy()
        if len(seeds) > 1:
            joined.seeds = seeds
        if len(folds) > 1:
            joined.split.fold = folds
            settings.pop("optimum", None)  # of the first fold's patients
        write_text(folder / "config.yaml", OmegaConf.to_yaml(joined))
        write_atomically(folder / "predictions.parquet", lambda path, frame=frame: frame.to_parquet(path, index=False))  # type: ignore[misc]
        told = [f"{name}s {', '.join(map(str, own))}" for name, own in (("seed", seeds), ("fold", folds)) if len(own) > 1]
        print(f"{', '.join(told)} together ({', '.join(run.name for run in runs)}): {folder}")
        print_results(score_folder(folder, **settings))
        made.append(folder)
    for path in [*sweep.glob("joined"), *sweep.glob("joined-*")]:
        if path not in made and (path / "config.yaml").exists():
            shutil.rmtree(path)
    return made


def numbered(sweep: Path) -> list[Path]:
    """Folders of a sweep's runs, in the order of their numbers."""
    return sorted((path for path in sweep.iterdir() if path.name.isdigit() and path.is_dir()), key=lambda path: int(path.name))


def _different(values: Iterable[int | None]) -> list[int]:
    return list(dict.fromkeys(value for value in values if value is not None))


def runs_by_setting(sweep: Path) -> list[list[Part]]:
    """Finished runs that differ in ``seed`` and ``split.fold`` alone, in the order of seeds and folds, where there are two or more of a setting."""
    from omegaconf import DictConfig, OmegaConf

    from mmdx.errors import InputError
    from mmdx.kept_config import read_config

    found: dict[str, dict[tuple[int, int], Part]] = {}
    for folder in numbered(sweep):
        if not (folder / "metrics.json").exists():
            continue
        try:
            cfg = read_config(folder / "config.yaml")
        except InputError as fault:
            print(f"joined: without {folder.name}: {fault}")
            continue
        if cfg.get("seed") is None:
            continue
        part, plain = Part(folder, cfg), OmegaConf.merge(cfg, {"resume": None})
        assert isinstance(plain, DictConfig)
        if part.seed is not None:
            plain.seed = None
        if part.fold is not None:
            plain.split.fold = None
        seed, fold = (-1 if value is None else value for value in (part.seed, part.fold))
        found.setdefault(OmegaConf.to_yaml(plain, sort_keys=True), {}).setdefault((seed, fold), part)
    whole = [_whole(own) for own in found.values()]
    return [[own[key] for key in sorted(own)] for own in whole if len(own) > 1]


def _whole(parts: dict[tuple[int, int], Part]) -> dict[tuple[int, int], Part]:
    """Without seeds that lack a fold."""
    folds = {fold for _, fold in parts}
    seeds = {seed for seed, _ in parts}
    lacking = {seed for seed in seeds if any((seed, fold) not in parts for fold in folds)}
    if lacking:
        print(f"seed {', '.join(map(str, sorted(lacking)))}: left out of the joined result, a fold that others have is missing.")
    return {key: part for key, part in parts.items() if key[0] not in lacking}


def check_same_data(runs: list[Path]) -> None:
    """Refuse to join runs on different data.

    Raises:
        InputError: naming two of them.
    """
    from mmdx.errors import InputError

    first, *others = [(run / "data.json").read_text(encoding="utf-8") for run in runs]
    for run, other in zip(runs[1:], others, strict=True):
        if other != first:
            raise InputError(f"{run}: was made on other data than {runs[0]}, so they can't be scored together; run the sweep again in a new folder.")
