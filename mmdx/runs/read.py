"""One run as its folder tells it, from JSON and YAML alone: nothing heavy is imported, so that thousands are read in seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from mmdx.runs.then_and_now import leaves

CONFIG, RECORD, METRICS, PREDICTIONS = "config.yaml", "provenance.json", "metrics.json", "predictions.parquet"
WITHIN = frozenset({"models", "cases", "logs", "checkpoints", "mlartifacts"})
"""Folders of a run that hold no other run."""
SCORES = ("test", "test_complete", "retrained", "retrained_complete")
FINISHED, UNFINISHED, BROKEN = "finished", "unfinished", "broken"
GROUPS = ("data", "recipe", "fusion", "task", "split", "training", "optimizer", "missing", "alignment", "distillation", "balance")
HEAD = 2**16
"""Bytes of metrics.json that are read first."""
_decode = json.JSONDecoder().raw_decode


@dataclass
class Run:
    """A run.

    Attributes:
        name: its folder below that which was listed.
        folder: where it is.
        state: finished, failed, stopped, unfinished or broken.
        problem: for a broken one what is wrong, for a failed one the kind of fault, else empty.
        kind: run; evaluation, of another run; or scored, predictions of another program.
        config: the leaves of its config by full key.
        choices: the part chosen of each group of the config.
        record: as ``provenance.json`` holds it, without the config.
        metrics: scored entries by name, as in ``test/image+text/auroc``: value, low, high, n, unit.
        full, primary: the largest subset of modalities, and the main metric of the task; empty before it is scored.
    """

    name: str
    folder: Path
    state: str = UNFINISHED
    problem: str = ""
    kind: str = "run"
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    full: str = ""
    primary: str = ""

    @property
    def minutes(self) -> float | None:
        """From its begin to its end, by the clock."""
        from datetime import datetime

        try:
            begun, ended = (datetime.fromisoformat(str(self.record[key]).replace("Z", "+00:00")) for key in ("begun", "ended"))
        except (KeyError, ValueError):
            return None
        return round((ended - begun).total_seconds() / 60, 2)

    def entry(self, key: str) -> Mapping[str, Any] | None:
        """A scored entry by a metric's name, that of the full set of modalities, or by SUBSET/NAME or SECTION/SUBSET/NAME."""
        for name in (key, f"test/{key}", f"test/{self.full}/{key}"):
            if name in self.metrics:
                return self.metrics[name]
        return None

    def value(self, key: str) -> Any:
        """What a column, a filter or an order asks for: the run's own facts, a chosen part, a key of the config, a metric, or the record's.

        A metric's interval and count are its ``.low``, ``.high`` and ``.n``; a package's version is ``packages.NAME``. None where there is none.
        """
        if key in ("run", "state", "problem", "kind", "minutes"):
            return getattr(self, "name" if key == "run" else key)
        if key == "n":
            return (self.entry(self.primary) or {}).get("n")
        if key in self.choices:
            return self.choices[key]
        if key in self.config:
            return self.config[key]
        if (entry := self.entry(key)) is not None:
            return entry.get("value")
        name, _, part = key.rpartition(".")
        if part in ("low", "high", "n", "unit") and (entry := self.entry(name)) is not None:
            return entry.get(part)
        return _below(self.record, key)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        known = {"run": self.name, "state": self.state, "kind": self.kind, "minutes": self.minutes}
        said = {key: self.record.get(key) for key in ("begun", "ended", "data_fingerprint", "revision", "timings", "peak_memory_gib")}
        problem = {"problem": self.problem} if self.problem else {}
        return known | problem | said | {"choices": self.choices, "config": self.config, "full": self.full, "metrics": self.metrics}


def find_runs(root: Path) -> Iterator[Path]:
    """The folders of runs at and below a folder, by name."""
    todo = [root]
    while todo:
        folder = todo.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError:
            continue
        names = {entry.name for entry in entries}
        is_run = bool(names & {RECORD, METRICS}) or (CONFIG in names and _is_config(folder / CONFIG))
        if is_run:
            yield folder
        skipped = WITHIN if is_run else frozenset()
        todo += [Path(entry.path) for entry in entries
                 if not entry.name.startswith(".") and entry.name not in skipped and entry.is_dir(follow_symlinks=False)]


