"""What a run folder holds, read and checked once for the whole report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mmdx.errors import InputError
from mmdx.evaluation.fingerprint import fingerprint
from mmdx.evaluation.kinds import KINDS
from mmdx.evaluation.predictions import checked, kind_of, outputs_of, predictions_file, read_predictions
from mmdx.evaluation.score import WITH_SECTIONS
from mmdx.report.shapes import fault_of

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

    @cached_property
    def name(self) -> str:
        """The folder's own name, for commands: a page is given to others, whom the folders above it don't concern."""
        return self.path.resolve().name

    @property
    def trained(self) -> bool:
        """Whether a run of mmdx made the folder: predictions may be any program's."""
        return any((self.config, self.provenance, self.models, self.folds is not None))

    @property
    def sectioned(self) -> bool:
        """Whether there are sections of calibration, groups and so on for this kind: those of probabilities of classes without an order."""
        return self.kind in WITH_SECTIONS

    @property
    def stress(self) -> str:
        """The command that measures the model under stress; "" where there is no model."""
        return f"mmdx stress {self.name}" if self.trained else ""

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
        return str(self.metrics.get("primary") or KINDS[self.kind].primary)

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

    Args:
        folder: the folder, or the file of predictions in it that was scored.

    Raises:
        InputError: where the folder has not been scored, or a file in it cannot be read or is not of the shape it should be.
    """
    given = Path(folder).expanduser()
    if not given.exists():
        raise InputError(f"{given}: no such folder; give the folder of a run.")
    path = given if given.is_dir() else given.parent
    if not (path / METRICS).is_file():
        raise InputError(f"{path}: has no {METRICS}; write it with `mmdx score {given}`.")
    metrics = _json(path / METRICS, f"write it again with `mmdx score {given}`")
    config = path / "config.yaml"
    return RunFolder(
        path=path,
        metrics=metrics,
        predictions=_predictions(given, path / METRICS, metrics),
        config=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        provenance=_optional(path / "provenance.json"),
        models=_optional(path / "models.json"),
        cases=None if "cases" in metrics.get("stale", []) else _optional(path / CASES),
        comparison=_optional(path / "comparison.json"),
        leakage=_optional(path / "leakage.json"),
        checks=_optional(path / "check.json"),
        folds=_table(path / "folds.parquet", pd.read_parquet, ("fold", "part", "sample_id", "patient_id")),
        quarantine=_table(path / "quarantine.csv", pd.read_csv, ("sample_id",)),
    )


def _predictions(given: Path, file: Path, metrics: dict[str, Any]) -> pd.DataFrame:
    """The predictions that the metrics are of, in canonical form.

    Raises:
        InputError: where they are not those.
    """
    source = predictions_file(given)
    again = f"write it again with `mmdx score {given}`."
    recorded = metrics.get("predictions")
    if recorded and fingerprint(source) != recorded["sha256"]:
        raise InputError(f"{file}: is of other predictions than those in {source}; {again}")
    frame, kind = read_predictions(source), metrics["kind"]
    found = kind_of(frame, str(source))
    if found != ("multiclass" if kind == "ordinal" else kind):
        raise InputError(f"{file}: is of kind {kind}, but {source} has the columns of kind {found}; {again}")
    outputs = [] if kind == "binary" else outputs_of(frame, kind)
    if outputs != list(metrics.get("outputs", [])):
        raise InputError(f"{file}: has the outputs {metrics.get('outputs', [])}, but {source} has {outputs}; {again}")
    table = checked(frame, str(source), kind)
    tested = set(table.loc[(table["split"] == "test") & (table["ablation"] == "offered"), "modalities"])
    if other := sorted(set(metrics["test"]) ^ tested):
        raise InputError(f"{file}: is of other predictions than those in {source}, as only one of them has test rows of {other[0]!r}; {again}")
    return table


def _optional(file: Path) -> Any:
    return _json(file, "write it again, or remove it") if file.is_file() else None


def _json(file: Path, mend: str) -> Any:
    """A JSON file of the shape that its name has in ``shapes``."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as fault:
        raise InputError(f"{file}: cannot be read as JSON ({str(fault).splitlines()[0]}); {mend}.") from None
    if wrong := fault_of(file.name, found):
        raise InputError(f"{file}: {wrong}; {mend}.")
    return found


def _table(file: Path, read: Callable[[Path], pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame | None:
    if not file.is_file():
        return None
    try:
        found = read(file)
    except Exception as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{file}: cannot be read as a table ({reason}); write it again, or remove it.") from None
    if lacking := [name for name in columns if name not in found]:
        raise InputError(f"{file}: lacks the column {lacking[0]}; write it again, or remove it.")
    return found
