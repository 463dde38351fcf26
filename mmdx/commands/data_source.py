"""What SOURCE means: a manifest's path, Hydra overrides, or both, as the cohort that is checked."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdx.data.checks.cohort import CheckedManifest, Cohort, cohort_of_dataset, cohort_of_manifest, cohort_that_failed
from mmdx.errors import InputError

MANIFEST = "mmdx.data.manifest.Manifest"
CHECKED = f"{CheckedManifest.__module__}.{CheckedManifest.__qualname__}"


def open_source(words: Sequence[str]) -> Cohort:
    """The cohort that the command line names.

    Args:
        words: a manifest's path, alone or followed by Hydra overrides; or Hydra overrides alone, such as ``data=covid_cxr data.root=FOLDER``.

    Raises:
        InputError: where there is no such file, or the overrides are wrong. A table that cannot be used is a finding instead.
    """
    path = manifest_of(words)
    if path is not None and len(words) == 1:
        try:
            return cohort_of_manifest(CheckedManifest(path))
        except InputError as fault:
            return cohort_that_failed(fault, path.name)
    return _from_overrides(overrides_of(words))


def manifest_of(words: Sequence[str]) -> Path | None:
    """The manifest that the first word names; None where it is an override.

    Raises:
        InputError: where there is no such file.
    """
    path = Path(words[0]).expanduser()
    if "=" in words[0] and not path.is_file():
        return None
    if not path.is_file():
        raise InputError(f"SOURCE={words[0]}: no such file. Give a CSV or Parquet manifest, or overrides such as data=covid_cxr data.root=FOLDER.")
    return path


def overrides_of(words: Sequence[str]) -> list[str]:
    """The same source as overrides alone."""
    path = manifest_of(words)
    return list(words) if path is None else ["data=manifest", f"data.path={json.dumps(str(path))}", *words[1:]]


def _from_overrides(overrides: Sequence[str]) -> Cohort:
    from mmdx.configuration import check_data, check_targets, check_values, resolved

    cfg = composed(overrides)
    check_values(cfg)
    check_targets(cfg)
    check_data(cfg)
    cfg = resolved(cfg)
    name = str(cfg.data.get("name") or "data")
    manifest = cfg.data.get("_target_") == MANIFEST
    if manifest:
        cfg.data._target_ = CHECKED
        name = Path(str(cfg.data.path)).name
    try:
        dataset = _dataset(cfg, strict=any(word.startswith("+data.") for word in overrides))
    except InputError as fault:
        if str(fault).startswith("data."):
            raise  # what the user typed is wrong, not the data
        return cohort_that_failed(fault, name)
    return cohort_of_manifest(dataset) if manifest else cohort_of_dataset(dataset, name, json.dumps(_plain(cfg), sort_keys=True, default=str))


def composed(overrides: Sequence[str]) -> Any:
    """The config that overrides make, not resolved: of the data alone where they say nothing else, which is made in half the time.

    Raises:
        InputError: in Hydra's words, on one line.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    from mmdx.commands.hydra_app import config_folder

    of_data = all(re.match(r"(\+{0,2}|~)(data|recipe)[.=]", word) for word in overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_folder(), version_base="1.3"):
            return compose("data_source" if of_data else "train", list(overrides))
    except HydraException as fault:
        cause = fault.__cause__ or fault
        raise InputError(f"SOURCE: {' '.join(str(cause).split())}") from None


def _plain(cfg: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    return dict(OmegaConf.to_container(cfg.data))  # type: ignore[arg-type]


def _dataset(cfg: Any, strict: bool) -> Any:
    """The data set. One of mmdx's own is made straight from its config, without what only training needs, which takes seconds to import;
    where ``strict``, as keys were added to the config, the long way refuses those that the class doesn't take."""
    from hydra.utils import get_class

    from mmdx.configuration import named_targets

    node = _plain(cfg)
    target = str(node.get("_target_"))
    if not strict and target.startswith("mmdx.data.") and len(list(named_targets(node, "data"))) == 1:
        kind = get_class(target)
        if kind.__module__.startswith("mmdx.data.") and hasattr(kind, "__getitem__"):
            return kind(**{key: node[key] for key in inspect.signature(kind).parameters if key in node})
    from mmdx.parts import dataset_from

    return dataset_from(cfg)
