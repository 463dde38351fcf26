"""Where a sweep is kept, so that the same command finds it again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mmdx.errors import InputError
from mmdx.files import write_json, write_text
from mmdx.sweep.outcome import LOCKS

STUDY, FIRST = "study.json", "first.yaml"
TIME = re.compile(r"\$\{now:[^}]*\}")


def settled_folder(config: DictConfig, given: str, described: dict[str, Any]) -> Path:
    """The sweep's folder, made, with what tells sweeps apart in the place of a time; the config and those of all trials then name it.

    Args:
        config: Hydra's, with its own part; is changed.
        given: ``hydra.sweep.dir`` with its interpolations.
        described: what makes this sweep another than one with other settings.

    Raises:
        InputError: where it holds a sweep with other settings, or cannot be made.
    """
    plain = json.loads(json.dumps(described, default=str))
    if TIME.search(given):
        key = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = TIME.sub(key, given)
            settled = config.hydra.sweep.dir = str(Path(str(config.hydra.sweep.dir)).absolute())
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={QuotedString(settled, Quote.single).with_quotes()}")
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    _keep_described(folder, plain)
    write_text(folder / "multirun.yaml", OmegaConf.to_yaml(config))
    return folder


def _keep_described(folder: Path, described: dict[str, Any]) -> None:
    """Write down which sweep a folder holds.

    Raises:
        InputError: where it holds another, or cannot be written.
    """
    if _numbered(folder) and not (folder / STUDY).exists():
        raise InputError(f"hydra.sweep.dir={folder}: holds runs of another sweep; name another folder.")
    try:
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"hydra.sweep.dir={folder}: the folder cannot be made ({fault.strerror}); name another.") from None
    path = folder / STUDY
    with FileLock(str(folder / LOCKS / "study")):
        if not path.exists():
            return write_json(path, described)
        try:
            before, now = (_flat(one) for one in (json.loads(path.read_text(encoding="utf-8")), described))
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{path}: damaged, so it isn't known which sweep is kept there; name another folder by hydra.sweep.dir=.") from None
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            was, given = (one.get(key, "absent") for one in (before, now))
            raise InputError(f"hydra.sweep.dir={folder}: holds a sweep whose {key} is {was}, not {given}; name another folder.")
    return None


def keep_first_config(folder: Path, cfg: DictConfig) -> None:
    """Keep the config of one end of the space with the sweep: the same command may mean another one, once a file of it is edited.

    Raises:
        InputError: naming the first key that is not as it was when the sweep was begun.
    """
    from mmdx.run import first_difference

    path = folder / FIRST
    if not path.exists():
        write_text(path, OmegaConf.to_yaml(cfg, resolve=True))
    elif found := first_difference(cfg, path):
        key, before, now = found
        told = f"the sweep was begun with {key}={before}, and it is {now} by now; set it back, or name another folder"
        raise InputError(f"hydra.sweep.dir={folder}: {told}.")


def _numbered(folder: Path) -> bool:
    """Whether there are run folders that are numbers."""
    return any(path.name.isdigit() and path.is_dir() for path in folder.glob("[0-9]*"))


def _flat(described: dict[str, Any]) -> dict[str, str]:
    """What makes a sweep by key: parameters and fixed overrides by their own, others by those below ``hydra.sweeper``."""
    found: dict[str, Any] = dict(word.split("=", 1) if "=" in word else (word, "") for word in described.get("fixed", []))
    for name, value in described.items():
        if isinstance(value, dict):
            found |= {key if name == "parameters" else f"{name}.{key}": one for key, one in value.items()}
        elif name != "fixed":
            found[name] = value
    return {key: "null" if value is None else str(value) for key, value in found.items()}
