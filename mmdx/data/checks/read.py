"""Reading all files of a cohort in parallel; what did not change since the last check is remembered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmdx.data.checks.cache import Cache, Known, Results, stamp_of
from mmdx.data.checks.cohort import Cohort
from mmdx.data.checks.facts import Facts
from mmdx.data.checks.files import Task, digest_of, examine, examine_raw
from mmdx.data.checks.findings import ERROR, kind_of_fault, without_advice, without_place
from mmdx.errors import SampleError

_shared: dict[str, Any] = {"readers": {}, "dataset": None}
"""What the tasks of a worker need besides themselves; set once in each."""

Done = tuple[Task, tuple[int, int], Results]


def usable_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_all(cohort: Cohort, workers: int, cache: Cache | None) -> dict[Task, Results]:
    """Results of every task of a cohort, each read once.

    Args:
        workers: processes; 1 reads in this one.

    Raises:
        InputError: where a package that a format needs is not installed.
    """
    tasks = list(dict.fromkeys(item.task for item in cohort.items))
    known = cache.recall(tasks) if cache else {}
    results = {task: memory.results for task, memory in known.items() if memory.same}
    work = [(task, known.get(task)) for task in tasks if task not in results]
    if not work:
        return results
    fresh: list[Done] = []
    share = _share_of(work, cohort, workers)
    with _progress() as progress:
        bar = progress.add_task("reading", total=len(tasks), completed=len(results))
        for done in share:
            results |= {task: found for task, _, found in done}
            fresh += done
            progress.advance(bar, len(done))
            if cache and len(fresh) >= 2000:
                cache.keep(fresh)
                fresh = []
    if cache:
        cache.keep(fresh)
    return results


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _share_of(work: Sequence[tuple[Task, Known | None]], cohort: Cohort, workers: int) -> Iterator[list[Done]]:
    """Chunks of work as they are done, here or by processes."""
    size = max(1, min(16, len(work) // (8 * workers)))
    chunks = [work[start : start + size] for start in range(0, len(work), size)]
    if workers == 1 or len(chunks) == 1:
        _set_up(cohort.readers, cohort.dataset)
        return (_do(chunk) for chunk in chunks)
    pool = ProcessPoolExecutor(workers, initializer=_set_up, initargs=(cohort.readers, cohort.dataset))
    futures = {pool.submit(_do, chunk): chunk for chunk in chunks}  # before a progress bar starts its thread: the pool may fork
    return _gather(pool, futures, cohort)


def _gather(
    pool: ProcessPoolExecutor, futures: Mapping[Future[list[Done]], Sequence[tuple[Task, Known | None]]], cohort: Cohort
) -> Iterator[list[Done]]:
    lost: list[tuple[Task, Known | None]] = []
    try:
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                lost += futures[future]
    finally:
        pool.shutdown(cancel_futures=True)
    for work in lost:
        yield [_alone(work, cohort)]


def _alone(work: tuple[Task, Known | None], cohort: Cohort) -> Done:
    """A task in a process of its own: a decoder that crashes takes no other file with it, and is told."""
    with ProcessPoolExecutor(1, initializer=_set_up, initargs=(cohort.readers, cohort.dataset)) as pool:
        try:
            return pool.submit(_do, [work]).result()[0]
        except BrokenProcessPool:
            facts, name = Facts(), Path(work[0].path).name or f"sample {work[0].position}"
            facts.error("unreadable", f"file '{name}' cannot be read: its decoder crashes.")
            return work[0], (-1, -1), [("", facts.plain())]


def _set_up(readers: Mapping[str, Callable[..., Any]], dataset: Any) -> None:
    _shared["readers"], _shared["dataset"] = readers, dataset


def _do(work: Sequence[tuple[Task, Known | None]]) -> list[Done]:
    done = []
    for task, known in work:
        stamp = stamp_of(task)
        if known is not None and known.digest and digest_of(task.path) == known.digest:
            done.append((task, stamp, known.results))
        elif task.position >= 0:
            done.append((task, stamp, _examine_sample(task)))
        else:
            done.append((task, stamp, [("", examine(task, _shared["readers"]).plain())]))
    return done


def _examine_sample(task: Task) -> Results:
    """Facts of each modality of a sample that its data set reads."""
    digest = digest_of(task.path) if task.path else ""
    try:
        inputs = _shared["dataset"][task.position].inputs
    except SampleError as fault:
        facts = Facts(digest=digest)
        message = without_place(without_advice(fault))
        facts.faults.append([kind_of_fault(message), ERROR, message])
        return [("", facts.plain())]
    results: Results = []
    for modality, raw in inputs.items():
        for one in raw if isinstance(raw, list) else [raw]:
            facts = Facts(digest=digest)
            examine_raw(one, Path(task.path) if task.path else None, facts)
            results.append((modality, facts.plain()))
    return results
