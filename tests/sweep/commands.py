"""Starting sweeps of the toy application as a user does."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
SPACE = ("x=interval(0,1)", "y=range(0,5)", "kind=a,b")


def toy_command(*overrides, space=SPACE):
    app = str(Path(__file__).with_name("toy_app.py"))
    return [sys.executable, app, "-m", "--config-dir", str(ROOT / "conf"), "hydra/sweeper=optuna", *space, *overrides]


def toy(folder, *overrides, space=SPACE, timeout=300):
    """Exit code, what it said, its errors."""
    done = subprocess.run(toy_command(*overrides, space=space), cwd=folder, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def table(sweep):
    return pd.read_csv(Path(sweep) / "sweep.csv")


def only_sweep(folder):
    (found,) = (Path(folder) / "sweeps").iterdir()
    return found


def ended(sweep):
    """Numbers of the trials whose run folder says how they ended."""
    return {int(path.parent.name) for path in Path(sweep).glob("*/outcome.json") if json.loads(path.read_text())}