def read_run(folder: Path, root: Path) -> Run:
    """What a folder tells; where something of it cannot be read, that is the run's problem and nothing is raised."""
    run = Run(folder.relative_to(root).as_posix() if folder != root else folder.resolve().name, folder)
    try:
        record = _json(folder / RECORD)
        config = record.pop("config", None)
        run.record, run.choices = record, {str(k): str(v) for k, v in _mapping(record.pop("choices", None)).items()}
        if not isinstance(config, dict):
            config = _yaml(folder / CONFIG)
        run.config = dict(leaves(config))
        run.choices = _named(config) | run.choices
        _read_metrics(run, folder / METRICS)
        run.kind = "evaluation" if record.get("source") else "run" if config else "scored"
        run.state, run.problem = _state(run, folder)
    except _Unreadable as fault:
        run.state, run.problem = BROKEN, str(fault)
    return run


class _Unreadable(Exception):
    """A file of a run that isn't what it should be."""


def _state(run: Run, folder: Path) -> tuple[str, str]:
    said = run.record.get("state")
    if said in ("failed", "stopped", "pruned"):
        return said, str(run.record.get("fault", ""))
    if said == "running" or not run.metrics:
        return UNFINISHED, ""
    if not (folder / PREDICTIONS).exists() and run.kind != "scored":
        return BROKEN, f"{PREDICTIONS} is gone"
    return FINISHED, ""


def _read_metrics(run: Run, path: Path) -> None:
    """The scored entries; of a long file only the beginning is read, where they are."""
    try:
        with path.open("rb") as file:
            found = _scores(file.read(HEAD)) or _scores(path.read_bytes())
    except FileNotFoundError:
        return
    except OSError as fault:
        raise _Unreadable(f"{path.name} cannot be read ({fault.strerror})") from None
    if not found:
        raise _Unreadable(f"{path.name} is not whole, or no JSON; mmdx score {path.parent} makes it again")
    run.full, run.primary = str(found.get("full", "")), str(found.get("primary", ""))
    for section in SCORES:
        for subset, values in _mapping(found.get(section)).items():
            for name, entry in _entries(values, ""):
                run.metrics[f"{section}/{subset}/{name}"] = {k: entry.get(k) for k in ("value", "low", "high", "n", "unit")}


def _scores(text: bytes) -> dict[str, Any]:
    """The beginning of ``metrics.json``; {} where it isn't whole, or no JSON."""
    try:
        return dict(_beginning(text.decode(errors="ignore")))
    except (ValueError, IndexError, StopIteration):
        return {}


def _beginning(text: str) -> Iterator[tuple[str, Any]]:
    """Keys and values of a JSON object, in order, until the scores are over."""
    place, scored = text.index("{") + 1, False
    while True:
        place = _skip(text, place, ",")
        if text[place] == "}":
            return
        if text[place] != '"':
            raise ValueError(place)
        key, place = scanstring(text, place + 1, True)
        if scored and key not in SCORES:
            return
        value, place = _decode(text, _skip(text, place, ":"))
        scored = scored or key in SCORES
        yield key, value


def _skip(text: str, place: int, mark: str) -> int:
    while text[place] in " \t\r\n" or text[place] == mark:
        place += 1
    return place


def _entries(node: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, part in _mapping(node).items():
        full = f"{name}/{key}" if name else str(key)
        if isinstance(part, Mapping) and "value" in part:
            yield full, part
        else:
            yield from _entries(part, full)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise _Unreadable(f"{path.name} is no JSON ({str(fault).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise _Unreadable(f"{path.name} is not an object")
    return found


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as fault:
        raise _Unreadable(f"{path.name} is no YAML ({str(fault).splitlines()[0]})") from None
    if not isinstance(found, dict):
        raise _Unreadable(f"{path.name} is not the config of a run")
    return found


def _is_config(path: Path) -> bool:
    """Whether a config alone, of a run that wrote nothing else yet, is one of ours."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return {"encoders", "fusion", "task"} <= {line.partition(":")[0] for line in lines if line[:1].isalpha()}


def _named(config: Mapping[str, Any]) -> dict[str, str]:
    """What stands for the chosen parts where the record doesn't name them: the data's name, and the files that the classes are in."""
    found = {group: str(node["_target_"]).split(".")[-2] for group, node in ((group, config.get(group)) for group in GROUPS)
             if isinstance(node, Mapping) and "." in str(node.get("_target_", ""))}
    data = _mapping(config.get("data")).get("name")
    return found | ({"data": str(data)} if data else {})


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _below(node: Any, key: str) -> Any:
    """A value of nested dicts by its full key; a key may have dots of its own."""
    if not isinstance(node, Mapping):
        return None
    if key in node:
        return node[key]
    first, _, rest = key.partition(".")
    return _below(node.get(first), rest) if rest else None
