"""Hydra's own part of a config is checked before Hydra makes anything of it, since it too may come from a stranger's file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdx.configuration import allowed_packages

LOGGING = re.compile(r"logging\.((handlers\.)?(Stream|File|Null|RotatingFile|TimedRotatingFile)Handler|Formatter|Filter)|colorlog\.ColoredFormatter")
"""What may be made for logging; ``logging.config`` takes any callable."""
PLUGINS = {
    "launcher": re.compile(r"(hydra\._internal\.core_plugins|hydra_plugins)\.\w+\.[\w.]+"),
    "sweeper": re.compile(r"(hydra\._internal\.core_plugins|hydra_plugins)\.[\w.]+"),
    "sweeper.sampler": re.compile(r"(optuna\.samplers|mmdx\.sweep\.samplers)\.\w+"),
    "sweeper.pruner": re.compile(r"optuna\.pruners\.\w+"),
}
"""Classes by their place; Hydra takes registered plug-ins alone for its own."""
SECTIONS = ("callbacks", "launcher", "sweeper", "hydra_logging", "job_logging")
COMMANDS = re.compile(r"job\.env_set\..+|launcher\.(setup|srun_args)\b.*|launcher\.(.+\.)?runtime_env\b.*|launcher\.ray\.init\.address", re.DOTALL)
"""Keys by which other programs are run, or told what to load, or jobs sent elsewhere: those who type them may, a file may not."""
WHOLE = re.compile(r"\$\{.*\}")


def guard() -> None:
    """From here on every config that Hydra loads in this process is checked. Twice is as once."""
    plain, searched = ConfigLoaderImpl.load_configuration, ConfigLoaderImpl._process_config_searchpath
    if getattr(plain, "checks_hydra", False):
        return

    def load_configuration(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:
        cfg = plain(self, *args, **kwargs)
        if OmegaConf.is_config(cfg.get("hydra")):
            check_hydra(cfg.hydra)
        return cfg

    def process_config_searchpath(self: ConfigLoaderImpl, config_name: str | None, parsed_overrides: Any, repo: Any) -> None:
        loaded = repo.load_config(config_path=config_name) if config_name is not None else None
        check_searched(loaded.config if loaded else OmegaConf.create())
        searched(self, config_name, parsed_overrides, repo)

    ConfigLoaderImpl._process_config_searchpath = process_config_searchpath  # type: ignore[method-assign]
    load_configuration.checks_hydra = True  # type: ignore[attr-defined]
    ConfigLoaderImpl.load_configuration = load_configuration  # type: ignore[method-assign]


def check_hydra(hydra: DictConfig) -> None:
    """Refuse what Hydra would call for callbacks, launcher, sweeper and logging, but for what belongs there, and commands and environment variables
    that were not typed.

    Raises:
        CompactHydraException: naming the key, its value and what is taken; Hydra prints it in one line.
    """
    plain: Any = OmegaConf.to_container(hydra, resolve=False)
    typed = [word.lstrip("+").partition("=")[0] for word in (plain.get("overrides") or {}).get("hydra") or []]
    for section in ("job", *SECTIONS):
        for place, value in leaves(plain.get(section), section):
            if COMMANDS.fullmatch(place) and value is not None and (place, value) != ("launcher.ray.init.address", "auto"):
                known = any(f"hydra.{place}".startswith((f"{key}.", f"{key}[")) or f"hydra.{place}" == key for key in typed)
                _check(known, place, value, "what is on the command line")
            if section == "job":
                continue
            if section == "launcher":  # a line of its own would be a command in a batch job's script
                _check("\n" not in f"{place}{value}", place, value, "text of one line")
            inside, _, name = place.rpartition(".")
            if name == "_target_":
                _check_target(inside, value)
            elif section.endswith("logging") and name in ("()", "class"):
                known = isinstance(value, str) and bool(LOGGING.fullmatch(value))
                _check(known, place, value, "handlers, formatters and filters of Python's logging")
            elif isinstance(value, str) and value.startswith(("ext://", "cfg://")):
                _check(value in ("ext://sys.stdout", "ext://sys.stderr"), place, value, "ext://sys.stdout and ext://sys.stderr")
            elif isinstance(value, str) and WHOLE.fullmatch(value):
                _check(_is_plain(hydra, place) and section != "callbacks", place, value, "a value, and no interpolation")


def check_searched(config: Any) -> None:
    """Refuse to look for configs in packages, which are imported for it, but those of mmdx and of installed plug-ins.

    Raises:
        CompactHydraException: naming the package.
    """
    try:
        found = OmegaConf.select(config, "hydra.searchpath")
        places = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else [found]
    except OmegaConfBaseException as fault:
        raise CompactHydraException(f"error: hydra.searchpath: {str(fault).splitlines()[0]}") from None
    for value in places if isinstance(places, list) else [places]:
        known = not str(value).startswith("pkg://") or str(value)[6:].partition(".")[0] in allowed_packages()
        _check(known, "searchpath", value, "folders, and packages of mmdx and of installed plug-ins")


def leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every value below a plain node with where it is."""
    if isinstance(node, dict):
        for name, part in node.items():
            yield from leaves(part, f"{place}.{name}")
    elif isinstance(node, list):
        for number, part in enumerate(node):
            yield from leaves(part, f"{place}[{number}]")
    else:
        yield place, node


def _check_target(place: str, target: Any) -> None:
    key = f"{place}._target_"
    if re.fullmatch(r"callbacks\.[^.]+", place):
        known = isinstance(target, str) and target.startswith(tuple(f"{package}." for package in allowed_packages()))
        try:
            module, _, name = str(target).rpartition(".")
            known = known and issubclass(getattr(import_module(module), name), Callback)
        except Exception:  # whatever an import raises
            known = False
        _check(known, key, target, "Hydra callbacks of mmdx and of installed plug-ins")
    else:
        _check(isinstance(target, str) and place in PLUGINS and bool(PLUGINS[place].fullmatch(target)), key, target, "plug-ins of Hydra")


def _is_plain(hydra: DictConfig, place: str) -> bool:
    """Whether an interpolation is a number or text; what isn't known before a run has begun, as a job's name, is text."""
    try:
        return isinstance(OmegaConf.select(hydra, place), str | int | float | None)
    except OmegaConfBaseException:
        return place in ("launcher.name", "launcher.submitit_folder")


def _check(good: bool, place: str, value: Any, taken: str) -> None:
    if not good:
        told = f"{place}={value}".replace("\n", "\\n")
        raise CompactHydraException(f"error: hydra.{told}: refused; what is taken here is {taken}.")
