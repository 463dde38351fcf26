"""What can be wrong with a config is found before anything is read: values out of range, classes that have no business there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmdx.errors import InputError
from mmdx.kept_config import refuse_interpolations

PLUGINS = "mmdx.configs"
"""Entry-point group by which a package offers a config folder, and its classes, to mmdx."""

OWN = (
    "mmdx",
    "torch.optim",
    "pytorch_lightning.callbacks",
    "pytorch_lightning.loggers",
    "pytorch_lightning.profilers",
)
"""Where a config's classes may come from, besides the packages that the user installed as plug-ins."""


def _whole(low: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low


def _number(test: Callable[[float], bool]) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and test(v)


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda v: v in values


def _or_none(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda v: v is None or test(v)


def _seed(value: Any) -> bool:
    return _whole(0)(value) and value < 2**32


def _seeds(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_seed(v) for v in value) and len(set(value)) == len(value)


def _fold(value: Any) -> bool:
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(_whole(0)(v) for v in several) and len(set(several)) == len(several)


def _folder_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w[\w.-]*", value) is not None


def _extra_metrics(value: Any) -> bool:
    return isinstance(value, list) and all(v == "macc" for v in value)


def _named_or_listed(value: Any) -> bool:
    return value is None or value == "encoders" or isinstance(value, list | dict)


RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_folder_name, "letters, digits, '.', '_' and '-', since the run folder is called so"),
    "seed": (_seed, "a whole number from 0 to 4294967295"),
    "seeds": (_or_none(_seeds), "a list of different whole numbers, such as [0,1,2], or null"),
    "split.fold": (_or_none(_fold), "a whole number from 0, a list of different ones such as [0,2], or null for all folds"),
    "split.seed": (_seed, "a whole number from 0 to 4294967295"),
    "data.seed": (_seed, "a whole number from 0 to 4294967295"),
    "data.extra_metrics": (_or_none(_extra_metrics), "a list of macc, or empty"),
    "data.views": (_or_none(lambda v: isinstance(v, list)), "a list, as in [PA, AP], or null"),
    "data.columns": (_or_none(lambda v: isinstance(v, list)), "a list, as in [age, sex]"),
    "data.locations": (_or_none(lambda v: isinstance(v, list)), "a list, as in [AV, MV], or null"),
    "data.meta": (lambda v: isinstance(v, list), "a list of columns"),
    "data.modalities": (_named_or_listed, "a list, or modalities by name as in {image: COLUMN}"),
    "ablation": (_one_of("none", "offered", "retrained"), "none, offered or retrained"),
    "optimizer.lr": (_number(lambda v: v > 0), "greater than 0"),
    "optimizer.weight_decay": (_number(lambda v: v >= 0), "0 or more"),
    "data.batch_size": (_whole(1), "a whole number above 0"),
    "data.num_workers": (lambda v: v == "auto" or _whole(0)(v), "auto or a whole number, 0 or more"),
    "data.on_error": (_one_of("stop", "quarantine"), "stop or quarantine"),
    "data.cache": (_one_of("memory", "disk", "none"), "memory, disk or none"),
    "data.cache_gb": (_number(lambda v: v >= 0), "0 or more"),
    "cache.root": (_or_none(lambda v: isinstance(v, str) and bool(v)), "a folder, or null for the user's cache folder"),
    "cache.gb": (_number(lambda v: v > 0), "greater than 0"),
    "training.fused_loss": (_number(lambda v: v >= 0), "0 or more"),
    "training.per_modality_loss": (lambda v: v == "auto" or _number(lambda v: v >= 0)(v), "0 or more, or auto"),
    "training.order": (_one_of("shuffled", "balanced", "stratified"), "shuffled, balanced or stratified"),
    "training.mode": (_one_of("max", "min"), "max or min"),
    "training.checkpoint": (_one_of("best", "last"), "best or last"),
    "training.monitor": (_one_of("val/score", "val/loss", "train/loss", "val/alignment"), "val/score, val/loss, train/loss or val/alignment"),
    "training.save_steps": (_or_none(_whole(1)), "a whole number above 0, or null"),
    "training.save_minutes": (_or_none(_number(lambda v: v > 0)), "greater than 0, or null"),
    "training.compile": (lambda v: isinstance(v, bool), "true or false"),
    "training.patience": (_or_none(_whole(1)), "a whole number above 0, or null for no early stopping"),
    "trainer.max_epochs": (_whole(1), "a whole number above 0"),
    "trainer.accumulate_grad_batches": (_whole(1), "a whole number above 0"),
    "trainer.gradient_clip_val": (_or_none(_number(lambda v: v >= 0)), "0 or more, or null"),
    "evaluation.resamples": (_whole(1), "a whole number above 0"),
}


