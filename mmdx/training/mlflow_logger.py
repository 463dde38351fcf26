"""MLflow as a tracker that keeps its store in the run folder, so that a run stays one folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger

from mmdx.errors import InputError
from mmdx.files import write_text

STORE = "mlflow.db"
KEPT = "mlflow_run.txt"
"""Holds MLflow's id of a model's entry, so that a run that is gone on with goes on with that."""


class MLflow(MLFlowLogger):
    """Lightning's MLflow logger, one entry a model and one for the whole run.

    Args:
        save_dir: folder of a model or of the run.
        experiment_name: what the entries are filed under.
        tracking_uri: where they are kept; None takes ``mlflow.db``, a SQLite file in the run folder.

    Raises:
        InputError: where MLflow isn't installed, or the store can't be opened.
    """

    def __init__(self, save_dir: str, experiment_name: str = "mmdx", tracking_uri: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        folder = Path(save_dir).absolute()
        run = folder.parent.parent if folder.parent.name == "models" else folder
        run.mkdir(parents=True, exist_ok=True)
        store = tracking_uri or f"sqlite:///{run / STORE}"
        name = run.name if folder == run else f"{run.name}/{folder.name}"
        # Without these MLflow notes down the user's name and the path of the script.
        tags = {"mlflow.user": "", "mlflow.source.name": "mmdx", "mlflow.source.git.repoURL": ""}
        tags |= {"mmdx.run": run.name, "mmdx.entry": "run" if folder == run else "model"}
        where = None if tracking_uri else (run / "mlartifacts").as_uri()
        try:
            super().__init__(experiment_name, name, store, tags, artifact_location=where)
            self._kept = folder / KEPT
            self._run_id = self._known(self._kept)
        except ModuleNotFoundError as fault:
            raise InputError(f"logger.mlflow: {fault.name or 'mlflow'} is not installed; pip install 'mmdx[track]', or use logger=csv.") from None
        except Exception as fault:
            raise InputError(f"logger.mlflow.tracking_uri={store}: cannot be opened ({str(fault).splitlines()[0]}).") from fault

    @property
    def experiment(self) -> Any:
        """MLflow's client; a new entry is noted down in the folder."""
        begun = self._initialized
        client = super().experiment
        if not begun and self._initialized and self._run_id:
            write_text(self._kept, f"{self._run_id}\n")
        return client

    def _known(self, path: Path) -> str | None:
        """The entry that the folder was given before, where the store still has it."""
        if not path.exists():
            return None
        try:
            return str(self._mlflow_client.get_run(path.read_text(encoding="utf-8").strip()).info.run_id)
        except Exception:
            return None
