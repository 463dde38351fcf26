"""Runs of several configs that share a cohort of features: heads of one stack at once, stacks spread over processes, finished ones kept."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from mmdx.errors import InputError
from mmdx.files import write_json, write_text
from mmdx.parts import study_from
from mmdx.provenance import write_provenance
from mmdx.run import CONFIG, check_same, finish
from mmdx.study import DATA, Study, run_together

ALONE = ("fusion", "missing", "alignment", "distillation", "balance", "optimizer", "training", "trainer", "logger")
"""Groups in which studies may differ that share one reading of the cohort."""
TOGETHER = ("optimizer.lr", "optimizer.weight_decay", "training.modality_dropout", "training.patience", "fusion.dropout")
"""Settings in which heads may differ that are trained at once."""
TIMING = "timing.json"
MOST = 8
"""Processes unless more are asked for: each holds its own libraries and cohort."""
Seconds = dict[str, dict[str, float]]
_shared: dict[str, Study] = {}
"""The study that has read a process's latest cohort, by what it shares with others."""


def run_all(folders: Mapping[str, Path], configs: Mapping[str, DictConfig], jobs: int | None = None) -> Seconds:
    """Train, predict and score every config in its folder, or take over what is finished there.

    Configs that differ in ``ALONE`` only share one reading of the cohort, in each process; a cohort is first read by one process, so that others
    find its features in the cache. Heads that differ in ``TOGETHER`` only are trained at once.

    Args:
        folders: of each run, by name.
        configs: of each run.
        jobs: processes; None takes as many as there are cores, up to ``MOST``, and one where there is an accelerator.

    Returns:
        Seconds that each run took, by part.

    Raises:
        InputError: where runs failed, naming each and why, after the others have finished.
    """
    took = {name: _kept(name, folder, configs[name]) for name, folder in folders.items() if (folder / TIMING).exists()}
    stacks = stacks_of({name: cfg for name, cfg in configs.items() if name not in took})
    readers: dict[str, int] = {}
    for number, names in enumerate(stacks):
        readers.setdefault(key_of(configs[names[0]]), number)
    first = set(readers.values())
    rounds = [[stacks[k] for k in sorted(first)], [own for k, own in enumerate(stacks) if k not in first]]
    given = [[({name: folders[name] for name in names}, {name: configs[name] for name in names}) for names in some] for some in rounds]
    faults: dict[str, str] = {}
    for some in given:
        took |= _spread(some, min(len(some), jobs or default_jobs()), faults)
    if faults:
        told = " ".join(f"{names}: {fault}" for names, fault in faults.items())
        raise InputError(f"{len(took)} of {len(folders)} runs are finished and kept; not {told}")
    check_same_data(folders, configs)
    return took


def made(folder: Path, key: str) -> Path:
    """A folder for results.

    Raises:
        InputError: where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"{key}={folder}: the folder cannot be made ({fault.strerror}); name another.") from None
    return folder


def _spread(given: list[tuple[dict[str, Path], dict[str, DictConfig]]], count: int, faults: dict[str, str]) -> Seconds:
    """Run some stacks in so many processes, each with its share of the cores; what fails is added to ``faults``, and the others go on."""
    took: Seconds = {}
    if count <= 1:
        for own in given:
            try:
                took |= run_some(*own)
            except InputError as fault:
                faults[", ".join(own[0])] = str(fault)
        return took
    begin = (os.getpid(), max(1, cores() // count))
    with ProcessPoolExecutor(count, get_context("spawn"), _begin, begin) as pool:
        try:
            waiting = {pool.submit(_run_quietly, *own): own[0] for own in given}
            for done in as_completed(waiting):
                try:
                    said, seconds = done.result()
                except InputError as fault:
                    faults[", ".join(waiting[done])] = str(fault)
                    continue
                print(said, end="", flush=True)
                took |= seconds
        except BrokenProcessPool:
            raise InputError("jobs: a process was ended from outside, as where memory runs out; finished runs are kept, go on with jobs=1.") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.kill()  # what is on disk is whole at any moment
            raise
    return took


def _begin(parent: int, threads: int) -> None:
    """In a process that was started for some of the runs: its share of the cores, and an end where the one that started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # told by the parent
    torch.set_num_threads(threads)
    threadpool_limits(threads)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _kept(name: str, folder: Path, cfg: DictConfig) -> dict[str, float]:
    """Seconds that a finished run took; its config must be the one asked for."""
    check_same(cfg, folder / CONFIG)
    print(f"{name}: finished, kept", flush=True)
    return dict(json.loads((folder / TIMING).read_text(encoding="utf-8")))


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """Processes where none are asked for: an accelerator is not shared, and small heads use one core better than several."""
    return 1 if torch.accelerator.is_available() else min(cores(), MOST)


