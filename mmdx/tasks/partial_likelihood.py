"""Cox's partial likelihood, with tied events."""

from __future__ import annotations

import torch
from torch import Tensor

TIES = ("efron", "breslow")


def partial_log_likelihood(log_hazard: Tensor, time: Tensor, event: Tensor, ties: str = "efron") -> Tensor:
    """Cox's log partial likelihood of samples that are each other's risk set, a scalar.

    With R the sum of exp(f) over those at risk at a time, D over its d tied events, Breslow has ``sum f - d log R`` of each time, and Efron
    ``sum f - sum_{l < d} log(R - (l / d) D)``.

    Args:
        log_hazard: f, [n].
        time: [n].
        event: [n] bool.
        ties: "efron" or "breslow".
    """
    log_hazard = log_hazard.to(torch.promote_types(log_hazard.dtype, torch.float32))
    order = time.argsort(descending=True, stable=True)
    f, happened = log_hazard[order], event[order]
    _, place, size = time[order].unique_consecutive(return_inverse=True, return_counts=True)
    log_at_risk = f.logcumsumexp(dim=0)[size.cumsum(dim=0) - 1][place]  # of everyone with this time or a later one
    if ties == "breslow":
        return (f - log_at_risk)[happened].sum()
    share = torch.where(happened, (f - log_at_risk).exp(), 0.0)
    tied = torch.zeros_like(share[: len(size)]).index_add(0, place, share)  # D / R of each time
    number = happened.cumsum(dim=0)
    events = torch.zeros_like(size).index_add(0, place, happened.long())
    earlier = (number - 1) - (events.cumsum(dim=0) - events)[place]  # l
    taken = (earlier / events[place].clamp(min=1)).to(f.dtype) * tied[place]
    return (f - log_at_risk - torch.log1p(-taken.where(happened, torch.zeros_like(taken))))[happened].sum()
