"""MedFuse: a recurrent network reads the modalities one after the other and leaves out those that are absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.types import Features, FusionOutput


class MedFuse(nn.Module):
    """MedFuse (Hayat et al. 2022, MLHC, arXiv:2207.07027), for any number of modalities.

    The modalities are a sequence of one token each, ``v_m = W_m x_m + b_m``, which an LSTM reads; its last state goes to the head. A modality
    that is absent is left out of the sequence: the state passes by it unchanged. A step is ``i, f, g, o = A v + b + R h`` in four parts,
    ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``, ``h' = sigmoid(o) tanh(c')``.

    Deviations: the order is alphabetical unless ``order`` says otherwise, where the paper reads the records before the film; any modality may be
    absent, in the paper only the second (the X-ray). Each is projected, the first too, which in the paper has the LSTM's input width already; a
    linear map before the LSTM's own adds nothing to what it can be. The paper first trains each encoder by itself, which is left to the training
    settings. Dropout before the head is ours.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the LSTM's width.
        hidden: the width H of tokens and state.
        order: in which the modalities are read, all of them; alphabetical where it isn't given.
        dropout: share of the last state's units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where ``order`` isn't the modalities, each once.
    """

    method = Method("missing", "Hayat et al. 2022, arXiv:2207.07027", absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        order: Sequence[str] | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.order = self.modalities if order is None else list(order)
        if sorted(self.order) != self.modalities:
            raise InputError(f"fusion.order={self.order}: must name each of the modalities {self.modalities} once, or be left out.")
        self.project = nn.ModuleDict({m: nn.Linear(self.widths[m], hidden) for m in self.modalities})
        self.gates = nn.Linear(hidden, 4 * hidden)
        self.recurrent = nn.Linear(hidden, 4 * hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        tokens = {m: self.project[m](x[m]) for m in self.order}
        state = cell = torch.zeros_like(tokens[self.order[0]])  # [B, H]
        for m in self.order:
            here = present[m][:, None]
            i, f, g, o = (self.gates(tokens[m]) + self.recurrent(state)).chunk(4, dim=-1)
            changed = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = (o.sigmoid() * changed.tanh()).where(here, state)
            cell = changed.where(here, cell)
        return FusionOutput(self.head(self.dropout(state)))
