"""One run from top to bottom: check, read, train, predict, score, tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from mmdx.configuration import check_config, resolved, select, state_masks
from mmdx.errors import InputError
from mmdx.files import write_text

if TYPE_CHECKING:
    import pandas as pd

    from mmdx.study import Study

CONFIG = "config.yaml"


def run(cfg: DictConfig) -> float | None:
    """Do what a config says in Hydra's run folder; returns the validation score for a sweep, None where it is not defined.

    Raises:
        InputError: for whatever is wrong with the config or the data.
    """
    cfg = resolved(cfg)
    check_config(cfg)
    state_masks(cfg)
    folder, resume = run_folder(cfg)
    if resume and (folder / "metrics.json").exists():
        check_same(cfg, folder / CONFIG)
        print(f"{folder}: this run is finished; nothing to do.")
        return None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # its own keeps tens of MiB of what it once held
    from mmdx.parts import study_from
    from mmdx.provenance import write_provenance
    from mmdx.training.distributed import is_first
    from mmdx.training.fit import check_trainer

    check_trainer(select(cfg, "trainer", {}))
    study = study_from(cfg, folder, resume)
    if resume:
        check_same(cfg, folder / CONFIG)
    if is_first():
        for column, role in getattr(study.dataset, "roles", {}).items():
            print(f"column {column}: {role}")
        write_text(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
    validation = study.run().loc[lambda predictions: predictions["split"] == "val"]
    if not is_first():
        return None
    write_provenance(folder, cfg, study.cohort.fingerprint, earlier=study.earlier())
    if not study.training.uses_labels:
        finish(study, cfg, brief=True)
        print(f"encoders trained by alignment alone, no labels: a next run takes one by +encoders.NAME.pretrained={folder}")
        return None
    finish(study, cfg)
    return validation_score(validation, study.kind)


def run_folder(cfg: DictConfig) -> tuple[Path, bool]:
    """Where this run writes, and whether it goes on with what is there.

    Raises:
        InputError: where the folder to resume isn't there, or the run folder is taken by another run.
    """
    given = cfg.get("resume")
    if given and given != "auto":
        folder = Path(str(given)).expanduser()
        if not (folder / CONFIG).exists():
            raise InputError(f"resume={given}: no run there (no {CONFIG}); give the folder of a run, or resume=auto.")
        return folder, True
    folder = Path(HydraConfig.get().runtime.output_dir)
    if not given and "LOCAL_RANK" not in os.environ and (folder / "predictions.parquet").exists():
        raise InputError(f"hydra.run.dir={folder}: already holds a finished run; choose another folder, or set resume=auto to keep it.")
    return folder, bool(given)


def check_same(cfg: DictConfig, path: Path) -> None:
    """Refuse to go on with a run under another config; what only steers loading, devices or reporting may differ.

    Raises:
        InputError: naming the first key that differs.
    """
    if not path.exists():
        return
    before, now = (_flat(OmegaConf.to_container(c, resolve=True), "") for c in (OmegaConf.load(path), cfg))
    free = ("resume", "evaluation.", "trainer.devices", "trainer.accelerator", "data.num_workers", "data.cache", "cache.", "logger.")
    for key in sorted(before.keys() | now.keys()):
        if not key.startswith(free) and before.get(key) != now.get(key):
            raise InputError(f"resume: {key} is {now.get(key)}, but {path.parent} was begun with {before.get(key)}; start a new run, or set it back.")


def _flat(node: Any, key: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {key: node}
    return {k: v for name, part in node.items() for k, v in _flat(part, f"{key}.{name}" if key else str(name)).items()}


def finish(study: Study, cfg: DictConfig, brief: bool = False) -> None:
    """Score the folder's predictions and print the table; in brief their discrimination alone, without the table."""
    from mmdx.evaluation.score import score_folder
    from mmdx.evaluation.table import print_results

    metrics = score_folder(
        study.folder,
        kind=study.kind,
        extra_metrics=tuple(cfg.data.get("extra_metrics") or ()),
        resamples=cfg.evaluation.resamples,
        unit_name=getattr(study.dataset, "unit", None),
        optimum=study.optimum(),
        brief=brief,
    )
    if not brief:
        print_results(metrics)
        print(f"run folder: {study.folder}")


def validation_score(validation: pd.DataFrame, kind: str) -> float | None:
    """The primary metric over the validation rows of the full set of modalities, mean over seeds; None where it is not defined."""
    from mmdx.evaluation.score import primary_value

    size = validation["modalities"].str.count(r"\+")
    return primary_value(validation[(size == size.max()) & (validation["ablation"] == "offered")], kind)
