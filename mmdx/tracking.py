"""Trackers of experiments: the same metric names in each, and what a run ends with given to all of them."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmdx.configuration import select
from mmdx.errors import InputError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "MLflow": (("mlflow", "sqlalchemy", "alembic"), "pip install 'mmdx[track]'"),
    "MLFlowLogger": (("mlflow",), "pip install 'mmdx[track]'"),
    "TensorBoardLogger": (("tensorboard",), "pip install tensorboard"),
}
"""Of a logger's class the packages that it needs, and what installs them."""
SCORES = ("test", "retrained")


def check_trackers(cfg: DictConfig) -> None:
    """See that the package of each tracker is installed, before any data is read and without importing it.

    Raises:
        InputError: naming the tracker, the package and what installs it.
    """
    for name, node in (select(cfg, "logger", None) or {}).items():
        packages, remedy = NEEDS.get(str((node or {}).get("_target_", "")).rpartition(".")[2], ((), ""))
        for package in packages:
            if importlib.util.find_spec(package) is None:
                raise InputError(f"logger.{name}: needs the package {package}, which is not installed; {remedy}, or use logger=csv.")


def log_final(loggers: Sequence[Logger], config: Any, metrics: Mapping[str, Any]) -> None:
    """Give a run's config and its test metrics to its trackers, once, as the run's own entry beside those of its models; one that fails is told of.

    Args:
        loggers: of the run's folder.
        config: the run's, as plain dicts and lists.
        metrics: as they stand in ``metrics.json``.
    """
    for logger in loggers:
        try:
            logger.log_hyperparams({plain(key): value for key, value in flat(config)})
            logger.log_metrics(final_metrics(metrics), step=0)
            logger.save()
            logger.finalize("success")
        except Exception as fault:  # the run itself is done, and its folder has all of it
            reason = str(fault).splitlines() or [type(fault).__name__]
            print(f"{type(logger).__name__}: could not be given the test metrics ({reason[0]}); they are in metrics.json.", file=sys.stderr)


def final_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every test metric of ``metrics.json`` by the name that it has in every tracker: ``test/image-text/auroc``, and its interval as ``..._low`` and
    ``..._high``. What a name may not hold everywhere, such as ``+``, becomes ``-``.
    """
    found: dict[str, float] = {}
    for section in SCORES:
        for subset, values in (metrics.get(section) or {}).items():
            for name, entry in _entries(values, ""):
                key = plain(f"{section}/{subset}/{name}")
                kept = {key: entry["value"], f"{key}_low": entry.get("low"), f"{key}_high": entry.get("high")}
                found |= {k: float(v) for k, v in kept.items() if v is not None}
    return found


def _entries(node: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The scored entries below a node, those of one class or label under its name."""
    if not isinstance(node, Mapping):
        return
    if "value" in node:
        yield name, node
        return
    for key, part in node.items():
        yield from _entries(part, f"{name}/{key}" if name else str(key))


def plain(name: str) -> str:
    """A name in letters that TensorBoard, CSV and MLflow all take."""
    return re.sub(r"[^A-Za-z0-9_/.-]+", "-", name)


def flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a config by their full key; a list is a leaf."""
    if isinstance(node, Mapping) and node:
        for name, part in node.items():
            yield from flat(part, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, str(node) if isinstance(node, list | Mapping) else node
