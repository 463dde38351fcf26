"""Reading the source of a card, a small YAML file, and saying what is wrong with it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmdx.data.cards.source import GAP, RAI, TYPES, Column, Modality, Section, Source, Table
from mmdx.errors import InputError

FOLDER = Path(__file__).resolve().parent
"""Where the sources lie that come with mmdx."""


def names_of_cards() -> list[str]:
    """Data sets whose source comes with mmdx."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_source(name: str, folder: Path) -> Path | None:
    """Where the source of a card is: in ``folder``, else with mmdx; None where there is none."""
    return next((path for path in (folder / f"{name}.yaml", FOLDER / f"{name}.yaml") if path.is_file()), None)


def read_source(path: Path) -> Source:
    """Read a card's source.

    Raises:
        InputError: where the file is not YAML, a key is unknown or missing, or a value is not what it should be.
    """
    given = _mapping(_parsed(path), path.name)
    if "name" in given:
        raise InputError(f"{path.name}: key 'name': leave it out, the name is the file's own.")
    values = _checked(Source, {**given, "name": path.stem}, path.name)
    modalities = {name: _part(Modality, one, f"{path.name}: modalities.{name}") for name, one in _pairs(values, "modalities", path)}
    nested: dict[str, Any] = {
        "modalities": modalities,
        "tables": {name: _table(one, f"{path.name}: tables.{name}", modalities) for name, one in _pairs(values, "tables", path)},
        "sections": [_section(one, f"{path.name}: sections[{i}]") for i, one in enumerate(_entries(values, "sections", path))],
        "creators": [_creator(one, path) for one in _entries(values, "creators", path)],
    }
    for key, value in values.items():
        if key not in nested and not isinstance(value, str):
            raise InputError(f"{path.name}: {key}: must be a text.")
    return Source(**{**values, **nested})


def _parsed(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # every value stays the text it is: 1.10, no, 2020-06-22
    except UnicodeDecodeError:
        raise InputError(f"{path.name}: the file is not text in UTF-8. Save it as UTF-8.") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path.name}{where}: not YAML ({getattr(fault, 'problem', None) or 'it cannot be read'}).") from None


def _creator(given: Any, path: Path) -> dict[str, str]:
    one = dict(given) if isinstance(given, Mapping) else {"Person": str(given)}
    if len(one) != 1 or not set(one) <= {"Person", "Organization"}:
        raise InputError(f"{path.name}: creators: {one} is neither a person's name nor {{Organization: NAME}}.")
    return one


def _section(given: Any, where: str) -> Section:
    section: Section = _part(Section, given, where)
    if section.rai:
        _one_of(section.rai, RAI, f"{where}.rai")
    return section


def _table(given: Any, where: str, modalities: Mapping[str, Modality]) -> Table:
    values = _checked(Table, _mapping(given, where), where)
    columns = {name: _part(Column, one, f"{where}.columns.{name}") for name, one in _mapping(values.get("columns") or {}, where).items()}
    for name, column in columns.items():
        _one_of(column.type, TYPES, f"{where}.columns.{name}.type")
        if column.names:
            _one_of(column.names, [name for name, one in modalities.items() if one.files], f"{where}.columns.{name}.names")
    if values.get("patient"):
        _one_of(values["patient"], list(columns), f"{where}.patient")
    return _part(Table, {**values, "columns": columns}, where)


def _part(kind: type[Any], given: Any, where: str) -> Any:
    """One of the small classes; a mere text is its ``what``."""
    values = _checked(kind, {"what": given} if isinstance(given, str) else _mapping(given, where), where)
    for key, value in values.items():
        if key != "columns" and not isinstance(value, str):
            raise InputError(f"{where}.{key}: must be a text.")
    return kind(**values)


def _checked(kind: type[Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is given for a class, once its keys are right."""
    fields = {one.name: one for one in dataclasses.fields(kind)}
    for key in given:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise InputError(f"{where}: unknown key '{key}'.{hint} Keys: {', '.join(name for name in fields if name != 'name')}.")
    for name, one in fields.items():
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING and not given.get(name):
            raise InputError(f"{where}: key '{name}' is missing. Give it, or '{GAP}' where it is not known yet.")
    return dict(given)


def _one_of(value: str, allowed: Any, where: str) -> None:
    if value not in allowed:
        raise InputError(f"{where}={value}: must be one of {', '.join(allowed) or '(there is none)'}.")


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: must be keys with values, such as 'what: the picture'.")
    return given


def _pairs(values: Mapping[str, Any], key: str, path: Path) -> list[tuple[str, Any]]:
    return list(_mapping(values.get(key) or {}, f"{path.name}: {key}").items())


def _entries(values: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    given = values.get(key) or []
    if not isinstance(given, list):
        raise InputError(f"{path.name}: {key}: must be a list, one line beginning with '-' for each.")
    return given
