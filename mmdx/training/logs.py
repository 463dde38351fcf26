"""Training curves on disk, whole however often a run was stopped."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning import loggers
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from mmdx.files import write_atomically


class CSVLogger(loggers.CSVLogger):
    """Lightning's logger of curves as CSV, for runs that go on: rows are written as they come, and kept where the run is resumed, but for those
    of steps that are taken again.

    Args:
        save_dir, name, version, prefix: as of Lightning's.
    """

    def __init__(self, save_dir: str, name: str = "logs", version: int | str | None = "", prefix: str = "") -> None:
        super().__init__(save_dir, name, version, prefix, flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> _Writer:  # type: ignore[override]
        """What writes."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment  # type: ignore[return-value]


class _Writer(ExperimentWriter):
    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.went_on = False

    def _check_log_dir_exists(self) -> None:
        """Rows of a run that is resumed stay; one that begins anew has removed them."""

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        if not self.went_on:
            self._keep_before(step or 0)
            self.went_on = True
        super().log_metrics(metrics_dict, step)

    def _keep_before(self, step: int) -> None:
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        rows = [row for row in rows if None not in row.values() and (row["step"] or "0").isdigit() and int(row["step"] or 0) < step]
        self.metrics_keys = sorted({key for row in rows for key in row if key})

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, self.metrics_keys)
                writer.writeheader()
                writer.writerows(rows)

        if rows:
            write_atomically(path, write)
        else:
            path.unlink()
