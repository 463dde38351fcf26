"""A run folder that cannot be made or written is told of in one sentence, before Hydra tries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException


class WritableFolder(Callback):
    """Ends the command where its run folder, or that of its sweep, cannot be written; begins nothing else."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at ``hydra.run.dir``."""
        _look("hydra.run.dir", config.hydra.run)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look at ``hydra.sweep.dir``."""
        _look("hydra.sweep.dir", config.hydra.sweep)


def _look(key: str, node: DictConfig) -> None:
    try:
        given = str(node.dir)
    except OmegaConfBaseException as fault:
        print(f"error: {key}: {str(fault).splitlines()[0]}.", file=sys.stderr)
        sys.exit(1)
    folder = Path(given).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    why = "cannot be written" if there.is_dir() else "is no folder"
    print(f"error: {key}={given}: {there} {why}; name a folder that can be written.", file=sys.stderr)
    sys.exit(1)
