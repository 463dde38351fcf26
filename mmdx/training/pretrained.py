"""An encoder that begins as an earlier run left it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from mmdx.encoders.weights import fit_state, read_state_dict
from mmdx.errors import InputError
from mmdx.training.build import read_fitted
from mmdx.training.earlier import EarlierRun


class PretrainedEncoder:
    """The weights of an encoder, and of what sums up its items, from the run folder that ``encoders.NAME.pretrained`` names, with what its transform
    had learned from that run's training part (a vocabulary, a scaling), which is not fitted again. Files are read when they are needed: a trained
    model is evaluated without them.

    Args:
        given: the folder of the run, or ``RUN/models/NAME`` where it has several models.
        name: of the encoder, in both runs.
        data: what the next run has under ``data``.
    """

    def __init__(self, given: str, name: str, data: Mapping[str, Any]) -> None:
        self.given, self.name, self.data = given, name, data

    @cached_property
    def run(self) -> EarlierRun:
        """The run, in which there is such an encoder.

        Raises:
            InputError: where it isn't a finished run with one model, or has no encoder of that name.
        """
        run = EarlierRun(self.given, f"encoders.{self.name}.pretrained", self.data)
        if self.name not in run.model["modalities"]:
            raise InputError(f"{run.named}: has no encoder of that name; it has {', '.join(run.model['modalities'])}.")
        if run.config["training"]["encode_once"]:
            raise InputError(f"{run.named}: trained heads on frozen features and kept no encoders; give a run that trained its encoders.")
        return run

    @property
    def fitted(self) -> dict[str, Any]:
        """The transform's state."""
        state: dict[str, Any] = read_fitted(self.run.folder_of(self.run.model))["inputs"][self.name]
        return state

    def load(self, encoder: nn.Module) -> None:
        """Put the weights in.

        Raises:
            InputError: where names or shapes differ.
        """
        fit_state(encoder, self._weights("encoders"), self.run.named, lambda name: False)

    def load_aggregator(self, aggregator: nn.Module) -> None:
        """Put the weights of what sums up its items in, where the run had such a part.

        Raises:
            InputError: where names or shapes differ.
        """
        if own := self._weights("aggregators"):
            fit_state(aggregator, own, self.run.named, lambda name: False)

    def _weights(self, part: str) -> dict[str, Tensor]:
        prefix = f"model.{part}.{self.name}."
        state = read_state_dict(self.run.checkpoint_of(self.run.model))
        return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}

    def check_patients(self, table: pd.DataFrame, contents: np.ndarray, tested: np.ndarray) -> str:
        """A sentence on how many of the rows that are to be tested on the encoder was trained on before.

        Raises:
            InputError: where it learned from labels of any of them, or a run's folder is gone.
        """
        known = np.zeros(len(tested), dtype=bool)
        for run in (self.run, *self.run.behind()):
            here = np.any([run.knows(model, table, contents, tested) for model in run.models], axis=0)
            if run.uses_labels and here.any():
                raise InputError(
                    f"{self.run.named}: {run.folder} was trained with labels on {here.sum()} of the {len(tested)} test samples or their patients; "
                    "train it on the training part of this split or on other data, or without labels (training=pretraining)."
                )
            known |= here
        return f"encoders.{self.name}: pretrained, without labels, on {known.sum()} of the {len(tested)} test samples or their patients."
