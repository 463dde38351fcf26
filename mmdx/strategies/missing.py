"""What stands in for an absent modality; the fusion inside then sees every modality as present."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmdx.fusion.base import check_width, present_pooled
from mmdx.strategies.base import Strategy, any_of, require, squared_error, with_loss
from mmdx.types import Features, FusionOutput

UNIT = 10.0
"""Learned means are counted in tens, so that one step of Adam moves a mean ten times as far as another weight, and one of SGD no further."""


class Completed(Strategy):
    """A strategy that completes each sample. Rows of a modality that are there are passed on as they are, so a complete sample's output is
    that of the fusion inside, and one token stands in where it is absent. Of the output, ``weights`` and ``per_modality`` are 0 where a modality is
    absent, as everywhere; where weights sum up to less than 1 the rest is that of the stand-ins.
    """

    def completed(self, features: Mapping[str, Features], present: Mapping[str, Tensor], stand_ins: Mapping[str, Tensor]) -> FusionOutput:
        """The inner fusion's output with a stand-in [B, D_m] or [D_m] where a modality is absent."""
        for m in self.modalities:
            check_width(m, features, self.widths)
        full = {m: _completed(features[m], present[m], stand_ins[m]) for m in self.modalities}
        output = self.fusion(full, {m: torch.ones_like(present[m]) for m in self.modalities})
        own = {m: logits.where(present[m][:, None], 0.0) for m, logits in output.per_modality.items()}
        weights = {m: weight.where(present[m], 0.0) for m, weight in output.weights.items()}
        return FusionOutput(output.logits, own, weights, output.aux_losses)


def _completed(features: Features, present: Tensor, stand_in: Tensor) -> Features:
    tokens, mask = features
    stand_in = stand_in.to(tokens.dtype).expand(tokens.shape[0], tokens.shape[2])[:, None]  # [B, 1, D]
    first = torch.arange(tokens.shape[1], device=tokens.device) == 0
    here = present[:, None]
    return Features(torch.where(here[:, :, None], tokens, stand_in), (here & mask) | (~here & first))  # ONNX has no where of masks


class LearnedTokens(Completed):
    """A learned token ``e_m`` takes the place of an absent modality, as the mask token of masked autoencoders takes that of a hidden patch (He et
    al. 2021, arXiv:2111.06377, section 3). It is learned from the task's loss alone.

    Deviations: one token for a whole modality, however many tokens its encoder makes.

    Args:
        widths, fusion: as of ``Strategy``.

    Shapes:
        as of the fusion inside.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module) -> None:
        super().__init__(widths, fusion)
        self.token = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(self.widths[m])) for m in self.modalities})

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Complete and fuse."""
        return self.completed(features, present, dict(self.token.items()))


class MeanImputation(Completed):
    """Mean imputation: the mean ``mu_m`` of the modality's pooled training features takes its place (Little & Rubin 2002, Statistical Analysis
    with Missing Data).

    ``mu_m`` is a parameter with a loss of its own, ``mean over the rows that have m of |x_m - mu_m|^2 / D_m`` with no gradient to ``x_m``, whose
    minimum is the mean; no gradient of the task reaches it. It follows features that are themselves being learned, and needs no pass over the data
    and no buffer, which heads that are trained at once could not update.

    Deviations: the mean is approached, not computed: after n steps of Adam it is at most about 10 n lr from 0, where it begins. Its loss is
    counted in units of 10 (``UNIT``), so it is below the error by 100.

    Args:
        widths, fusion: as of ``Strategy``.

    Shapes:
        as of the fusion inside; ``aux_losses["imputation"]``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module) -> None:
        super().__init__(widths, fusion)
        self.tens = nn.ParameterDict({m: nn.Parameter(torch.zeros(self.widths[m])) for m in self.modalities})

    def mean(self, modality: str) -> Tensor:
        """The mean so far, [D_m]."""
        return UNIT * self.tens[modality]

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Complete and fuse."""
        output = self.completed(features, present, {m: self.mean(m).detach() for m in self.modalities})
        if not self.training:
            return output
        x = present_pooled(features, present, self.widths)
        losses = [squared_error(x[m] / UNIT, self.tens[m], present[m]) for m in self.modalities]
        return with_loss(output, "imputation", torch.stack(losses).mean())


