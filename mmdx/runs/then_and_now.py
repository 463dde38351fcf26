"""What differs between the records of two runs, likeliest causes of other results first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmdx.runs.packages import needed_by, normal

MACHINE = {
    "cpu": "CPU",
    "machine": "kind of machine",
    "instructions": "instruction set",
    "threads": "threads of torch",
    "gpus": "GPUs",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "os": "operating system",
    "cores_usable": "usable cores",
    "memory_gib": "memory in GiB",
}
"""What is compared of the hardware, and how it is called; what changes bits comes first."""
STEERING = ("resume", "logger.", "cache.", "data.num_workers", "data.cache", "data.cache_gb")
"""Keys of the config that don't change a result."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        kind: data, seed, config, code, package or machine.
        name: which: a sample, a key, a package.
        then, now: its values, None where there was or is none.
    """

    kind: str
    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        told = [str(value) if value is not None else "none" for value in (self.then, self.now)]
        if all(len(value) == 64 and value.isalnum() for value in told):  # two hashes
            told = [value[:12] for value in told]
        return f"{self.kind}: {self.name}: {told[0]} then, {told[1]} now"

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """What differs between two records as ``provenance.json`` holds them; what either of them doesn't say is not compared."""
    return [*settings(then, now), *code(then, now), *packages(then, now), *machine(then, now)]


def settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Seeds, then other keys of the config, those that only steer loading, caches and trackers left out."""
    before, after = (dict(leaves(record.get("config") or {})) for record in (then, now))
    seeds = [record.get("seeds") or {} for record in (then, now)]
    if not before or not after:
        before, after = seeds
    else:
        before |= seeds[0]
        after |= seeds[1]
    is_seed = {key for key in before | after if key.rpartition(".")[2] in ("seed", "seeds")}
    for key in sorted(before | after, key=lambda key: (key not in is_seed, key)):
        if before.get(key) != after.get(key) and not key.startswith(STEERING):
            yield Difference("seed" if key in is_seed else "config", key, before.get(key), after.get(key))


def code(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """mmdx itself and the packages that are plugged in."""
    if _differ(then, now, "mmdx"):
        yield Difference("code", "mmdx", then["mmdx"], now["mmdx"])
    before, after = (record.get("revision") or {} for record in (then, now))
    if _differ(before, after, "commit"):
        yield Difference("code", "commit of mmdx", before["commit"], after["commit"])
    if _differ(then, now, "code"):
        yield Difference("code", "source files of mmdx, sha256", then["code"], now["code"])
    elif "code" not in then and _differ(before, after, "changed"):
        yield Difference("code", "changes since the commit", before["changed"], after["changed"])
    plugged = [record.get("plugins") or {} for record in (then, now)]
    for name in sorted(plugged[0] | plugged[1]):
        own = [found.get(name, {}).get("code") for found in plugged]
        if own[0] != own[1] and "plugins" in then:
            yield Difference("code", f"source files of {name}, sha256", *own)


def packages(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Python, then packages of other versions, those that mmdx needs itself first, and last packages of one version with other files."""
    if _differ(then, now, "python"):
        yield Difference("package", "Python", then["python"], now["python"])
    before, after = ({normal(k): v for k, v in (record.get("packages") or {}).items()} for record in (then, now))
    if not before or not after:
        return
    depth = needed_by("mmdx")
    for name in sorted(before | after, key=lambda name: (depth.get(name, 99), name)):
        if name != "mmdx" and before.get(name) != after.get(name):
            yield Difference("package", name, before.get(name), after.get(name))
    files = [record.get("files") or {} for record in (then, now)]
    for name in sorted(set(files[0]) & set(files[1]), key=lambda name: (depth.get(name, 99), name)):
        if files[0][name] != files[1][name] and before.get(name) == after.get(name):
            yield Difference("package", f"files of {name} {before.get(name)}, sha256", files[0][name], files[1][name])


def machine(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """The hardware."""
    before, after = (record.get("hardware") or {} for record in (then, now))
    for key, name in MACHINE.items():
        if _differ(before, after, key):
            yield Difference("machine", name, before[key], after[key])
    if not before and _differ(then, now, "platform"):
        yield Difference("machine", "platform", then["platform"], now["platform"])


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of plain dicts by their full key; a list, and a dict without keys, is a leaf."""
    if isinstance(node, Mapping) and node:
        for name, part in node.items():
            yield from leaves(part, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, node


def _differ(then: Mapping[str, Any], now: Mapping[str, Any], key: str) -> bool:
    return key in then and key in now and then[key] != now[key]
