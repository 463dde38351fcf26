"""Evaluate a finished run's models again, on the data they were trained from or on other data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from mmdx.configuration import check_data, check_targets, check_values, resolved, select
from mmdx.data.masking import read_masks
from mmdx.errors import InputError
from mmdx.files import write_text
from mmdx.kept_config import read_config
from mmdx.run import CONFIG, check_ranks, finish

if TYPE_CHECKING:
    from mmdx.cells import Cell
    from mmdx.study import Study
    from mmdx.training.fit import TrainedModel

PREDICTIONS = "predictions.parquet"
STEERING = ("name", "batch_size", "num_workers", "on_error", "cache", "cache_gb", "extra_metrics", "roles", "target_words")
"""Keys under ``data`` that do not change which data it is."""


def evaluate(cfg: DictConfig) -> None:
    """Predict with every model of ``cfg.run``, into Hydra's run folder, and score.

    On the run's own data, in any order and whatever its table says of splits by now, each model predicts the validation and test rows that it had.
    On other data every usable row is a test row, but for those that the run was trained or chosen on; where a run has several folds, their
    models' probabilities are averaged, and the threshold comes from the source's validation rows, each predicted by the models that had not seen it.

    Raises:
        InputError: where the run cannot be read, or the data has not its modalities.
    """
    check_ranks(1)
    if OmegaConf.is_missing(cfg, "run"):
        raise InputError("run: not given; name the folder of a finished run, as in run=runs/xray_text/2026-01-31_12-00-00.")
    source = run_in(str(cfg.run), f"run={cfg.run}")
    trained = read_config(source / CONFIG)
    node = OmegaConf.to_container(cfg.data, resolve=False)
    given = {k: v for k, v in node.items() if v is not None} if isinstance(node, dict) else {}
    other = bool(set(given) - set(STEERING))
    masks = own_masks(trained, given)
    with open_dict(trained):
        trained.data = given if "_target_" in given else OmegaConf.merge(trained.data, given)
        trained.data.masks = masks
        trained.cache = OmegaConf.merge(trained.get("cache") or {}, {k: v for k, v in cfg.cache.items() if v is not None})
        trained.evaluation = cfg.evaluation
    trained = checked(trained)
    from mmdx.parts import study_from
    from mmdx.provenance import write_provenance

    folder = Path(HydraConfig.get().runtime.output_dir)
    if (folder / PREDICTIONS).exists():
        raise InputError(f"hydra.run.dir={folder}: already holds a finished run or evaluation; choose another folder.")
    study = study_from(trained, folder)
    study.prepare()
    same = study.cohort.fingerprint == fingerprint_of(source)
    if not same and not other:
        raise InputError(f"run={cfg.run}: its data has changed since it was trained, so its folds can't be drawn again; name the data to test on.")
    other = not same
    frame = study.evaluate(source, everything=other)
    if other:
        frame = average_models(pd.concat([source_validation(source).assign(patient_id=None), frame], ignore_index=True))
    write_text(folder / CONFIG, OmegaConf.to_yaml(trained, resolve=True))
    write_provenance(folder, trained, study.cohort.fingerprint, source)
    study.finish(frame)
    finish(study, trained)


@dataclass(frozen=True)
class FinishedRun:
    """A run that was opened again: its own data, prepared, and its models.

    Attributes:
        folder: the run's.
        study: prepared, on the data that the run was trained on.
        cells: the models of all modalities, in the order of training.
    """

    folder: Path
    study: Study
    cells: list[Cell]

    def models(self) -> Iterator[tuple[Cell, TrainedModel]]:
        """Each of the cells with its model, loaded when it is asked for."""
        for cell in self.cells:
            yield cell, self.study.load(self.folder, cell)


def open_run(given: str, named: str) -> FinishedRun:
    """Open a finished run on its own data.

    Args:
        given: the folder.
        named: how the user named it, as it is called in messages.

    Raises:
        InputError: where no finished run with models is there, or its data has changed.
    """
    source = run_in(given, named)
    trained = checked(read_config(source / CONFIG))
    if not (source / PREDICTIONS).exists():
        raise InputError(f"{named}: the run has not finished (no {PREDICTIONS}); finish it with resume={given}.")
    if not (source / "models.json").exists():
        raise InputError(f"{named}: holds no trained models (no models.json); give the folder of the run that trained them.")
    fingerprint = fingerprint_of(source)
    from mmdx.data.kept_folds import KeptFolds
    from mmdx.parts import study_from

    study = study_from(trained, source)
    study.prepare()
    if study.cohort.fingerprint != fingerprint:
        raise InputError(f"{named}: its data has changed since it was trained; bring the data back as it was, or train again.")
    cells = [cell for cell in study.cells(KeptFolds.read(source).folds(study.dataset.table)) if not cell.retrained]
    return FinishedRun(source, study, cells)


def run_in(given: str, named: str) -> Path:
    """The folder of a run.

    Raises:
        InputError: where there is none.
    """
    source = Path(given).expanduser()
    if not (source / CONFIG).exists():
        raise InputError(f"{named}: no run there (no {CONFIG}); give the folder of a finished run.")
    return source


def checked(cfg: DictConfig) -> DictConfig:
    """A run's config, resolved and found fit to make a study of.

    Raises:
        InputError: for whatever is wrong with it.
    """
    cfg = resolved(cfg)
    check_values(cfg)
    check_targets(cfg)
    check_data(cfg)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return cfg


def own_masks(trained: DictConfig, given: Mapping[Any, Any]) -> dict[str, list[str]]:
    """What a run takes out of texts, which belongs to its models and goes with them to other data.

    Raises:
        InputError: where other masks are given.
    """
    masks = read_masks(select(trained, "data.masks", None))
    if given.get("masks") and read_masks(given["masks"]) != masks:
        raise InputError("data.masks: a run keeps the masks that it was trained with; leave the key out.")
    return masks


def fingerprint_of(source: Path) -> str:
    """The fingerprint of the data that a run was trained on.

    Raises:
        InputError: where the run has none, being unfinished.
    """
    try:
        return str(json.loads((source / "provenance.json").read_text(encoding="utf-8"))["data_fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{source}: no data fingerprint in provenance.json; the run has not finished.") from None


def source_validation(source: Path) -> pd.DataFrame:
    """The validation rows of the source run, which its models' decision thresholds come from.

    Raises:
        InputError: where they aren't there or are damaged.
    """
    path = source / PREDICTIONS
    if not path.exists():
        raise InputError(f"{path}: no such file; the run has not finished.")
    try:
        rows = pd.read_parquet(path)
        return rows[rows["split"] == "val"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{path}: damaged, not predictions that a run writes; bring the run back from a copy, or train it again.") from None


def average_models(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a sample, subset and seed: the mean of the fold models' predictions."""
    if "fold" not in frame:
        return frame
    keys = [c for c in ("seed", "split", "ablation", "modalities", "sample_id") if c in frame]
    predicted = [c for c in map(str, frame) if c.startswith(("prob", "survival_")) or c in ("prediction", "risk")]
    how: dict[Any, str] = {c: "mean" if c in predicted else "first" for c in frame if c not in keys and c != "fold"}
    averaged = frame.groupby(keys, sort=False, as_index=False, dropna=False).agg(how)
    return averaged[[c for c in frame if c != "fold"]]