class Predicted(Completed):
    """A strategy that predicts an absent modality's pooled features from those that are present; ``guesses`` says how.

    Every guess of a modality is made without it, so each row that has it and another one is an example of what to predict: hidden to its own
    guess, it is the target of ``mean of |x_m - guess_m|^2 / D_m`` (mean over those rows, then over modalities). No gradient reaches the target,
    nor does one of the task reach the guess, which stays a prediction. A modality that is the only one has no guess.

    Args:
        widths, fusion: as of ``Strategy``.
        weight: of the loss; above 0.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, weight: float) -> None:
        super().__init__(widths, fusion)
        require(weight > 0, "missing.weight", weight, "greater than 0, since nothing else trains what predicts")
        self.weight = weight

    def guesses(self, x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of each modality a guess [B, D_m] from the others, whose pooled features [B, D] are zero where absent."""
        raise NotImplementedError

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Complete and fuse."""
        if len(self.modalities) == 1:
            return self.fusion(features, present)
        x = present_pooled(features, present, self.widths)
        guesses = self.guesses(x, present)
        output = self.completed(features, present, {m: guess.detach() for m, guess in guesses.items()})
        if not self.training:
            return output
        losses = [squared_error(x[m], guesses[m], present[m] & any_of(present, self.others(m))) for m in self.modalities]
        return with_loss(output, "imputation", self.weight * torch.stack(losses).mean())


class CrossModalRegression(Predicted):
    """Regression imputation (Buck 1960, J. R. Stat. Soc. B 22:302) by a small network a modality, as cross-modal predictors do for features (Tran
    et al. 2017, Missing modalities imputation via cascaded residual autoencoder, CVPR).

    ``guess_m = V gelu(W [x_o, present_o for every other o] + b) + c``, with ``x_o`` zero where absent.

    Deviations: one hidden layer and one network for each absent modality in the place of a cascade of autoencoders; a guess is made once, not
    refined.

    Args:
        widths, fusion, weight: as of ``Predicted``.
        hidden: width of the network's hidden layer.

    Shapes:
        as of the fusion inside; ``aux_losses["imputation"]``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, hidden: int = 128, weight: float = 1.0) -> None:
        super().__init__(widths, fusion, weight)
        require(hidden > 0, "missing.hidden", hidden, "above 0")
        many = len(self.modalities) > 1
        self.predict = nn.ModuleDict({m: self._network(m, hidden) for m in self.modalities if many})

    def _network(self, modality: str, hidden: int) -> nn.Module:
        given = sum(self.widths[o] + 1 for o in self.others(modality))
        return nn.Sequential(nn.Linear(given, hidden), nn.GELU(), nn.Linear(hidden, self.widths[modality]))

    def guesses(self, x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of each modality a guess [B, D_m] from the others."""
        known = {m: torch.cat([x[m], present[m][:, None].to(x[m].dtype)], dim=1) for m in self.modalities}
        return {m: self.predict[m](torch.cat([known[o] for o in self.others(m)], dim=1)) for m in self.modalities}


class NearestPrototypes(Predicted):
    """Soft nearest-neighbour imputation: the mean of learned prototypes, weighted by how near they are in the modalities that are present
    (nearest-neighbour imputation: Troyanskaya et al. 2001, Bioinformatics 17:520, whose neighbours are training samples weighted by distance).

    A prototype k has a part ``c_km`` in each modality. ``guess_m = sum_k r_k c_km`` with ``r = softmax_k(-d_k / temperature)``, ``d_k`` the mean
    over the present others o of ``|x_o - c_ko|^2 / sqrt(D_o)``.

    Deviations: K learned prototypes stand for the bank of training samples, so that heads can be stacked and no patient's features are kept in the
    model; all of them count, the near ones more. They begin as draws from a standard normal, which fits standardised features.

    Args:
        widths, fusion, weight: as of ``Predicted``.
        prototypes: K.
        temperature: of the softmax; small takes the nearest alone.

    Shapes:
        as of the fusion inside; ``aux_losses["imputation"]``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, prototypes: int = 64, temperature: float = 1.0, weight: float = 1.0) -> None:
        super().__init__(widths, fusion, weight)
        require(prototypes > 1, "missing.prototypes", prototypes, "2 or more")
        require(temperature > 0, "missing.temperature", temperature, "greater than 0")
        self.temperature = temperature
        many = len(self.modalities) > 1
        self.prototype = nn.ParameterDict({m: nn.Parameter(torch.randn(prototypes, self.widths[m])) for m in self.modalities if many})

    def guesses(self, x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of each modality a guess [B, D_m] from the others."""
        far = {m: self._distances(x[m], self.prototype[m]).where(present[m][:, None], 0.0) for m in self.modalities}
        found = {}
        for m in self.modalities:
            several = torch.stack([present[o] for o in self.others(m)]).sum(dim=0).clamp(min=1)[:, None]  # [B, 1]
            mean = torch.stack([far[o] for o in self.others(m)]).sum(dim=0) / several  # [B, K]
            found[m] = (-mean / self.temperature).softmax(dim=1) @ self.prototype[m]
        return found

    @staticmethod
    def _distances(x: Tensor, prototypes: Tensor) -> Tensor:
        """``|x - c_k|^2 / sqrt(D)``, [B, K], without the [B, K, D] of the differences."""
        square = x.square().sum(dim=1, keepdim=True) - 2 * (x @ prototypes.T) + prototypes.square().sum(dim=1)
        return square / math.sqrt(x.shape[1])
