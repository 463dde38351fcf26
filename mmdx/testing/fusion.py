"""Does a fusion keep its contract?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from mmdx.testing.fusion_case import CASES, WIDTHS, Case, check_made, first_line, random_features
from mmdx.testing.fusion_forms import check_autocast, check_exported, check_onnx, check_stacked
from mmdx.testing.fusion_gradients import check_gradients
from mmdx.testing.fusion_values import check_absence, check_batch, check_order, check_output, check_padding, check_repeat, check_saved

__all__ = ["CASES", "CHECKS", "QUICK", "WIDTHS", "check_fusion", "random_features"]


def check_fusion(build: Callable[..., nn.Module], outputs: int = 3, only: Iterable[str] | None = None) -> None:
    """Check ``build(widths=..., head=...)`` with one to five modalities of unequal widths and numbers of tokens.

    It can be built for any of these, its ``forward`` takes ``(features, present)``, and ``method``, where it has one, has a known family and
    absence. The checks, in this order, on every part of the output, in training and evaluation:

    - ``output``: finite logits [B, K]; finite own logits and weights of the right shapes, 0 where the modality is absent; weights are shares, 0 or
      more and together at most 1.
    - ``repeat``: the same input gives the same output in evaluation; nothing in ``state_dict`` moves there or is made by a forward; inputs are left
      as they are.
    - ``saved``: a new fusion that loads the ``state_dict`` gives the same output.
    - ``absence``: the content of absent slots, NaN in the tokens and any mask included, changes no bit of the output.
    - ``padding``: nor does the content of padding (tokens of a present modality whose mask is false), and in evaluation its amount changes nothing.
    - ``order``: nor does the order of the dicts, and weights load by name.
    - ``batch``: in evaluation a sample's output doesn't depend on the others.
    - ``gradients``: one reaches every parameter, the features of every present modality and of no absent one and no padding, and all are finite, for
      parameters and features.
    - ``autocast``: bfloat16 gives about the same logits.
    - ``stacked``: several heads as one, by ``torch.func.vmap`` over their parameters, give the same logits and gradients.
    - ``exported`` and ``onnx``: ``torch.export`` and ONNX (where onnx and onnxruntime are installed) give the same logits at another batch size.

    A fusion may declare that it does not keep one of them, with the reason: ``method = Method(..., exempt={"batch": "borrows from neighbours"})``.

    Args:
        build: makes the fusion.
        outputs: K.
        only: names of checks; None makes all.

    Raises:
        AssertionError: saying what was tried and what was expected.
    """
    wanted = list(CHECKS if only is None else only)
    assert set(wanted) <= set(CHECKS), f"only={sorted(set(wanted) - set(CHECKS))}: the checks are {', '.join(CHECKS)}"
    for names in CASES:
        case = Case(build, {m: WIDTHS[m] for m in names}, outputs)
        exempt = check_made(case)
        assert set(exempt) <= set(CHECKS), f"method.exempt={sorted(exempt)}: the checks are {', '.join(CHECKS)}"
        assert all(exempt.values()), f"method.exempt={dict(exempt)}: each exemption needs its reason"
        for name in wanted:
            if name not in exempt and (len(names) in ONCE.get(name, ()) or name not in ONCE):
                _make(name, case)


def _make(name: str, case: Case) -> None:
    try:
        CHECKS[name](case)
    except AssertionError:
        raise
    except Exception as fault:
        told = f"the check {name!r} failed with {type(fault).__name__}: {first_line(fault)}. {HINTS.get(name, '')}"
        raise AssertionError(f"{case}: {told}".strip()) from fault


CHECKS: dict[str, Callable[[Case], None]] = {
    "output": check_output,
    "repeat": check_repeat,
    "saved": check_saved,
    "absence": check_absence,
    "padding": check_padding,
    "order": check_order,
    "batch": check_batch,
    "gradients": check_gradients,
    "autocast": check_autocast,
    "stacked": check_stacked,
    "exported": check_exported,
    "onnx": check_onnx,
}
ONCE = {"stacked": (2, 5), "exported": (3,), "onnx": (3,)}
"""Checks that take seconds are made with these numbers of modalities."""
HINTS = {
    "stacked": "Under torch.func.vmap there are no branches on values, no .item() and no indexing by masks; use where.",
    "exported": "For torch.export there are no branches on values, and sizes are tensor.shape[0], not len(tensor).",
    "onnx": "ONNX has no operator for something that the forward does; see torch.onnx.",
}
QUICK = ("output", "repeat", "saved", "absence", "padding", "order", "batch", "gradients")
"""Checks that take less than a second of most fusions."""
