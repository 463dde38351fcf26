"""The config that a run keeps, read again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmdx.errors import InputError

PARTS = ("data", "encoders", "fusion", "task", "split", "training")
"""Keys that the config of every run has."""


def read_config(path: Path, parts: Iterable[str] = PARTS) -> DictConfig:
    """A run's config.

    Args:
        path: its file.
        parts: keys that must be there, mappings all of them.

    Raises:
        InputError: where it isn't one.
    """
    otherwise = "bring it back as it was, or train the run again"
    try:
        cfg = OmegaConf.load(path)
        plain: Any = OmegaConf.to_container(cfg, resolve=False)
    except Exception as fault:
        mark = getattr(fault, "problem_mark", None)
        why = f"line {mark.line + 1}: {getattr(fault, 'problem', '')}" if mark else (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{path}: not a config ({why}); {otherwise}.") from None
    lacking = [key for key in parts if not isinstance(cfg, DictConfig) or key not in plain]
    if not isinstance(cfg, DictConfig) or lacking:
        raise InputError(f"{path}: not the config of a run; it lacks {', '.join(lacking)}; {otherwise}.")
    for key, node in [*((key, plain[key]) for key in parts), *((f"encoders.{name}", node or {}) for name, node in _items(plain["encoders"]))]:
        if not isinstance(node, dict):
            raise InputError(f"{path}: {key} is {node}, but must be a mapping; {otherwise}.")
    try:
        refuse_interpolations(plain, "")
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from None
    return cfg


def _items(node: Any) -> list[tuple[Any, Any]]:
    return list(node.items()) if isinstance(node, dict) else []


def refuse_interpolations(node: Any, key: str) -> None:
    """Refuse text that would be an interpolation where it is read again: an escaped one could make any object.

    Raises:
        InputError: naming the key.
    """
    if isinstance(node, dict):
        for name, part in node.items():
            refuse_interpolations(part, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for i, part in enumerate(node):
            refuse_interpolations(part, f"{key}[{i}]")
    elif isinstance(node, str) and "${" in node:
        raise InputError(f"{key}={node[:60]!r}: refused; a value may not hold '${{' once the config is resolved.")
