"""One run from top to bottom: check, read, train, predict, score, tell."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmdx.configuration import check_config, resolved, select, state_masks
from mmdx.errors import InputError
from mmdx.files import remove_unfinished, write_text
from mmdx.kept_config import read_config

if TYPE_CHECKING:
    import pandas as pd

    from mmdx.study import Study

CONFIG, METRICS, PREDICTIONS = "config.yaml", "metrics.json", "predictions.parquet"
HASH = "config.sha256"
"""Of a run's config, by which ``resume=auto`` finds the run."""
FREE = ("resume", "evaluation.", "trainer.devices", "trainer.accelerator", "data.num_workers", "data.cache", "cache.", "logger.", "training.save_")
"""Keys, or what they begin with, that may be others when a run goes on: what only steers loading, devices, checkpoints or reporting."""
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
FOLDER = "MMDX_RUN_FOLDER"
"""Environment variable that tells the further processes of a run its folder."""


def run(cfg: DictConfig) -> float | None:
    """Do what a config says in Hydra's run folder; returns the validation score for a sweep, None where it is not defined.

    Raises:
        InputError: for whatever is wrong with the config or the data.
    """
    cfg = resolved(cfg)
    check_config(cfg)
    check_ranks(select(cfg, "trainer.devices", 1), select(cfg, "trainer.num_nodes", 1), select(cfg, "trainer.accelerator", "auto"))
    state_masks(cfg)
    folder, resume = run_folder(cfg)
    with alone_in(folder):
        return _run(cfg, folder, resume)


def _run(cfg: DictConfig, folder: Path, resume: bool) -> float | None:
    if resume and (folder / METRICS).exists():
        check_same(cfg, folder / CONFIG)
        read_results(folder)
        kept = select(read_config(folder / CONFIG), "evaluation.resamples", None)
        other = "" if kept == cfg.evaluation.resamples else f" It was scored with {kept} resamples; mmdx score {folder} scores it anew."
        print(f"{folder}: this run is finished; nothing to do.{other}")
        return None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # its own keeps tens of MiB of what it once held
    from mmdx.parts import study_from
    from mmdx.provenance import chosen_parts
    from mmdx.tracking import check_trackers
    from mmdx.training.distributed import is_first
    from mmdx.training.fit import check_trainer

    check_trainer(select(cfg, "trainer", {}))
    check_trackers(cfg)
    study = study_from(cfg, folder, resume)
    for group in ("missing", "alignment", "distillation", "balance"):
        if len(cfg.encoders) == 1 and select(cfg, group, None) and is_first():
            print(f"{group}: does nothing here, as {next(iter(cfg.encoders))} is the only modality.")
    if len(cfg.encoders) > 1 and select(cfg, "missing", None) and not select(cfg, "training.modality_dropout", 0) and is_first():
        print("missing: is trained by patients who lack a modality alone, as training.modality_dropout=0 takes none away.")
    if resume:
        check_same(cfg, folder / CONFIG)
    return do(study, cfg, chosen_parts())


