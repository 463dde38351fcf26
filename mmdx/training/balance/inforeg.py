"""The encoder that is ahead is held back while it takes in information fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step, encoder_parameters, weighted
from mmdx.training.distributed import sum_over_processes
from mmdx.training.model import MultimodalModel
from mmdx.types import Features


class InformationRegulation(Balance):
    """Information acquisition regulation, InfoReg (Huang et al. 2025, CVPR, arXiv:2503.18595, section 3.3 and algorithm 1).

    ``Tr(F_m)``, the mean over an epoch's steps of the squared length of the encoder's gradient (eq. 7, of steps as in eq. 13), stands for how
    much information encoder m takes in. In an epoch t where ``(Tr_{t-1} - Tr_{t-2}) / Tr_{t-1} > threshold`` (eq. 11, the prime learning window),
    the gradient of the encoder's weights w becomes ``g + a (w - w_0)``, that of ``a / 2 |w - w_0|^2`` (eq. 12), with w_0 the weights at the
    beginning of the epoch and ``a = exp(beta tanh(gap_m))`` (eq. 16) where ``gap_m > 0``, else 0. gap_m is by how much modality m's score in that
    step is above the mean score of those below it (eq. 9 and 10), the score being minus the loss of its own logits. The first two epochs are left
    as they are.

    The trace may be averaged over the last ``average`` epochs, those before the first counted as 0: 1 is eq. 11, and 10 the authors' code, in which
    the window of a trace that stays as it is closes after ten epochs.

    Deviations: the score has the sign that the paper's text gives it, eq. 8 being a loss of which the lowest would be the worst; the authors'
    code sums probabilities over the batch in its place. It is of any task's loss, from linear heads on the encoders' features, in the place of
    parts of the fusion's last layer; with ``own_loss`` 0 they learn without sending a gradient to the encoders, the paper's InfoReg, and with 1
    the encoders learn from these losses too, its InfoReg*. Each modality's window is its own trace's, as in the paper; in the authors' code it is
    that of the audio for all, regulation begins in the first epoch, the trace is a sum of means over layers, and the strengths of the two
    modalities are different. The trace is that of the gradient before regulation. Scores are over the rows that have the modality, of all
    processes together; a modality that none of a step's rows have is neither held back nor counted. An optimiser that divides by the gradient's
    size, as AdamW does, divides the pull too; the paper's is SGD. It costs a copy of the weights of the encoders that are in the window.

    Args:
        widths, head, kind: as of ``Balance``.
        beta: how much the strength grows with the gap, from 1 to ``exp(beta)``; 0.9 is the paper's best.
        threshold: K, of the trace's growth; 0.04 is the paper's best.
        average: over how many epochs the trace is averaged.
        own_loss: weight of the losses of the heads in what the encoders learn.
    """

    name = "inforeg"

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        kind: str = "binary",
        beta: float = 0.9,
        threshold: float = 0.04,
        average: int = 10,
        own_loss: float = 0.0,
    ) -> None:
        super().__init__(widths, head, kind)
        require(beta >= 0, "balance.beta", beta, "0 or more")
        require(isinstance(average, int) and average >= 1, "balance.average", average, "a whole number above 0")
        require(own_loss >= 0, "balance.own_loss", own_loss, "0 or more")
        self.beta, self.threshold, self.average, self.own_loss = beta, threshold, average, own_loss
        self.traces: dict[str, list[float]] = {m: [] for m in self.modalities}  # of the last epochs
        self.begin: dict[str, list[Tensor]] | None = None  # weights at the epoch's beginning, of encoders in the window
        self.scores: Tensor | None = None  # [M, 2], sums and counts since the last step
        self.squares: list[Tensor] = []  # [M] of each step
        self.regulated: list[Tensor] = []  # [M] of each step

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """Add the heads' losses, and take down how well each modality does."""
        if self.begin is None:
            inside = [m for m in self.modalities if growth(self.traces[m], self.average) > self.threshold]
            self.begin = {m: [p.detach().clone() for p in encoder_parameters(step.model, m)] for m in inside}
        features = {m: Features(torch.lerp(own.tokens.detach(), own.tokens, self.own_loss), own.mask) for m, own in step.features.items()}
        losses = [*self.own_losses(step, self.own_logits(features)).values()]
        scores = weighted([-own for own in losses], [step.batch.present[m].sum() for m in self.modalities])
        self.scores = scores if self.scores is None else self.scores + scores
        return joint + torch.stack(losses).sum()

    def before_step(self, model: MultimodalModel, batches: int, seed: int) -> None:
        """Take down the gradients' squared lengths, and draw the encoders in the window to where the epoch began."""
        if self.scores is None or self.begin is None:
            return
        gap = gaps(sum_over_processes(self.scores))
        strength = torch.where(gap > 0, torch.exp(self.beta * torch.tanh(gap)), 0.0)
        strength = strength * torch.tensor([m in self.begin for m in self.modalities], device=gap.device)
        squares = []
        for m, own in zip(self.modalities, strength, strict=True):
            parameters = encoder_parameters(model, m)
            squares.append(sum((p.grad.float().square().sum() for p in parameters if p.grad is not None), gap.new_zeros(())))
            for p, w in zip(parameters, self.begin[m], strict=True) if m in self.begin else []:
                if p.grad is not None:
                    p.grad.add_(own.to(p) * (p.detach() - w))
        self.squares.append(torch.stack(squares))
        self.regulated.append((strength > 0).float())
        self.scores = None

    def end_epoch(self) -> dict[str, float]:
        """The trace of each modality, and the share of steps in which its encoder was held back."""
        self.begin = None
        if not self.squares:
            return {}
        squares = torch.stack(self.squares)
        finite = squares.isfinite()  # others are steps that 16-mixed precision leaves out
        found = sum_over_processes(torch.stack([squares.where(finite, 0.0).sum(dim=0), finite.sum(dim=0).to(squares)]))
        traces = (found[0] / found[1].clamp(min=1)).tolist()
        regulated = torch.stack(self.regulated).mean(dim=0).tolist()
        self.squares, self.regulated = [], []
        for m, trace in zip(self.modalities, traces, strict=True):
            self.traces[m] = [*self.traces[m], trace][-self.average - 1 :]
        named = [("fisher", traces), ("regulated", regulated)]
        return {f"{name}_{m}": value for name, values in named for m, value in zip(self.modalities, values, strict=True)}

    def progress(self) -> dict[str, Any]:
        """The traces that the next windows are found from."""
        return {"traces": self.traces}

    def take_up(self, progress: Mapping[str, Any]) -> None:
        """Take back what ``progress`` returned."""
        self.traces = progress["traces"]


def growth(traces: list[float], average: int) -> float:
    """By what share of itself the mean of the last ``average`` traces grew, those before the first being 0; minus infinity of fewer than two."""
    padded = [0.0] * average + traces
    now, before = sum(padded[-average:]), sum(padded[-average - 1 : -1])
    return (now - before) / now if len(traces) > 1 and now > 0 else -math.inf


def gaps(scores: Tensor) -> Tensor:
    """``gap_m`` [M] from sums and counts [M, 2] of scores: the mean distance to those below; 0 for the lowest, and for who has no rows."""
    there = scores[:, 1] > 0
    mean = scores[:, 0] / scores[:, 1].clamp(min=1)
    above = mean[:, None] - mean
    counted = (above > 0) & there[:, None] & there
    return above.where(counted, 0.0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