def key_of(cfg: DictConfig) -> str:
    """What a study shares with another that reads the same cohort."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    return json.dumps({name: value for name, value in plain.items() if name not in ALONE}, sort_keys=True)


def stacks_of(configs: Mapping[str, DictConfig]) -> list[list[str]]:
    """Names of runs, those in one list that differ only in settings in which heads of one stack may differ."""
    found: dict[str, list[str]] = {}
    for name, cfg in configs.items():
        plain = cfg.copy()
        for key in TOGETHER:
            if OmegaConf.select(plain, key) is not None:
                OmegaConf.update(plain, key, "any")
        found.setdefault(OmegaConf.to_yaml(plain, resolve=True, sort_keys=True), []).append(name)
    return list(found.values())


def check_same_data(folders: Mapping[str, Path], configs: Mapping[str, DictConfig]) -> None:
    """Refuse to compare runs that were made at different times, while the data changed between them.

    Raises:
        InputError: naming two runs on different data that should share it.
    """
    known: dict[str, tuple[Path, str]] = {}
    for name, folder in folders.items():
        own = json.loads((folder / DATA).read_text(encoding="utf-8"))["fingerprint"]
        before, fingerprint = known.setdefault(key_of(configs[name]), (folder, own))
        if own != fingerprint:
            raise InputError(f"{folder}: was trained on other data (fingerprint {own}) than {before} ({fingerprint}); give another folder as out.")


def _run_quietly(folders: Mapping[str, Path], configs: Mapping[str, DictConfig]) -> tuple[str, Seconds]:
    """As ``run_some``, what it prints returned, so that processes do not talk at the same time."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        seconds = run_some(folders, configs)
    return said.getvalue(), seconds


def run_some(folders: Mapping[str, Path], configs: Mapping[str, DictConfig]) -> Seconds:
    """Train, predict and score some runs together; seconds of each."""
    print(f"{', '.join(folders)}:", flush=True)
    studies, times = {}, [time.monotonic()]
    for name, folder in folders.items():
        check_same(configs[name], folder / CONFIG)
        study = studies[name] = study_from(configs[name], folder, (folder / CONFIG).exists())
        if other := _shared.get(key_of(configs[name])):
            study.take_over(other)
        else:
            study.prepare()
            _shared.clear()  # one cohort is held at a time
            _shared[key_of(configs[name])] = study
        write_text(folder / CONFIG, OmegaConf.to_yaml(configs[name], resolve=True))
    times.append(time.monotonic())
    run_together(list(studies.values()))
    times.append(time.monotonic())
    read, trained = (float(after - before) / len(studies) for before, after in itertools.pairwise(times))
    took = {}
    for name, study in studies.items():
        started = time.monotonic()
        write_provenance(folders[name], configs[name], study.cohort.fingerprint, earlier=study.earlier())
        finish(study, configs[name], brief=True)
        seconds = {"read": read, "train and predict": trained, "score": time.monotonic() - started}
        took[name] = {part: round(value, 2) for part, value in seconds.items()}
        write_json(folders[name] / TIMING, took[name])
    return took
