"""From a checked config to the objects of a study: each slot takes only what fulfils its contract."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pandas as pd
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from mmdx.configuration import allowed_packages, is_schedule, named_targets, select
from mmdx.data.loading import ModalityDropout
from mmdx.data.masking import Masked, read_masks
from mmdx.data.prepared_store import PreparedStore
from mmdx.data.splits import Chosen, Split
from mmdx.data.tables import is_number
from mmdx.encoders.tuning import FullTuning
from mmdx.errors import InputError
from mmdx.files import user_cache
from mmdx.study import Study
from mmdx.training.balance.base import Balance
from mmdx.training.plan import EncoderPlan, ModelPlan, TrainingPlan
from mmdx.training.pretrained import PretrainedEncoder
from mmdx.training.teacher import Teacher
from mmdx.types import Transform

LOADING = ("name", "batch_size", "num_workers", "on_error", "cache", "cache_gb", "root_hint", "path_hint", "extra_metrics", "masks", "roles",
           "target_words")
"""Keys under ``data`` that are not the data set's own."""

STRATEGIES = ("missing", "alignment", "distillation")
"""Groups of strategies, from the one next to the fusion outwards. A group that an older run's config does not have is none."""


def _is_a(base: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, base)


def _forwards(*names: str) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, nn.Module) and [*inspect.signature(kind.forward).parameters][1 : 1 + len(names)] == [*names]


def _has(*names: str) -> Callable[[type], bool]:
    return lambda kind: all(hasattr(kind, name) for name in names)


CONTRACTS: dict[str, tuple[Callable[[type], bool], str]] = {
    "data": (_has("__getitem__", "__len__"), "a data set"),
    "encoder": (_is_a(nn.Module), "an encoder"),
    "transform": (_is_a(Transform), "a Transform"),
    "tuning": (_has("apply", "parameter_groups"), "a tuning"),
    "aggregate": (_is_a(nn.Module), "an aggregation of items"),
    "fusion": (_forwards("features", "present"), "a fusion, whose forward takes (features, present)"),
    "task": (_has("loss", "predict", "encode", "strata"), "a task"),
    "split": (_has("folds"), "a split"),
    "optimizer": (_is_a(Optimizer), "an optimizer"),
    "balance": (_is_a(Balance), "a Balance"),
    "teacher": (_is_a(Teacher), "a Teacher"),
    "schedule": (callable, "a schedule"),
    "callback": (_is_a(Callback), "a Lightning callback"),
    "logger": (_is_a(Logger), "a Lightning logger"),
}


def make(node: DictConfig, key: str, slot: str, partial: bool = False, **arguments: Any) -> Any:
    """The object that a config node describes, for a slot with a contract.

    Raises:
        InputError: where the class doesn't exist, isn't what the slot takes, or refuses its arguments.
    """
    check_fits(node, key, slot)
    try:
        return instantiate(node, _convert_="all", _partial_=partial, **arguments)
    except InstantiationException as fault:
        raise InputError(_reason(fault, key, node["_target_"])) from fault


def check_fits(node: DictConfig, key: str, slot: str) -> None:
    """Check that what a config node describes is what a slot takes, without making it.

    Raises:
        InputError: where the class doesn't exist or isn't that, or a setting is of another kind.
    """
    accepts, words = CONTRACTS[slot]
    for place, target in named_targets(OmegaConf.to_container(node, resolve=False), ""):
        kind = _class(target, f"{key}.{place}" if place else key)
        if not place and not accepts(kind):
            raise InputError(f"{key}._target_={target}: is not {words}.")
    if "_target_" not in node:
        raise InputError(f"{key}: has no _target_; it needs the class of {words}.")
    check_kinds(get_class(node["_target_"]), node, key)


KINDS: dict[type, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda v: isinstance(v, bool), "true or false"),
    int: (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    float: (lambda v: isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v), "a finite number"),
    str: (lambda v: isinstance(v, str), "a word"),
}


