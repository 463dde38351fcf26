"""Repeat a run from its folder, and say whether it has the same results and what was not as it was."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import DictConfig

from mmdx.configuration import check_config, resolved, select
from mmdx.data.kept_folds import FOLDS, KeptFolds, labels_of
from mmdx.errors import InputError
from mmdx.evaluate import PREDICTIONS, run_in
from mmdx.files import write_json, write_text
from mmdx.kept_config import read_config
from mmdx.provenance import LOCK, RECORD, Provenance, read_record, without_home
from mmdx.run import CONFIG, METRICS, do, read_results
from mmdx.runs.packages import read_lock
from mmdx.runs.same import BITS, VERDICTS, same_metrics, same_predictions
from mmdx.runs.then_and_now import Difference, differences
from mmdx.tracking import check_trackers

if TYPE_CHECKING:
    from mmdx.study import Study

RERUN = "rerun.json"
SHOWN = 12
"""Differences of one kind that are printed; ``rerun.json`` has all."""


def rerun(given: str, out: str | None = None, tolerance: float = 1e-6) -> bool:
    """Do a finished run again in a new folder, tell what differs, and write ``rerun.json`` there.

    Args:
        given: the run's folder.
        out: the new folder; None takes ``FOLDER_rerun`` beside it.
        tolerance: the largest absolute difference of two predictions, or two metrics, that count as the same.

    Returns:
        Whether predictions and metrics are the same, to the bit or within the tolerance.

    Raises:
        InputError: where no finished run is there, its config is refused as any would be, or its data can't be read.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"--tolerance {tolerance}: must be a number, 0 or more.")
    source = run_in(given, f"FOLDER={given}")
    old, then = _results(source, given), _record(source)
    cfg = resolved(read_config(source / CONFIG))
    cfg.resume = None
    check_config(cfg)
    folder = _folder(source, out)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from mmdx.parts import study_from
    from mmdx.together import STACKS
    from mmdx.training.fit import check_trainer

    _as_many_threads(then)
    check_trainer(select(cfg, "trainer", {}))
    check_trackers(cfg)
    study = study_from(cfg, folder)
    found = differences(then, _now(folder, cfg))
    _tell(found, f"{source}: what is not as it was, before it is done again", f"{source}: code, packages, settings and machine are as they were.")
    data: list[Difference] = []

    def look() -> None:
        data.extend(data_differences(study, cfg, source, then))
        _tell(data, "data that is not as it was", "the data is as it was.")

    if (source / STACKS).exists():  # heads that were trained at once are so again
        write_text(folder / STACKS, (source / STACKS).read_text(encoding="utf-8"))
    for name, node in (cfg.get("logger") or {}).items():  # a server, which may be a stranger's, is told nothing of a repetition
        if node.get("tracking_uri"):
            print(f"logger.{name}.tracking_uri={node.tracking_uri}: not used; the repetition is logged in its own folder.")
            node.tracking_uri = None
    do(study, cfg, then.get("choices") or {}, look)
    return _judge(source, folder, old, [*data, *found], tolerance)


def data_differences(study: Study, cfg: DictConfig, source: Path, then: Mapping[str, Any]) -> list[Difference]:
    """Samples whose raw inputs or targets are not those that a run was made on, with their files where they have some; samples gone and new."""
    fingerprint = then.get("data_fingerprint")
    if fingerprint == study.cohort.fingerprint or not (source / FOLDS).exists():
        return [Difference("data", "fingerprint", fingerprint, study.cohort.fingerprint)] if fingerprint != study.cohort.fingerprint else []
    before = KeptFolds.read(source).frame.drop_duplicates("sample_id").set_index("sample_id")
    table = study.dataset.table.iloc[study.rows]
    now = pd.DataFrame({"content": study.cohort.contents[study.rows], "labels": labels_of(table), "row": study.rows}, index=table["sample_id"])
    both = before.index.intersection(now.index)
    found = []
    for column, what in (("content", "inputs"), ("labels", "targets")):
        if column in before:
            for sample in both[(before.loc[both, column] != now.loc[both, column]).to_numpy()]:
                files = _files(study, cfg, int(now.loc[sample, "row"])) if column == "content" else ""
                hashes = [str(frame.loc[sample, column]) for frame in (before, now)]
                found.append(Difference("data", f"{what} of sample {sample!r}{files}", *hashes))
    found += [Difference("data", f"sample {sample!r}", "there", None) for sample in before.index.difference(now.index)]
    found += [Difference("data", f"sample {sample!r}", None, "there") for sample in now.index.difference(before.index)]
    return found or [Difference("data", "fingerprint", fingerprint, study.cohort.fingerprint)]


