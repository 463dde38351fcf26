"""A sweep over ``seed`` ends in one result: the runs that differ in nothing else are scored together, as ``seeds: [0, 1, ...]`` is in one run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

if TYPE_CHECKING:
    from omegaconf import DictConfig

SEED = re.compile(r"\+*seed=")


class SeedsTogether(Callback):
    """Hydra's callback for the end of a sweep, whatever the sweeper and the launcher; it does nothing where ``seed`` is not varied."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Score the runs of several seeds together."""
        params = config.hydra.sweeper.get("params") or {}
        if "seed" not in params and not any(SEED.match(word) for word in config.hydra.overrides.task):
            return
        from mmdx.errors import InputError

        try:
            join_seeds(Path(str(config.hydra.sweep.dir)))
        except InputError as fault:
            print(f"seeds together: {fault}")


def join_seeds(sweep: Path) -> list[Path]:
    """Score finished runs below a sweep's folder together that differ in ``seed`` alone; returns the folders of their results.

    A result is ``SWEEP/seeds`` with ``config.yaml``, ``predictions.parquet`` (a column ``seed``) and ``metrics.json``, as of one run with ``seeds``;
    where the sweep varies more than the seed there is one for each setting, ``SWEEP/seeds-RUN``, called after the first run of it.

    Raises:
        InputError: where the runs of a setting were made on different data.
    """
    import pandas as pd
    from omegaconf import OmegaConf

    from mmdx.evaluation.score import earlier_settings, score_folder
    from mmdx.evaluation.table import print_results
    from mmdx.files import write_atomically, write_text

    groups, made = runs_by_setting(sweep), []
    for runs in groups:
        folder = sweep / ("seeds" if len(groups) == 1 else f"seeds-{runs[0].name}")
        configs = [OmegaConf.load(run / "config.yaml") for run in runs]
        frame = pd.concat([pd.read_parquet(run / "predictions.parquet").assign(seed=cfg.seed) for run, cfg in zip(runs, configs, strict=True)])
        check_same_data(runs)
        joined = OmegaConf.merge(configs[0], {"seeds": [cfg.seed for cfg in configs]})
        write_text(folder / "config.yaml", OmegaConf.to_yaml(joined))
        write_atomically(folder / "predictions.parquet", lambda path, frame=frame: frame.to_parquet(path, index=False))  # type: ignore[misc]
        print(f"seeds {', '.join(str(cfg.seed) for cfg in configs)} together ({', '.join(run.name for run in runs)}): {folder}")
        print_results(score_folder(folder, **earlier_settings(runs[0])))
        made.append(folder)
    return made


def runs_by_setting(sweep: Path) -> list[list[Path]]:
    """Finished runs that differ in ``seed`` alone, in the order of their seeds, where there are two or more of a setting."""
    from omegaconf import DictConfig, OmegaConf

    found: dict[str, dict[int, Path]] = {}
    for path in sorted(sweep.glob("*/config.yaml"), key=lambda path: (len(path.parent.name), path.parent.name)):
        cfg = OmegaConf.load(path)
        if isinstance(cfg, DictConfig) and (path.parent / "metrics.json").exists() and cfg.get("seed") is not None and not cfg.get("seeds"):
            setting = OmegaConf.to_yaml(OmegaConf.merge(cfg, {"seed": None, "resume": None}), sort_keys=True)
            found.setdefault(setting, {}).setdefault(int(cfg.seed), path.parent)
    return [[own[seed] for seed in sorted(own)] for own in found.values() if len(own) > 1]


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
