"""Losses that bring the modalities of one sample together, beside the task's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, logsigmoid, normalize

from mmdx.strategies.base import Strategy, any_of, mean_over, require, squared_error, with_loss, zeroed
from mmdx.types import Features, FusionOutput

FAR = -1e9
"""In the place of minus infinity, whose differences are not numbers where a batch has no pair at all."""


class Alignment(Strategy):
    """A strategy with a loss ``weight * L`` on projections ``z_m = P_m LN(x_m)`` of pooled features; ``loss`` says which. It is computed in
    training, in 32 bits.

    What it aligns must be what the fusion sees, or it would change nothing where the encoders are frozen: an adapter, ``t + V gelu(W LN(t))`` with
    V begun at zero (Houlsby et al. 2019, arXiv:1902.00751, section 2), lies between the encoders and both, and learns from both losses. A single
    modality has nothing to be aligned with and goes to the fusion inside as it is.

    Args:
        widths, fusion: as of ``Strategy``.
        weight: of the loss; 0 leaves the adapter, for a comparison in which the loss alone differs.
        width: P, of the projections.
        adapter: hidden width of the adapter; 0 for none, where encoders are trained, so that logits are those of the fusion inside.

    Shapes:
        as of the fusion inside; ``aux_losses["alignment"]``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, weight: float, width: int, adapter: int) -> None:
        super().__init__(widths, fusion)
        require(weight >= 0, "alignment.weight", weight, "0 or more")
        require(width > 0, "alignment.width", width, "above 0")
        require(adapter >= 0, "alignment.adapter", adapter, "0 or more")
        self.weight = weight
        several = self.modalities if len(self.modalities) > 1 else []
        self.adapter = nn.ModuleDict({m: _adapter(self.widths[m], adapter) for m in several if adapter})
        self.project = nn.ModuleDict({
            m: nn.Sequential(nn.LayerNorm(self.widths[m]), nn.Linear(self.widths[m], width, bias=False)) for m in several
        })

    def loss(self, z: Mapping[str, Tensor], x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch, from projections [B, P], pooled features before the adapter [B, D_m], and presence [B]."""
        raise NotImplementedError

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Adapt, fuse, and align."""
        if len(self.modalities) == 1:
            return self.fusion(features, present)
        given = zeroed(features, present, self.widths)
        adapted = self._adapted(given)
        output = self.fusion(adapted, present)
        return with_loss(output, "alignment", self.weight * self._loss(given, adapted, present)) if self.training else output

    def measure(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch without its weight, of two modalities or more; in evaluation too."""
        given = zeroed(features, present, self.widths)
        return self._loss(given, self._adapted(given), present)

    def _adapted(self, given: Mapping[str, Features]) -> dict[str, Features]:
        return {m: Features(f.tokens + self.adapter[m](f.tokens), f.mask) if m in self.adapter else f for m, f in given.items()}

    def _loss(self, given: Mapping[str, Features], adapted: Mapping[str, Features], present: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(next(iter(present.values())).device.type, enabled=False):
            pooled = {m: Features(f.tokens.float(), f.mask).pooled for m, f in adapted.items()}
            x = {m: Features(f.tokens.float(), f.mask).pooled for m, f in given.items()}
            return self.loss({m: self.project[m](pooled[m]) for m in self.modalities}, x, present)


def _adapter(width: int, hidden: int) -> nn.Module:
    up = nn.Linear(hidden, width)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), up)


class Pairwise(Alignment):
    """An alignment of each pair of modalities, on the rows that have both: the mean over pairs of ``pair``; 0 for a pair that no row has."""

    def pair(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """The loss of projections a and b [B, P] over some rows [B]."""
        raise NotImplementedError

    def loss(self, z: Mapping[str, Tensor], x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Mean over pairs."""
        pairs = itertools.combinations(self.modalities, 2)
        return torch.stack([self.pair(z[m], z[o], present[m] & present[o]) for m, o in pairs]).mean()


class InfoNCE(Pairwise):
    """Contrastive alignment of CLIP (Radford et al. 2021, arXiv:2103.00020, section 2.3 and figure 3).

    ``L = (CE(s A B^T) + CE(s B A^T)) / 2``, the cross-entropy of each row's own partner among the batch's, A and B the projections of unit length,
    s a learned scale, begun at 1/0.07 and at most 100.

    Deviations: any pairs of modalities in the place of image and text, one scale for all pairs; the negatives are those of the batch in one
    process.

    Args:
        widths, fusion, weight, width, adapter: as of ``Alignment``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, weight: float = 0.1, width: int = 64, adapter: int = 64) -> None:
        super().__init__(widths, fusion, weight, width, adapter)
        self.log_scale = nn.Parameter(torch.full((1,), math.log(1 / 0.07))) if len(self.modalities) > 1 else None

    def pair(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """Mean over rows of the two cross-entropies."""
        assert self.log_scale is not None
        scores = self.log_scale.exp().clamp(max=100.0) * (normalize(a, dim=1) @ normalize(b, dim=1).T)  # [B, B]
        own = scores.diagonal()
        among_b = scores.masked_fill(~rows[None, :], FAR).logsumexp(dim=1)
        among_a = scores.masked_fill(~rows[:, None], FAR).logsumexp(dim=0)
        return mean_over((among_a + among_b) / 2 - own, rows)


class SigLIP(Pairwise):
    """Contrastive alignment by sigmoids (Zhai et al. 2023, arXiv:2303.15343, section 3.2 and algorithm 1).

    ``L = - 1/n sum_ij log sigmoid(y_ij (t a_i b_j + c))``, y 1 for a row's own partner and -1 for others, a and b of unit length, t learned and
    begun at 10, c learned and begun at -10. The sign of c is the algorithm's; the paper's printed sum has it the other way round.

    Deviations: any pairs of modalities, one t and c for all of them.

    Args:
        widths, fusion, weight, width, adapter: as of ``Alignment``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, weight: float = 0.1, width: int = 64, adapter: int = 64) -> None:
        super().__init__(widths, fusion, weight, width, adapter)
        several = len(self.modalities) > 1
        self.log_scale = nn.Parameter(torch.full((1,), math.log(10.0))) if several else None
        self.bias = nn.Parameter(torch.full((1,), -10.0)) if several else None

    def pair(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """Sum over partners, mean over rows."""
        assert self.log_scale is not None and self.bias is not None
        scores = self.log_scale.exp() * (normalize(a, dim=1) @ normalize(b, dim=1).T) + self.bias  # [B, B]
        place = torch.arange(rows.shape[0], device=rows.device)
        sign = torch.where(place[:, None] == place[None, :], 1.0, -1.0)
        return mean_over(-logsigmoid(sign * scores).where(rows[None, :], 0.0).sum(dim=1), rows)


class BarlowTwins(Pairwise):
    """Redundancy reduction (Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2).

    ``L = sum_i (1 - C_ii)^2 + off_diagonal * sum_i sum_{j != i} C_ij^2``, C the correlations [P, P] of the two modalities' projections over the
    batch.

    Deviations: two modalities of a sample in the place of two distorted views, a linear projection in the place of three layers. A pair with fewer
    than two rows counts 0.

    Args:
        widths, fusion, weight, width, adapter: as of ``Alignment``; the loss grows with the width.
        off_diagonal: the paper's lambda.
    """

    def __init__(
        self, widths: Mapping[str, int], fusion: nn.Module, weight: float = 0.01, width: int = 64, adapter: int = 64, off_diagonal: float = 0.005
    ) -> None:
        super().__init__(widths, fusion, weight, width, adapter)
        require(off_diagonal >= 0, "alignment.off_diagonal", off_diagonal, "0 or more")
        self.off_diagonal = off_diagonal

    def pair(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """From the correlations over the rows."""
        a, b = (v / (v.square().sum(dim=0) / _count(rows) + 1e-5).sqrt() for v in (_centred(a, rows), _centred(b, rows)))
        square = a.T @ b / _count(rows)  # [P, P]
        own = square.diagonal()
        loss = (1 - own).square().sum() + self.off_diagonal * (square.square().sum() - own.square().sum())
        return loss.where(rows.sum() > 1, 0.0 * loss)


class DeepCCA(Pairwise):
    """Deep canonical correlation analysis (Andrew et al. 2013, Deep canonical correlation analysis, ICML).

    ``L = 1 - 1/P sum of the singular values of S_a^{-1/2} S_ab S_b^{-1/2}``, the sum being the total canonical correlation, with ``S_a = A^T A /
    (n - 1) + r I`` of centred projections.

    Whitening is by Cholesky factors, ``L_a^{-1} S_ab L_b^{-T}``, which has the same singular values as with the roots; the gradient of their sum
    divides by no difference of eigenvalues, so it is finite for small batches too.

    Deviations: the loss is scaled to run from 0 to 1; r is large, since batches are; the paper takes the whole data as a batch. Correlations over
    fewer rows than projections are high by themselves: keep the width well below the batch's size. A pair with fewer than two rows counts 0.

    Args:
        widths, fusion, weight, width, adapter: as of ``Alignment``.
        ridge: the paper's r, above 0.
    """

    def __init__(
        self, widths: Mapping[str, int], fusion: nn.Module, weight: float = 0.1, width: int = 8, adapter: int = 64, ridge: float = 0.01
    ) -> None:
        super().__init__(widths, fusion, weight, width, adapter)
        require(ridge > 0, "alignment.ridge", ridge, "greater than 0")
        self.ridge = ridge

    def pair(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """From the covariances over the rows."""
        a, b = _centred(a, rows), _centred(b, rows)
        degrees, ridge = (_count(rows) - 1).clamp(min=1), self.ridge * torch.eye(a.shape[1], device=a.device)
        factor_a, factor_b = (torch.linalg.cholesky(v.T @ v / degrees + ridge) for v in (a, b))
        half = torch.linalg.solve_triangular(factor_a, a.T @ b / degrees, upper=False)  # L_a^{-1} S_ab
        whole = torch.linalg.solve_triangular(factor_b, half.T, upper=False)
        loss = 1 - torch.linalg.svdvals(whole).mean()
        return loss.where(rows.sum() > 1, 0.0 * loss)


class MaskedModality(Alignment):
    """Masked modality modelling: a modality that is hidden is reconstructed from the others (masked autoencoders, He et al. 2021,
    arXiv:2111.06377, across modalities as in MultiMAE, Bachmann et al. 2022, arXiv:2204.01678).

    ``L = mean of |LN(x_m) - R_m gelu(mean of z_o)|^2 / D_m`` over modalities m and the rows that have m and another, the inner mean over the
    others o that are present; normalised targets are those of He et al., section 3. No gradient reaches the target.

    Deviations: whole modalities are hidden, each in turn, not random patches; pooled features and one layer in the place of patches and a
    Transformer.

    Args:
        widths, fusion, weight, width, adapter: as of ``Alignment``.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module, weight: float = 0.1, width: int = 64, adapter: int = 64) -> None:
        super().__init__(widths, fusion, weight, width, adapter)
        several = self.modalities if len(self.modalities) > 1 else []
        self.reconstruct = nn.ModuleDict({m: nn.Linear(width, self.widths[m]) for m in several})

    def loss(self, z: Mapping[str, Tensor], x: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Mean over modalities of the error of what is reconstructed."""
        losses = []
        for m in self.modalities:
            others = self.others(m)
            count = torch.stack([present[o] for o in others]).sum(dim=0).clamp(min=1)[:, None]
            mean = torch.stack([z[o].where(present[o][:, None], 0.0) for o in others]).sum(dim=0) / count
            target = layer_norm(x[m], x[m].shape[1:])
            losses.append(squared_error(target, self.reconstruct[m](gelu(mean)), present[m] & any_of(present, others)))
        return torch.stack(losses).mean()


def _count(rows: Tensor) -> Tensor:
    return rows.sum().clamp(min=1)


def _centred(values: Tensor, rows: Tensor) -> Tensor:
    """Values [B, P] less their mean over some rows, zero in the others."""
    here = rows[:, None]
    return (values - values.where(here, 0.0).sum(dim=0) / _count(rows)).where(here, 0.0)
