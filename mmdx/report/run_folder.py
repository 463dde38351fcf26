"""What a run folder holds, read once for the whole report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.predictions import FILE, checked, read_predictions

METRICS = "metrics.json"
CASES = Path("cases", "cases.json")


@dataclass(frozen=True)
class RunFolder:
    """A scored run.

    Attributes:
        path: the folder.
        metrics: ``metrics.json``.
        predictions: ``predictions.parquet`` in canonical form.
        config: text of ``config.yaml``, "" where there is none.
        provenance, models, cases, comparison, leakage, checks: of the JSON file of that name, None where there is none.
        folds, quarantine: of the table of that name, None where there is none.
    """

    path: Path
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    config: str = ""
    provenance: dict[str, Any] | None = None
    models: list[dict[str, Any]] | None = None
    cases: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    leakage: list[dict[str, Any]] | None = None
    checks: list[dict[str, Any]] | None = None
    folds: pd.DataFrame | None = None
    quarantine: pd.DataFrame | None = None

    @property
    def full(self) -> str:
        """Name of the set of all modalities."""
        return str(self.metrics["full"])

    @property
    def modalities(self) -> list[str]:
        """All modalities."""
        return self.full.split("+")

    @property
    def kind(self) -> str:
        """What was predicted: "binary", "multiclass", ..."""
        return str(self.metrics["kind"])

    @property
    def primary(self) -> str:
        """The metric that stands for the others."""
        return str(self.metrics.get("primary", "auroc"))

    @property
    def unit(self) -> str:
        """What was drawn in resampling."""
        return str(self.metrics.get("unit", "sample"))

    def section(self, name: str) -> dict[str, Any]:
        """A section of ``metrics.json``, {} where it isn't there."""
        found = self.metrics.get(name)
        return found if isinstance(found, dict) else {}

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the classes or labels, one empty name for a binary target, none for a number or a time."""
        return [""] if self.kind == "binary" else [str(name) for name in self.metrics.get("outputs", [])]

    def rows(self, subset: str | None = None, split: str = "test", ablation: str = "offered") -> pd.DataFrame:
        """Predictions of one subset of modalities, the full one where not given."""
        table = self.predictions
        return table[(table["split"] == split) & (table["ablation"] == ablation) & (table["modalities"] == (subset or self.full))]

    def threshold(self, row: Mapping[str, Any], label: str = "") -> float:
        """The decision threshold of a row; 0.5 where none is recorded."""
        return self._thresholds.get((row["modalities"], row["seed"], row["fold"], label), 0.5)

    @cached_property
    def _thresholds(self) -> dict[tuple[str, str, str, str], float]:
        offered = self.section("threshold").get("offered")
        return {
            (subset, str(row.get("seed", "")), str(row.get("fold", "")), str(row.get("label", ""))): float(row["threshold"])
            for subset, rows in (offered.items() if isinstance(offered, dict) else ())
            for row in rows
        }


def read_run(folder: str | Path) -> RunFolder:
    """Read a run folder.

    Raises:
        InputError: where the folder has not been scored, or a file in it cannot be read.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give the folder of a run.")
    if not (path / METRICS).is_file():
        raise InputError(f"{path}: has no {METRICS}; write it with `mmdx score {path}`.")
    metrics = _json(path / METRICS, dict)
    missing = [name for name in ("kind", "full") if not isinstance(metrics.get(name), str)]
    if missing:
        raise InputError(f"{path / METRICS}: lacks {' and '.join(missing)}; write it again with `mmdx score {path}`.")
    config = path / "config.yaml"
    return RunFolder(
        path=path,
        metrics=metrics,
        predictions=checked(read_predictions(path), str(path / FILE)),
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        provenance=_optional(path / "provenance.json", dict),
        models=_optional(path / "models.json", list),
        cases=_optional(path / CASES, dict),
        comparison=_optional(path / "comparison.json", dict),
        leakage=_optional(path / "leakage.json", list),
        checks=_optional(path / "check.json", list),
        folds=_table(path / "folds.parquet", pd.read_parquet),
        quarantine=_table(path / "quarantine.csv", pd.read_csv),
    )


def _optional(file: Path, form: type) -> Any:
    return _json(file, form) if file.is_file() else None


def _json(file: Path, form: type) -> Any:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(f"{file}: cannot be read as JSON ({str(fault).splitlines()[0]}); write it again, or remove it.") from None
    if not isinstance(found, form):
        raise InputError(f"{file}: holds a {type(found).__name__}, not a {form.__name__}; write it again, or remove it.")
    return found


def _table(file: Path, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame | None:
    if not file.is_file():
        return None
    try:
        return read(file)
    except Exception as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{file}: cannot be read as a table ({reason}); write it again, or remove it.") from None