KEYS: dict[str, frozenset[str]] = {
    "": frozenset(
        [
            "name", "data", "recipe", "encoders", "fusion", "task", "split", "training", "optimizer",
            "trainer", "logger", "callbacks", "seed", "seeds", "ablation", "resume", "evaluation", "cache", "missing", "alignment", "distillation",
            "balance",
        ]
    ),
    "training": frozenset(
        [
            "encode_once", "stack", "modality_dropout", "fused_loss", "per_modality_loss", "order", "monitor", "mode", "patience", "checkpoint",
            "save_steps", "save_minutes", "schedule", "channels_last", "compile", "bucket_by",
        ]
    ),
    "evaluation": frozenset({"resamples"}),
    "cache": frozenset({"root", "gb"}),
}
"""The keys there are, at the top and in the groups that are not one class's arguments."""

SCHEDULE = frozenset({"rate", "start", "epochs"})
"""Keys of ``training.modality_dropout`` where it changes over the epochs."""


def check_config(cfg: DictConfig) -> None:
    """Check that every key is known, every value that has a known range, the data folder, and every class that the config names.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    for place, known in KEYS.items():
        refuse_unknown(OmegaConf.select(cfg, place) if place else cfg, known, place)
    check_values(cfg)
    check_targets(cfg)
    if (select(cfg, "training.monitor", "") == "val/score") != (select(cfg, "training.mode", "max") == "max"):
        raise InputError(f"training.mode={cfg.training.mode}: with training.monitor={cfg.training.monitor} it must be the other of max and min.")
    for name, node in (cfg.get("encoders") or {}).items():
        if not re.fullmatch(r"[A-Za-z]\w*", str(name)) or hasattr(dict, str(name)):
            raise InputError(f"encoders.{name}: not a name for a modality; use letters, digits and '_', and none of Python's words for dicts.")
        if not isinstance(node, DictConfig):
            raise InputError(f"encoders.{name}={node}: must be a part; place one by +encoder/image@encoders.{name}=small_cnn.")
    if not cfg.get("encoders"):
        raise InputError("encoders: none given; name an experiment, such as +experiment=xray_text, or place one: "
                         "+encoder/image@encoders.image=small_cnn.")
    rates, place = select(cfg, "training.modality_dropout", 0.0), "training.modality_dropout"
    if is_schedule(rates):
        refuse_unknown(rates, SCHEDULE, place)
        rates, place = rates.get("rate"), f"{place}.rate"
    if isinstance(rates, dict):
        refuse_unknown(rates, frozenset(map(str, cfg.encoders)), place)
    bucket_by = select(cfg, "training.bucket_by", None)
    if bucket_by is not None and bucket_by not in cfg.encoders:
        raise InputError(f"training.bucket_by={bucket_by}: must be one of the encoders {', '.join(map(str, cfg.encoders))}, or null.")
    if select(cfg, "balance", None) and select(cfg, "training.encode_once", False):
        raise InputError(
            "balance: with training=frozen_features no encoder learns, so there is nothing to balance; use training=end_to_end, or balance=none."
        )
    weights = select(cfg, "balance.weights", None)
    if isinstance(weights, dict):
        refuse_unknown(weights, frozenset(map(str, cfg.encoders)), "balance.weights")
    for key in ("bucket_by", "compile"):
        if select(cfg, f"training.{key}", None) and select(cfg, "training.encode_once", False):
            raise InputError(f"training.{key}: for training end to end; heads on frozen features have no use for it.")
    if select(cfg, "training.monitor", "") == "val/alignment":
        check_pretraining(cfg)
    check_data(cfg)


def check_pretraining(cfg: DictConfig) -> None:
    """Check that a run which trains encoders by alignment alone has something to align, and that nothing else is to learn or lies between.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    alone = "training=pretraining: encoders learn from the alignment alone"
    for key, accepts, words in (
        ("encoders", lambda v: len(v or {}) > 1, "give two or more of encoders"),
        ("alignment", bool, "choose an alignment, such as alignment=infonce"),
        ("alignment.weight", lambda v: v != 0, "set alignment.weight above 0"),
        ("alignment.adapter", lambda v: not v, "set alignment.adapter=0, since an adapter stays behind when the encoders are taken by another run"),
        ("distillation", lambda v: not v, "there are no logits to distil; set distillation=none"),
        ("training.encode_once", lambda v: not v, "frozen ones cannot; set training.encode_once=false"),
        ("ablation", lambda v: v != "retrained", "a model of one modality has nothing to align; set ablation=none"),
    ):
        if not accepts(select(cfg, key, None)):
            raise InputError(f"{alone}; {words}.")