def _files(study: Study, cfg: DictConfig, row: int) -> str:
    """The files of a row, below the data's folder."""
    paths = [Path(path) for of_one in getattr(study.dataset, "paths_of", lambda index: {})(row).values() for path in of_one]
    root = Path(str(select(cfg, "data.root", None) or Path(str(select(cfg, "data.path", None) or ".")).parent)).expanduser()
    names = [str(path.relative_to(root)) if path.is_relative_to(root) else without_home(str(path)) for path in paths]
    return f" ({', '.join(names)})" if names else ""


def _results(source: Path, given: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions and metrics of a finished run.

    Raises:
        InputError: where it has none, or isn't a run that one command can repeat.
    """
    if (source / "chosen.json").exists():
        raise InputError(f"FOLDER={given}: joined from the runs of nested tuning, each with its own choice; repeat one of those.")
    if not (source / "models.json").exists():
        raise InputError(f"FOLDER={given}: holds no trained models (no models.json); give the run that trained them, not an evaluation.")
    if not (source / METRICS).exists():
        raise InputError(f"FOLDER={given}: has no {METRICS} to compare with; finish it with resume={given}.")
    return read_results(source)


def _folder(source: Path, out: str | None) -> Path:
    """The new folder, which the other processes of a run are told of through the command line.

    Raises:
        InputError: where something is in it already.
    """
    if out is None:
        names = (source.with_name(f"{source.resolve().name}_rerun{number}") for number in ["", *(f"_{i}" for i in range(2, 10_000))])
        folder = next(name for name in names if not name.exists())
        sys.argv += ["--out", str(folder)]
    else:
        folder = Path(out).expanduser()
    if "LOCAL_RANK" not in os.environ and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--out {folder}: already holds something; name a folder that isn't there yet.")
    return folder


def _record(source: Path) -> dict[str, Any]:
    """The run's record with the hashes of its lock file."""
    if not (source / RECORD).exists():
        print(f"{source} has no {RECORD}, so it isn't known what the run was done with.")
        return {}
    record = read_record(source)
    lock = source / LOCK
    return record | ({"files": read_lock(lock.read_text(encoding="utf-8"))} if lock.exists() else {})


def _now(folder: Path, cfg: DictConfig) -> dict[str, Any]:
    """The record that a run begun here would have."""
    from mmdx.runs.packages import installed, lock

    return Provenance(folder, cfg).record | {"files": read_lock(lock(installed()))}


def _as_many_threads(then: Mapping[str, Any]) -> None:
    """Use as many threads as the run did, where there are so many cores: sums in another order have other last bits."""
    import torch

    threads, cores = (then.get("hardware") or {}).get("threads"), os.cpu_count() or 1
    if isinstance(threads, int) and 0 < threads <= cores:
        torch.set_num_threads(threads)


def _judge(source: Path, folder: Path, old: tuple[pd.DataFrame, dict[str, Any]], found: list[Difference], tolerance: float) -> bool:
    """Compare, tell and write."""
    from mmdx.training.distributed import is_first

    if not is_first():
        return True
    new = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    predictions = same_predictions(old[0], pd.read_parquet(folder / PREDICTIONS), tolerance)
    metrics = same_metrics(old[1], new, tolerance)
    worst = max(predictions.verdict, metrics.verdict, key=VERDICTS.index)
    print(f"\n{source} and {folder}:")
    print(predictions.sentence("predictions", tolerance))
    print(metrics.sentence("metrics", tolerance))
    settings = [part.get("settings") or {} for part in (old[1], new)]
    found += [Difference("scoring", key, *(part.get(key) for part in settings)) for key in sorted(settings[0] | settings[1])
              if settings[0].get(key) != settings[1].get(key)]
    if worst != BITS:
        _tell(found, "likely causes, likeliest first", "nothing that is recorded differs; operations that are not deterministic (some of GPUs), or "
              "other files than these, are left as a cause.")
    told = {"source": without_home(str(source.absolute())), "verdict": worst, "tolerance": tolerance, "predictions": predictions.plain()}
    write_json(folder / RERUN, told | {"metrics": metrics.plain(), "differences": [difference.plain() for difference in found]})
    return worst != VERDICTS[-1]


def _tell(found: list[Difference], title: str, otherwise: str) -> None:
    from mmdx.training.distributed import is_first

    if not is_first():
        return
    if not found:
        print(otherwise, flush=True)
        return
    print(f"{title}:")
    for kind in dict.fromkeys(difference.kind for difference in found):
        own = [difference for difference in found if difference.kind == kind]
        for difference in own[:SHOWN]:
            print(f"  {difference}")
        if len(own) > SHOWN:
            print(f"  {kind}: and {len(own) - SHOWN} more, all in {RERUN}")
    sys.stdout.flush()
