"""The settings of a simulated cohort, checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmdx.errors import InputError
from mmdx.simulate.circumstances import GROUPS, Circumstances, check_odds, check_rate, check_share
from mmdx.simulate.latent import JOINT, SINGLE
from mmdx.simulate.renderers import RENDERERS

MARKED = "image"
"""The modality that carries the marker."""


class Later(NamedTuple):
    """What changes from a row on; None changes nothing."""

    from_row: int | None = None
    prevalence: float | None = None
    marker: float | None = None
    devices: float = 0.0


class Subgroup(NamedTuple):
    """For whom modalities carry less."""

    column: str | None = None
    value: str | None = None
    silent: Mapping[str, float] = {}


@dataclass(frozen=True)
class Settings:
    """Arguments of ``SimulatedCohort``, in the forms that it works with."""

    modalities: tuple[str, ...]
    prevalence: float
    missing: Mapping[str, float]
    missing_odds: Mapping[str, Any]
    silent: Mapping[str, float]
    subgroup: Subgroup
    sites: int
    site_prevalence: tuple[float, ...]
    marker: float | None
    later: Later
    drift: float


def check_settings(
    samples: int,
    modalities: tuple[str, ...],
    prevalence: float,
    presentation: str,
    strength: float,
    missing: Mapping[str, float] | None,
    missing_odds: Mapping[str, Any] | None,
    silent: Mapping[str, float] | None,
    subgroup: Mapping[str, Any] | None,
    sites: int,
    site_prevalence: Sequence[float] | None,
    marker: float | None,
    label_noise: float,
    later: Mapping[str, Any] | None,
    drift: float,
    visits: Sequence[int],
    seed: int,
) -> Settings:
    """The settings, each in range.

    Raises:
        InputError: naming the key, what was given and what is expected.
    """
    known = ", ".join(RENDERERS)
    if not modalities or len(set(modalities)) < len(modalities) or not set(modalities) <= set(RENDERERS):
        raise InputError(f"data.modalities={list(modalities)}: must be one or more different ones of {known}.")
    for name, value, least in (("samples", samples, 2), ("sites", sites, 1), ("seed", seed, 0)):
        _check_whole(name, value, least)
    _check_list("visits", visits)
    if not visits:
        raise InputError("data.visits: must be a list of numbers of visits, such as [1, 1, 1, 2].")
    for number in visits:
        _check_whole("visits", number, 1)
    check_share("prevalence", prevalence)
    if presentation not in (JOINT, SINGLE):
        raise InputError(f"data.presentation={presentation}: must be {JOINT} or {SINGLE}.")
    if not isinstance(strength, int | float | np.number) or isinstance(strength, bool) or not 0 < strength <= 0.98:
        raise InputError(f"data.strength={strength}: must be above 0 and at most 0.98.")
    check_rate("label_noise", label_noise, 0.5)
    _check_number("drift", drift)
    if marker is not None:
        check_share("marker", marker)
        if MARKED not in modalities:
            raise InputError(f"data.marker={marker}: the mark is on the {MARKED}, which is not in use; set data.marker=null.")
    for key, given in (("missing", missing), ("missing_odds", missing_odds), ("silent", silent), ("subgroup", subgroup), ("later", later)):
        _check_mapping(key, given)
    _check_list("site_prevalence", site_prevalence)
    missing = missing or {}
    odds = _odds(missing_odds or {}, sites)
    group = _subgroup(subgroup or {}, sites)
    _check_rates("missing", missing)
    _check_rates("silent", silent or {})
    _check_rates("subgroup.silent", group.silent)
    by_site = tuple(site_prevalence or ())
    if by_site and len(by_site) != sites:
        raise InputError(f"data.site_prevalence={list(by_site)}: must have one number for each of data.sites={sites}.")
    for share in by_site:
        check_share("site_prevalence", share)
    changes = _later(later or {}, marker)
    if changes.from_row is not None and changes.from_row >= samples:
        raise InputError(f"data.later.from_row={changes.from_row}: there are data.samples={samples} visits, so nothing would change.")
    for name in ("old", "diseased"):
        if idle := [m for m in odds[name] if m in modalities and not missing.get(m)]:
            raise InputError(f"data.missing_odds.{name}.{idle[0]}: data.missing.{idle[0]} is 0, and odds of 0 stay 0; set a rate above 0.")
    in_use = {m: float(missing.get(m, 0.0)) for m in modalities}
    return Settings(modalities, prevalence, in_use, odds, silent or {}, group, sites, by_site, marker, changes, drift)


def circumstances_from(settings: Settings) -> Circumstances:
    """The rates by circumstance."""
    odds, later = settings.missing_odds, settings.later
    return Circumstances(
        prevalence=settings.prevalence,
        missing=settings.missing,
        odds_if_old=odds["old"],
        odds_if_diseased=odds["diseased"],
        odds_by_site=odds["sites"],
        silent=settings.silent,
        silent_in_group=settings.subgroup.silent,
        prevalence_by_site=settings.site_prevalence,
        later_prevalence=later.prevalence,
        marker=settings.marker,
        later_marker=later.marker,
    )


def _odds(given: Mapping[str, Any], sites: int) -> dict[str, Any]:
    _check_keys("missing_odds", given, ("old", "diseased", "sites"))
    for name in ("old", "diseased"):
        _check_mapping(f"missing_odds.{name}", given.get(name))
    _check_list("missing_odds.sites", given.get("sites"))
    odds: dict[str, Any] = {name: dict(given.get(name) or {}) for name in ("old", "diseased")} | {"sites": tuple(given.get("sites") or ())}
    for name in ("old", "diseased"):
        for m in _modalities_of(f"missing_odds.{name}", odds[name]):
            check_odds(f"missing_odds.{name}.{m}", odds[name][m])
    if odds["sites"] and len(odds["sites"]) != sites:
        raise InputError(f"data.missing_odds.sites={list(odds['sites'])}: must have one number for each of data.sites={sites}.")
    for value in odds["sites"]:
        check_odds("missing_odds.sites", value)
    return odds


def _subgroup(given: Mapping[str, Any], sites: int) -> Subgroup:
    _check_keys("subgroup", given, Subgroup._fields)
    _check_mapping("subgroup.silent", given.get("silent"))
    group = Subgroup(given.get("column"), given.get("value"), given.get("silent") or {})
    if group.column is None:
        if group.silent or group.value is not None:
            raise InputError("data.subgroup.column: not given, though value or silent is; must be sex, age_group or site.")
        return group
    if not isinstance(group.column, str) or group.column not in GROUPS:
        raise InputError(f"data.subgroup.column={group.column}: must be one of {', '.join(GROUPS)}.")
    values = GROUPS[group.column] or tuple(f"hospital_{i + 1}" for i in range(sites))
    if group.value not in values:
        raise InputError(f"data.subgroup.value={group.value}: must be one of {', '.join(values)}, as data.subgroup.column={group.column}.")
    if not group.silent:
        raise InputError("data.subgroup.silent: not given; it says how often each modality shows nothing in the subgroup, such as {image: 0.5}.")
    return group


def _later(given: Mapping[str, Any], marker: float | None) -> Later:
    _check_keys("later", given, Later._fields)
    later = Later(given.get("from_row"), given.get("prevalence"), given.get("marker"), given.get("devices") or 0.0)
    if later.from_row is None:
        if later[1:] != (None, None, 0.0):
            raise InputError("data.later.from_row: not given; it is the row from which on the rest of data.later holds.")
        return later
    _check_whole("later.from_row", later.from_row, 0)
    _check_number("later.devices", later.devices)
    for name in ("prevalence", "marker"):
        if (value := getattr(later, name)) is not None:
            check_share(f"later.{name}", value)
    if later.marker is not None and marker is None:
        raise InputError(f"data.later.marker={later.marker}: there is no marker to change; set data.marker, 0.5 for one that says nothing.")
    return later


def _check_keys(key: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if odd := sorted(set(given) - set(known)):
        raise InputError(f"data.{key}.{odd[0]}: no such key; known are {', '.join(known)}.")


def _modalities_of(key: str, given: Mapping[str, Any]) -> list[str]:
    if odd := sorted(set(given) - set(RENDERERS)):
        raise InputError(f"data.{key}.{odd[0]}: no such modality; must be one of {', '.join(RENDERERS)}.")
    return list(given)


def _check_mapping(key: str, given: Any) -> None:
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"data.{key}={given}: must be a mapping, such as {{NAME: VALUE}}, or null.")


def _check_list(key: str, given: Any) -> None:
    if given is not None and (isinstance(given, str | Mapping) or not isinstance(given, Sequence | np.ndarray)):
        raise InputError(f"data.{key}={given}: must be a list, such as [1, 2].")


def _check_rates(key: str, rates: Mapping[str, Any]) -> None:
    for m in _modalities_of(key, rates):
        check_rate(f"{key}.{m}", rates[m])


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"data.{name}={value}: must be a whole number of at least {least}.")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
        raise InputError(f"data.{name}={value}: must be a number of at least 0.")
