"""Sweeps in this process, which is quicker than starting commands."""

import os
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from toy_app import value

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / "toy_conf"


def job(cfg):
    return {"val/score": value(cfg.x, cfg.y, cfg.kind), "size": float(cfg.y)}


@contextmanager
def inside(folder):
    before = Path.cwd()
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def sweep_here(folder, *overrides, task=job, name="toy", conf=TOY):
    """Sweep in a folder as ``-m hydra/sweeper=optuna`` does; returns what the sweep returns."""
    search = create_config_search_path(str(conf))
    search.prepend("whole-conf", str(ROOT / "conf"), anchor="schema")
    GlobalHydra.instance().clear()
    with inside(folder):
        try:
            hydra = Hydra.create_main_hydra2("toy", search)
            words = ["hydra/sweeper=optuna", *overrides]
            return hydra.multirun(config_name=name, task_function=task, overrides=words, with_log_configuration=False)
        finally:
            GlobalHydra.instance().clear()
