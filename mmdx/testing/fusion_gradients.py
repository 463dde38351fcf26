"""Do a fusion's gradients reach what they must, and nothing else?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdx.testing.fusion_case import NOT_NUMBERS, Case, Inputs, absent, filled, masked_as, mode, padding, rows
from mmdx.types import Features

DRAWS = 20
"""So many times a modality may be dropped by chance in training before it counts as one that is never heard."""


def check_gradients(case: Case) -> None:
    """They reach what they must, and are finite, whatever is absent."""
    for training in (False, True):
        _check_reach(case, training)
    features, present = case.inputs
    _check_finite(case, (features, present), NOT_NUMBERS[:1] if len(case.widths) > 1 else NOT_NUMBERS, "")
    for gone in case.widths if len(case.widths) > 1 else ():
        there = {m: here & (m != gone) for m, here in present.items()}
        some = torch.stack(list(there.values())).any(dim=0)
        _check_finite(case, rows((features, there), some), NOT_NUMBERS, f", {gone} absent from the whole batch")


def _check_reach(case: Case, training: bool) -> None:
    """The logits hear every modality wherever it is there, and nowhere else."""
    inputs = case.inputs
    nowhere = {m: gone | pad for (m, gone), pad in zip(absent(inputs).items(), padding(inputs).values(), strict=True)}
    fusion, unheard = case.made().train(training), set(case.widths)
    for seed in range(DRAWS if training else 1):
        torch.manual_seed(seed)
        leaves, watched = _watched(inputs)
        logits = fusion(*watched).logits
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(4))
        gradients = torch.autograd.grad((logits * weights).sum(), list(leaves.values()), allow_unused=True)
        for m, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                assert gradient.isfinite().all(), f"{case}: the gradient towards the features of {m} is not finite ({mode(training)})"
                reached = (gradient != 0).any(dim=2)
                assert not reached[nowhere[m]].any(), f"{case}: a gradient reaches features of {m} that are absent or padding ({mode(training)})"
                unheard -= {m} if reached.any() else set()
        if not unheard:
            return
    for m in [m for m in case.widths if m in unheard]:
        raise AssertionError(f"{case}: no gradient reaches the features of {m} in any sample that has it ({mode(training)})")


def _watched(inputs: Inputs) -> tuple[dict[str, Tensor], Inputs]:
    features, present = inputs
    leaves = {m: f.tokens.clone().requires_grad_() for m, f in features.items()}
    return leaves, ({m: Features(leaves[m], f.mask) for m, f in features.items()}, present)


def _check_finite(case: Case, inputs: Inputs, values: Sequence[float], where: str) -> None:
    """Gradients of the losses in training, with values in absent slots and padding."""
    gone, pad = absent(inputs), padding(inputs)
    spoilt = filled(masked_as(filled(inputs, gone, values), "true"), pad, values)
    gradients, reached = _gradients(case, spoilt)
    features = {_features(m): gone[m] | pad[m] for m in case.widths}
    for name, gradient in gradients.items():
        assert name in reached or name in features, f"{case}{where}: no gradient reaches {name}, which distributed training needs"
        if gradient is not None and not gradient.isfinite().all():
            raise AssertionError(f"{case}{where}: the gradient of {name} is not finite in training, {_cause(case, inputs, values, name)}")
        if gradient is not None and name in features:
            assert (gradient[features[name]] == 0).all(), f"{case}{where}: a gradient reaches {name} that are absent or padding (training)"


def _features(modality: str) -> str:
    return f"the features of {modality}"


def _cause(case: Case, inputs: Inputs, values: Sequence[float], name: str) -> str:
    """What makes a gradient not finite: what the fusion does by itself, or what stands in absent slots or padding."""

    def finite(tried: Inputs) -> bool:
        gradient = _gradients(case, tried)[0][name]
        return gradient is None or bool(gradient.isfinite().all())

    if not finite(inputs):
        return "whatever stands in absent slots and padding"
    for place, places in (("absent slots", absent(inputs)), ("padding", padding(inputs))):
        for value in values:
            if not finite(filled(inputs, places, [value])):
                return f"with {value:g} in {place}"
    return "with what stands in absent slots and padding together"


def _gradients(case: Case, inputs: Inputs) -> tuple[dict[str, Tensor | None], set[str]]:
    """Gradients by name of the trained parameters and of each modality's features, those of the modalities' own logits added, where they are
    there; and the names that the loss on the fused logits reaches without these.
    """
    fusion = case.made().train()
    torch.manual_seed(2)
    leaves, watched = _watched(inputs)
    output = fusion(*watched)
    named: dict[str, Tensor] = {name: p for name, p in fusion.named_parameters() if p.requires_grad}
    named |= {_features(m): leaf for m, leaf in leaves.items()}
    loss = output.logits.square().sum() + sum(output.aux_losses.values())
    own = [logits[watched[1][m]].square().sum() for m, logits in output.per_modality.items()]
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=bool(own))
    gradients: dict[str, Tensor | None] = dict(zip(named, found, strict=True))
    reached = {name for name, gradient in gradients.items() if gradient is not None}
    if own and (total := torch.stack(own).sum()).requires_grad:
        for name, more in zip(named, torch.autograd.grad(total, list(named.values()), allow_unused=True), strict=True):
            now = gradients[name]
            gradients[name] = now if more is None else more if now is None else now + more
    return gradients, reached
