"""Launchers of a sweep's jobs that come from packages of their own."""

from __future__ import annotations

import sys
from importlib.util import find_spec

PLUGINS = {
    "hydra_plugins.hydra_joblib_launcher": ("launchers", ("joblib", "processes")),
    "hydra_plugins.hydra_submitit_launcher": ("launchers", ("submitit_local", "submitit_slurm", "slurm")),
    "hydra_plugins.hydra_ray_launcher": ("ray", ("ray", "ray_aws", "ray_local", "ray_cluster")),
}
"""The extra that brings a plug-in of Hydra's, and the names of its configs, its own and those of ``conf/hydra/launcher``."""


def check_launcher() -> None:
    """Where the arguments name a launcher whose package isn't installed, say so and end."""
    chosen = [word.partition("=")[2] for word in sys.argv[1:] if word.startswith("hydra/launcher=")]
    for module, (extra, names) in PLUGINS.items():
        if chosen and chosen[-1] in names and find_spec(module) is None:
            print(f"error: hydra/launcher={chosen[-1]} is in a package of its own: pip install 'mmdx[{extra}]'", file=sys.stderr)
            sys.exit(1)
