"""A finished run as a source for the next one: its models, how they were trained, and whom of the next one's patients they know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from mmdx.data.kept_folds import KeptFolds
from mmdx.errors import InputError
from mmdx.evaluation.fingerprint import fingerprint
from mmdx.kept_config import read_config

CONFIG, LISTED, FINISHED = "config.yaml", "models.json", "metrics.json"
SOURCE = ("name", "_target_", "root", "path", "seed")
"""Keys under ``data`` that say which patients are in it."""


class EarlierRun:
    """A run that has finished, told by its folder, or by that of one of its models, ``RUN/models/NAME``.

    Args:
        given: the folder.
        key: of the config that names it, as it is called in messages.
        data: what the next run has under ``data``.

    Attributes:
        folder: the run's.
        config: the run's, as plain Python.

    Raises:
        InputError: where no finished run with models is there, or its config cannot be read.
    """

    def __init__(self, given: str, key: str, data: Mapping[str, Any]) -> None:
        self.named, self.data = f"{key}={given}", data
        place = Path(given).expanduser()
        self.one = place.name if place.parent.name == "models" else None
        self.folder = place.parents[1] if self.one else place
        if not (self.folder / CONFIG).exists():
            raise InputError(f"{self.named}: no run there (no {CONFIG}); give the folder of a finished run, or RUN/models/NAME of one of its models.")
        if not (self.folder / LISTED).exists() or not (self.folder / FINISHED).exists():
            raise InputError(f"{self.named}: the run has not finished, or holds no trained models (no {LISTED} or no {FINISHED}).")
        try:
            config: Any = OmegaConf.to_container(read_config(self.folder / CONFIG, ("data", "encoders", "training")), resolve=False)
        except InputError as fault:
            raise InputError(f"{self.named}: {fault}") from None
        self.config: dict[str, Any] = config

    @cached_property
    def models(self) -> list[dict[str, Any]]:
        """What ``models.json`` says of the model that was named, or of all with every modality.

        Raises:
            InputError: where there is none of that name.
        """
        listed = json.loads((self.folder / LISTED).read_text(encoding="utf-8"))
        full = set(self.config["encoders"])
        found = [model for model in listed if (model["name"] == self.one if self.one else set(model["modalities"]) == full)]
        if not found:
            raise InputError(f"{self.named}: the run has no such model; it has {', '.join(model['name'] for model in listed)}.")
        return found

    @property
    def model(self) -> dict[str, Any]:
        """The only model there is to take.

        Raises:
            InputError: where there are several, of different seeds or folds.
        """
        if len(self.models) > 1:
            names = [model["name"] for model in self.models]
            more = ", ..." if len(names) > 4 else ""
            raise InputError(f"{self.named}: holds {len(names)} models ({', '.join(names[:4])}{more}); name one: {self.folder}/models/{names[0]}.")
        return self.models[0]

    def folder_of(self, model: Mapping[str, Any]) -> Path:
        """Where one of its models is kept."""
        return self.folder / "models" / str(model["name"])

    def checkpoint_of(self, model: Mapping[str, Any]) -> Path:
        """The weights of one of its models, those of the epoch that its config takes."""
        return self.folder_of(model) / "checkpoints" / f"{self.config['training']['checkpoint']}.ckpt"

    @property
    def uses_labels(self) -> bool:
        """Whether the diagnosis was in the loss."""
        training = self.config["training"]
        return training.get("fused_loss", 1.0) > 0 or training.get("per_modality_loss", 0.0) not in ("auto", 0, 0.0)

    def behind(self) -> Iterator[EarlierRun]:
        """The runs that its own encoders began from, and those that taught it, and theirs."""
        named = {f"encoders.{name}.pretrained": (node or {}).get("pretrained") for name, node in self.config["encoders"].items()}
        named["distillation.run"] = (self.config.get("distillation") or {}).get("run")
        for key, given in named.items():
            if given:
                run = EarlierRun(str(given), key, self.data)
                yield run
                yield from run.behind()

    @cached_property
    def _kept(self) -> KeptFolds:
        return KeptFolds.read(self.folder)

    def knows(self, model: Mapping[str, Any], table: pd.DataFrame, contents: np.ndarray, rows: np.ndarray, same: bool = False) -> np.ndarray:
        """Of some rows of the next run's data whether a model was trained on them or their patients, or chosen by them, bool [n].

        Rows are told by their content; by their ids, and those of their patients, where the data is the same by name, folder, file and seed, or
        shares a row's content with it, or is said to be the ``same``.
        """
        before, now = ({key: data.get(key) for key in SOURCE} for data in (self.config["data"], self.data))
        return self._kept.knows(str(model["fold"]), table, contents, rows, same or before == now)

    def described(self, model: Mapping[str, Any]) -> dict[str, str]:
        """For a run's provenance: the folder and a hash of the weights."""
        return {"run": str(self.folder_of(model)), "sha256": fingerprint(self.checkpoint_of(model))}