def is_schedule(given: Any) -> bool:
    """Whether ``training.modality_dropout`` changes over the epochs: ``{rate, start, epochs}``."""
    return isinstance(given, dict) and {"rate", "epochs"} <= set(given)


def check_values(cfg: DictConfig) -> None:
    """Check every value that has a known range.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    for key, (accepts, words) in RANGES.items():
        value = select(cfg, key, "")
        if value != "" and not accepts(value):
            raise InputError(f"{key}={value}: must be {words}.")


def refuse_unknown(given: Iterable[Any], known: frozenset[str], place: str) -> None:
    """Refuse a key that nothing reads.

    Raises:
        InputError: naming it and the nearest there is.
    """
    for key in given:
        if key in known:
            continue
        full = f"{place}.{key}" if place else str(key)
        near = get_close_matches(str(key), known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        if not place and key == "encoder":
            hint = "place a part by +encoder/image@encoders.NAME=small_cnn; "
        own = " Values of your own, to refer to by ${recipe.KEY}, go under recipe." if not place else ""
        raise InputError(f"{full}: no such key; {hint}known are {', '.join(sorted(known))}.{own}")


def check_data(cfg: DictConfig) -> None:
    """Check that what the data config must be given is given, and that its folder exists."""
    name = select(cfg, "data.name", "the data set")
    for key in sorted(OmegaConf.missing_keys(cfg.data)):
        raise InputError(f"{key}: not given; data={name} needs it, as in {key}=VALUE.")
    for key in ("root", "path"):
        value = select(cfg, f"data.{key}", None)
        if value is not None and not Path(str(value)).expanduser().exists():
            kind = "folder" if key == "root" else "file"
            hint = select(cfg, f"data.{key}_hint", f"Give the {kind} that holds {name}.")
            raise InputError(f"data.{key}={value}: no such {kind}. {hint}")


def state_masks(cfg: DictConfig) -> None:
    """Put what the file of ``data.masks`` holds in its place, so that a run's config says what was taken out of its texts.

    Raises:
        InputError: where there is no such file, or it holds something else.
    """
    from mmdx.data.masking import read_masks

    if select(cfg, "data.masks", None):
        cfg.data.masks = read_masks(select(cfg, "data.masks", None))


def resolved(cfg: DictConfig) -> DictConfig:
    """The config with every interpolation replaced by its value; what is missing stays so.

    Raises:
        InputError: where an interpolation leads nowhere.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as fault:
        raise InputError(f"{getattr(fault, 'full_key', None) or 'config'}: {str(fault).splitlines()[0]}.") from None
    refuse_interpolations(plain, "")
    return DictConfig(plain)


def select(cfg: DictConfig, key: str, default: Any) -> Any:
    """A value of the config as plain Python, or the default where it isn't there.

    Raises:
        InputError: where the value cannot be resolved.
    """
    try:
        value = OmegaConf.select(cfg, key, default=default)
    except OmegaConfBaseException as fault:
        raise InputError(f"{key}: {str(fault).splitlines()[0]}.") from None
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def allowed_packages() -> tuple[str, ...]:
    """Packages whose classes a config may name: ours, torch's optimisers, Lightning's parts, and installed plug-ins."""
    return OWN + tuple(sorted({point.value.split(":")[0].split(".")[0] for point in entry_points(group=PLUGINS)}))


def check_targets(cfg: DictConfig) -> None:
    """Refuse a ``_target_`` outside the allowed packages, before anything is imported for it.

    Raises:
        InputError: naming the key and the target.
    """
    packages = allowed_packages()
    for key, target in named_targets(OmegaConf.to_container(cfg, resolve=False), ""):
        if not isinstance(target, str) or not any(target.startswith(f"{package}.") for package in packages):
            raise InputError(
                f"{key}._target_={target}: refused; a config may name classes of {', '.join(packages)}. "
                f"A package of your own is accepted once it is installed with an entry point in the group {PLUGINS!r}."
            )


def named_targets(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Key and value of every ``_target_`` below a plain node."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node["_target_"]
        for name, part in node.items():
            yield from named_targets(part, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for i, part in enumerate(node):
            yield from named_targets(part, f"{key}[{i}]")