def read_results(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions and metrics of a finished run.

    Raises:
        InputError: naming what of it is damaged.
    """
    import pandas as pd

    found: list[Any] = []
    faults = {}
    for name, read in ((PREDICTIONS, pd.read_parquet), (METRICS, lambda path: dict(json.loads(path.read_text(encoding="utf-8"))))):
        try:
            found.append(read(folder / name))
        except Exception as fault:
            faults[name] = "is missing" if isinstance(fault, FileNotFoundError) else f"is damaged ({(str(fault).splitlines() or [''])[0]})"
    if faults:
        told = " and ".join(f"{name} {fault}" for name, fault in faults.items())
        there = " and ".join(name for name in (PREDICTIONS, METRICS) if (name in faults or name == METRICS) and (folder / name).exists())
        raise InputError(f"{folder}: {told}; remove {there}, and resume={folder} makes both again from the trained models.")
    return found[0], found[1]


def do(study: Study, cfg: DictConfig, choices: Mapping[str, str], once_read: Callable[[], None] | None = None) -> float | None:
    """Do a study in its folder, keep the record of it, score it and tell the trackers; returns as ``run``.

    Args:
        study: as the config describes it.
        cfg: checked and resolved.
        choices: the chosen part of each group of the config.
        once_read: called when the data is read and nothing is trained yet.

    Raises:
        InputError: for whatever is wrong with the data.
    """
    from mmdx.provenance import recorded
    from mmdx.sweep.measures import write_objectives
    from mmdx.training.distributed import is_first

    folder = study.folder
    if is_first():
        for column, role in getattr(study.dataset, "roles", {}).items():
            print(f"column {column}: {role}")
        write_text(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
        write_text(folder / HASH, config_hash(cfg) + "\n")
    with recorded(folder, cfg, choices) as record:
        if once_read:
            study.earlier_runs()
            study.prepare()
            once_read()
        validation = study.run().loc[lambda predictions: predictions["split"] == "val"]
        if record is None:
            return None
        record.complete(study.cohort.fingerprint, study.earlier())
        if study.training.uses_labels:
            write_objectives(study, validation)
        metrics = finish(study, cfg, brief=not study.training.uses_labels)
        track(study, cfg, metrics)
    if not study.training.uses_labels:
        print(f"encoders trained by alignment alone, no labels: a next run takes one by +encoders.NAME.pretrained={folder}")
        return None
    return validation_score(validation, study.kind)


def track(study: Study, cfg: DictConfig, metrics: dict[str, Any]) -> None:
    """Give config and test metrics to the run's trackers."""
    from mmdx.tracking import log_final

    log_final(study.training.loggers(study.folder), OmegaConf.to_container(cfg, resolve=True), metrics)


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
    hydra = HydraConfig.get()
    folder = Path(os.environ[FOLDER] if _is_further() and FOLDER in os.environ else hydra.runtime.output_dir)
    if not given and not _is_further():
        if (folder / PREDICTIONS).exists():
            raise InputError(f"hydra.run.dir={folder}: already holds a finished run; choose another folder, or set resume=auto to keep it.")
        if any(folder.glob("models/*/checkpoints/*.ckpt")):
            raise InputError(f"hydra.run.dir={folder}: holds a run that was stopped; set resume=auto to go on with it, or choose another folder.")
    if given and not _is_further() and not (folder / CONFIG).exists():
        several = hydra.mode == RunMode.MULTIRUN
        named = any(word.partition("=")[0] in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir") for word in hydra.overrides.hydra)
        found = None if named else begun_before(cfg, Path(hydra.sweep.dir if several else folder).absolute().parent, folder)
        if found:
            print(f"resume=auto: goes on with {found}")
            _remove_empty(folder)
            folder = found
    os.environ[FOLDER] = str(folder.absolute())
    return folder, bool(given)


def _is_further() -> bool:
    """Whether this process was begun to share a run with a first one."""
    return any(os.environ.get(name, "0") != "0" for name in RANKS)


def check_ranks(devices: Any, nodes: Any = 1, accelerator: Any = "auto") -> None:
    """Refuse to be a further process of a run that has one: it would write where the first does, and look at nothing first.

    Raises:
        InputError: naming the variable that says so.
    """
    if nodes != 1 or not _is_further():
        return
    if devices in ("auto", -1, "-1"):
        import torch

        devices = torch.accelerator.device_count() if accelerator != "cpu" and torch.accelerator.is_available() else 1
    if str(devices) == "1":
        name = next(name for name in RANKS if os.environ.get(name, "0") != "0")
        raise InputError(
            f"{name}={os.environ[name]} in the environment: says that this is a further process of a run, but on one device and "
            f"one node it has one; unset {name}, start one task, or say trainer.devices and trainer.num_nodes."
        )


def begun_before(cfg: DictConfig, root: Path, apart: Path) -> Path | None:
    """The latest run of the same config below a folder of runs and sweeps, but for one folder; None where there is none."""
    wanted = config_hash(cfg)
    there = [path for pattern in (f"*/{HASH}", f"*/*/{HASH}") for path in root.glob(pattern) if path.parent.absolute() != apart.absolute()]
    same = [path for path in there if path.read_text(encoding="utf-8").strip() == wanted]
    return max(same, key=lambda path: path.stat().st_mtime).parent if same else None


def _remove_empty(folder: Path) -> None:
    """Remove a folder that Hydra has just made, where nothing but its own files is in it."""
    if all(path.name == ".hydra" or (path.suffix == ".log" and not path.stat().st_size) for path in folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a run folder, and clear it of what a killed one left half written; the further processes of a run come in by the first.

    Raises:
        InputError: where another run is at work there.
    """
    if _is_further():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another run is at work there; wait for it, or give this one a folder of its own by hydra.run.dir=.") from None
    try:
        remove_unfinished(folder)
        yield
    finally:
        lock.release()


def check_same(cfg: DictConfig, path: Path) -> None:
    """Refuse to go on with a run under another config; what only steers loading, devices or reporting may differ.

    Raises:
        InputError: naming the first key that differs, or the run's config where it cannot be read.
    """
    if path.exists() and (found := first_difference(cfg, path)):
        key, before, now = found
        raise InputError(f"resume: {key} is {now}, but {path.parent} was begun with {before}; start a new run, or set it back.")


def first_difference(cfg: DictConfig, path: Path) -> tuple[str, Any, Any] | None:
    """The first key in which a kept config and another differ, as far as that changes results, with both values, the kept one first.

    Raises:
        InputError: where the kept one cannot be read.
    """
    before, now = (_flat(OmegaConf.to_container(c, resolve=True), "") for c in (read_config(path), cfg))
    different = [key for key in sorted(before.keys() | now.keys()) if not key.startswith(FREE) and before.get(key) != now.get(key)]
    return (different[0], before.get(different[0]), now.get(different[0])) if different else None


def config_hash(cfg: DictConfig) -> str:
    """SHA-256 of a resolved config but for what may be other when a run goes on."""
    flat = {key: value for key, value in _flat(OmegaConf.to_container(cfg, resolve=True), "").items() if not key.startswith(FREE)}
    return sha256(json.dumps(flat, sort_keys=True, default=str).encode()).hexdigest()


def _flat(node: Any, key: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {key: node}
    return {k: v for name, part in node.items() for k, v in _flat(part, f"{key}.{name}" if key else str(name)).items()}


def finish(study: Study, cfg: DictConfig, brief: bool = False) -> dict[str, Any]:
    """Score the folder's predictions, print the table and return the metrics; in brief their discrimination alone, without the table."""
    from mmdx.evaluation.score import score_folder
    from mmdx.evaluation.table import print_results
    from mmdx.timings import phase

    with phase("score"):
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
    return metrics


def validation_score(validation: pd.DataFrame, kind: str) -> float | None:
    """The primary metric over the validation rows of the full set of modalities, mean over seeds; None where it is not defined."""
    from mmdx.evaluation.score import primary_value

    size = validation["modalities"].str.count(r"\+")
    return primary_value(validation[(size == size.max()) & (validation["ablation"] == "offered")], kind)