def check_kinds(kind: type, node: DictConfig, key: str) -> None:
    """Compare plain settings with what the class's constructor says that they are: a word in the place of a number, say.

    Raises:
        InputError: naming the first that is something else.
    """
    try:
        hints = get_type_hints(kind.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # what a hint names isn't there outside of type checking
        return
    for name, hint in hints.items():
        allowed = get_args(hint) or (hint,)
        value = node.get(name) if name in node and not OmegaConf.is_missing(node, name) else None
        if name not in node or not all(one in KINDS or one is type(None) for one in allowed) or OmegaConf.is_config(value):
            continue
        if value is None and type(None) in allowed:
            continue
        if name == "dropout" and isinstance(value, int | float) and not 0 <= value < 1:
            raise InputError(f"{key}.dropout={value}: must be 0 or more and below 1, the share of units that are dropped in training.")
        kinds = [KINDS[one] for one in allowed if one in KINDS]
        if not any(accepts(value) for accepts, _ in kinds):
            more = ", or null" if type(None) in allowed else ""
            raise InputError(f"{key}.{name}={'null' if value is None else value}: must be {' or '.join(words for _, words in kinds)}{more}.")


def _class(target: str, key: str) -> type:
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # where Hydra tells what is told here
    try:
        kind = get_class(target)
    except Exception as fault:
        raise InputError(f"{key}._target_={target}: no such class ({' '.join(str(fault).split())}).") from None
    if not any(f"{kind.__module__}.".startswith(f"{package}.") for package in allowed_packages()):
        raise InputError(f"{key}._target_={target}: refused; it is {kind.__module__}.{kind.__qualname__}, which is not a part.")
    return kind


def _reason(fault: BaseException, key: str, target: str) -> str:
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        last, cause = cause, cause.__cause__ or cause.__context__
    return f"{key} ({target}): {str(last).splitlines()[0]}"


def dataset_from(cfg: DictConfig) -> Any:
    """The data set, its texts without what ``data.masks`` takes out; the keys under ``data`` that steer loading are left out."""
    node, masks = cfg.data.copy(), read_masks(select(cfg, "data.masks", None))
    with open_dict(node):
        for key in LOADING:
            node.pop(key, None)
        if node.get("modalities") == "encoders" and not cfg.encoders:
            node.pop("modalities")  # nothing is to be encoded but all to be looked at
        elif node.get("modalities") == "encoders":
            node.modalities = sorted({str(part.get("source") or name) for name, part in cfg.encoders.items()})
    dataset = make(node, "data", "data")
    return Masked(dataset, masks) if masks else dataset


def encoder_plan(node: DictConfig, name: str, data: Mapping[str, Any]) -> EncoderPlan:
    """One encoder with its transform, tuning and aggregation; ``data`` is what it is trained on."""
    key, node = f"encoders.{name}", DictConfig(OmegaConf.to_container(node, resolve=True))
    parts = {part: node.pop(part, None) for part in ("transform", "tuning", "aggregate")}
    source, pretrained = node.pop("source", None), node.pop("pretrained", None)
    transform = make(parts["transform"], f"{key}.transform", "transform") if parts["transform"] else None
    constructor = make(node, key, "encoder", partial=True)
    aggregate = make(parts["aggregate"], f"{key}.aggregate", "aggregate", partial=True) if parts["aggregate"] else None
    return EncoderPlan(
        build=_builder(constructor, key, transform is not None),
        transform=transform or Transform(),
        tuning=make(parts["tuning"], f"{key}.tuning", "tuning") if parts["tuning"] else FullTuning(),
        aggregate=aggregate,
        source=source,
        pretrained=PretrainedEncoder(str(pretrained), name, data) if pretrained else None,
    )


def _builder(constructor: Callable[..., nn.Module], key: str, takes_transform: bool) -> Callable[[Transform], nn.Module]:
    def build(transform: Transform) -> nn.Module:
        try:
            return constructor(transform=transform) if takes_transform else constructor()
        except TypeError as fault:
            raise InputError(f"{key}: {fault}.") from fault

    return build


def fill_classes(cfg: DictConfig, table: pd.DataFrame) -> None:
    """Take the names of classes, labels or levels, and the horizons of survival, from the data where the config leaves them to it, so that the
    run's config states them, and all folds have the same.

    Raises:
        InputError: where levels have names, whose order only a person knows.
    """
    if "classes" in cfg.task and cfg.task.classes is None and "target" in table:
        cfg.task.classes = sorted(set(table["target"].astype(str)))
    if "labels" in cfg.task and cfg.task.labels is None:
        cfg.task.labels = [c.removeprefix("target_") for c in table.columns if c.startswith("target_")]
    if "levels" in cfg.task and cfg.task.levels is None and "target" in table:
        names = sorted(set(table["target"].astype(str)))
        if not all(map(is_number, names)):
            raise InputError(f"task.levels: not given; the data has {names[:8]}, whose order must be said, as in task.levels=[LOWEST,...,HIGHEST].")
        cfg.task.levels = sorted(names, key=float)
    if "horizons" in cfg.task and cfg.task.horizons is None and {"time", "event"} <= set(table):
        from mmdx.tasks.survival import default_horizons, times_and_events

        time, event = times_and_events(table).T
        if (event == 1).any():  # else the task says what is wrong
            cfg.task.horizons = default_horizons(time, event)


def model_plan(cfg: DictConfig) -> ModelPlan:
    """Encoders, fusion with the strategies around it, and task."""
    for name in map(str, cfg.encoders):
        if hasattr(nn.ModuleDict(), name):
            raise InputError(f"encoders.{name}: torch.nn.ModuleDict has an attribute of that name; call the modality otherwise, with source: {name}.")
    encoders = {str(name): encoder_plan(node, str(name), select(cfg, "data", {})) for name, node in cfg.encoders.items()}
    task = make(cfg.task, "task", "task", partial=True)
    kind = task().kind

    def fusion(widths: Mapping[str, int], head: Callable[[int], nn.Module]) -> nn.Module:
        made = make(cfg.fusion, "fusion", "fusion", widths=dict(widths), head=head)
        for group in STRATEGIES:
            if select(cfg, group, None) and not (group == "distillation" and _has_teacher(cfg)):
                given = {"kind": kind} if group == "distillation" else {}
                made = make(cfg[group], group, "fusion", widths=dict(widths), fusion=made, **given)
        return made

    fusion(dict.fromkeys(encoders, 8), lambda width: nn.Linear(width, 1))  # a wrong fusion is found before the data is read
    return ModelPlan(encoders, fusion, task)


def modality_dropout(given: Any) -> ModalityDropout:
    """From a rate, one for each modality, or ``{rate, start, epochs}`` with either as its rate."""
    return ModalityDropout(**given) if is_schedule(given) else ModalityDropout(given)


def training_plan(cfg: DictConfig) -> TrainingPlan:
    """How each model is trained."""
    optimizer, training = cfg.optimizer.copy(), cfg.training
    with open_dict(optimizer):
        lr, weight_decay = optimizer.pop("lr"), optimizer.pop("weight_decay", 0.0)
    for group, slot in (("callbacks", "callback"), ("logger", "logger")):  # are made for each model, when it is trained
        for name, node in (cfg.get(group) or {}).items():
            check_fits(node, f"{group}.{name}", slot)
    return TrainingPlan(
        optimizer=_optimizer(optimizer, lr, weight_decay),
        lr=lr,
        weight_decay=weight_decay,
        schedule=make(training.schedule, "training.schedule", "schedule"),
        batch_size=cfg.data.batch_size,
        num_workers=None if cfg.data.num_workers == "auto" else cfg.data.num_workers,
        modality_dropout=modality_dropout(select(cfg, "training.modality_dropout", 0.0)),
        fused_loss=training.fused_loss,
        per_modality_loss=None if training.per_modality_loss == "auto" else training.per_modality_loss,
        balance=_balance(cfg),
        teacher=_teacher(cfg) if _has_teacher(cfg) else None,
        order=training.order,
        bucket_by=select(cfg, "training.bucket_by", None),
        monitor=training.monitor,
        mode=training.mode,
        patience=training.patience,
        checkpoint=training.checkpoint,
        save_steps=select(cfg, "training.save_steps", None),
        save_minutes=select(cfg, "training.save_minutes", 5.0),
        channels_last=_auto(select(cfg, "training.channels_last", "auto"), "training.channels_last"),
        compile=select(cfg, "training.compile", False),
        trainer=select(cfg, "trainer", {}),
        callbacks=lambda: [make(node, f"callbacks.{k}", "callback") for k, node in (cfg.get("callbacks") or {}).items()],
        loggers=lambda folder: [
            make(node, f"logger.{k}", "logger", save_dir=str(folder)) for k, node in (cfg.get("logger") or {}).items()
        ],
    )


def _has_teacher(cfg: DictConfig) -> bool:
    """Whether what distils is another run, and no fusion around the fusion."""
    target = select(cfg, "distillation._target_", None)
    return bool(target) and issubclass(_class(target, "distillation"), Teacher)


def _teacher(cfg: DictConfig) -> Teacher:
    """The teacher; its run is opened when it is needed."""
    from mmdx.evaluate import open_run

    def opened(folder: str) -> Study:
        return open_run(folder, f"distillation.run={folder}").study

    made: Teacher = make(cfg.distillation, "distillation", "teacher", student=lambda: OmegaConf.to_container(cfg), opened=opened)
    return made


def _balance(cfg: DictConfig) -> Callable[..., Balance] | None:
    """What makes the balancing, tried on two modalities so that a wrong argument is found before the data is read; an older run's config has none."""
    if not select(cfg, "balance", None):
        return None

    def build(widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary") -> Balance:
        made: Balance = make(cfg.balance, "balance", "balance", widths=dict(widths), head=head, kind=kind)
        return made

    build(dict.fromkeys(map(str, cfg.encoders), 8), lambda width: nn.Linear(width, 1))
    return build


def _optimizer(node: DictConfig, lr: float, weight_decay: float) -> Callable[[list[dict[str, Any]]], Optimizer]:
    """The optimiser's maker, tried on one weight so that a wrong argument is found before the data is read."""
    build = make(node, "optimizer", "optimizer", partial=True)
    try:
        build([{"params": [nn.Parameter(torch.zeros(1))], "lr": lr, "weight_decay": weight_decay}])
    except (TypeError, ValueError) as fault:
        raise InputError(f"optimizer ({node['_target_']}): {str(fault).splitlines()[0]}") from fault
    return build


def _cache_root(cfg: DictConfig) -> Path:
    return Path(cfg.cache.root).expanduser() if cfg.cache.root else user_cache()


def _auto(given: object, key: str) -> bool | None:
    if given not in ("auto", True, False):
        raise InputError(f"{key}={given}: must be auto, true or false.")
    return None if given == "auto" else bool(given)


def split_from(node: DictConfig) -> Split:
    """The split that a config describes; of one with ``fold`` the folds of that number or those numbers."""
    bare, chosen = node.copy(), node.get("fold")
    with open_dict(bare):
        bare.pop("fold", None)
    split: Split = make(bare, "split", "split")
    return split if chosen is None else Chosen(split, chosen)


def study_from(cfg: DictConfig, folder: Path, resume: bool = False) -> Study:
    """The study that a checked config describes."""
    training, dataset = training_plan(cfg), dataset_from(cfg)
    fill_classes(cfg, dataset.table)
    model = model_plan(cfg)
    return Study(
        dataset=dataset,
        model=model,
        training=training,
        split=split_from(cfg.split),
        folder=folder,
        seeds=tuple(select(cfg, "seeds", None) or [cfg.seed]),
        ablation=cfg.ablation,
        on_error=cfg.data.on_error,
        cache_gb=0.0 if cfg.data.cache == "none" else cfg.data.cache_gb,
        store=PreparedStore(_cache_root(cfg) / "prepared", cfg.cache.gb) if cfg.data.cache == "disk" else None,
        encode_once=cfg.training.encode_once,
        features=None if cfg.data.cache == "none" else _cache_root(cfg) / "features",
        features_gb=cfg.cache.gb,
        stack=_auto(cfg.training.stack, "training.stack"),
        resume=resume,
    )
