"""Does a fusion keep its numbers in other forms: bfloat16, stacks of heads, exported programs?"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmdx.testing.fusion_case import Case, Inputs, fused, random_features
from mmdx.types import Features


def check_autocast(case: Case) -> None:
    """Training in bfloat16 works."""
    fusion, (features, present) = case.made(), case.inputs
    base = fused(fusion, features, present).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fusion(features, present)
        (output.logits.float().square().sum() + sum(v.float() for v in output.aux_losses.values())).backward()
    far = float((output.logits.detach().float() - base).abs().max() / base.abs().max().clamp(min=1.0))
    assert far < 0.1, f"{case}: under bfloat16 autocast the logits are off by {far:.2f} of the largest, expected below 0.1"


def _plain_attention() -> AbstractContextManager[None]:
    """The kernel of attention that knows stacks and can be exported."""
    return sdpa_kernel(SDPBackend.MATH)


def check_stacked(case: Case) -> None:
    """Several heads as one."""
    fusions, (features, present) = [case.made(seed) for seed in range(3)], case.inputs
    parameters, buffers = stack_module_state(fusions)

    def loss(parameters: Any, buffers: Any) -> tuple[Tensor, Tensor]:
        output = functional_call(fusions[0], (parameters, buffers), (features, present))
        return output.logits.square().sum() + sum(output.aux_losses.values()), output.logits

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it knows no stacks
    try:
        with _plain_attention():
            gradients, logits = vmap(torch.func.grad(loss, has_aux=True), randomness="different")(parameters, buffers)
            logits = logits.detach()
            for e, fusion in enumerate(fusions):
                output = fusion(features, present)
                far = float((output.logits.detach() - logits[e]).abs().max())
                assert far < 1e-4, f"{case}: head {e} of a stack (torch.func.vmap) has logits {far:.1e} from its own, expected below 1e-4"
                fusion.zero_grad()
                (output.logits.square().sum() + sum(output.aux_losses.values())).backward()
                for name, parameter in fusion.named_parameters():
                    own = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                    close = torch.allclose(own, gradients[name][e], atol=1e-3, rtol=1e-3)
                    assert close, f"{case}: in a stack (torch.func.vmap) the gradient of {name} differs from the head's own"
            fusions[0].train()
            vmap(torch.func.grad(loss, has_aux=True), randomness="different")(parameters, buffers)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Plain(nn.Module):
    """A fusion with tensors alone as inputs and output."""

    def __init__(self, fusion: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.fusion, self.names = fusion, names

    def forward(self, tokens: list[Tensor], masks: list[Tensor], present: list[Tensor]) -> Tensor:
        features = {m: Features(t, mask) for m, t, mask in zip(self.names, tokens, masks, strict=True)}
        return self.fusion(features, dict(zip(self.names, present, strict=True))).logits


def _plain(inputs: Inputs) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    features, present = inputs
    return [f.tokens for f in features.values()], [f.mask for f in features.values()], list(present.values())


def _dynamic(case: Case) -> Any:
    """The first dimension of every input is the batch, of any size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    return tuple([{0: batch} for _ in case.widths] for _ in range(3))


def check_exported(case: Case) -> None:
    """``torch.export`` keeps the numbers."""
    plain, inputs = _Plain(case.made(), list(case.widths)), _plain(case.inputs)
    with _plain_attention(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(plain, inputs, dynamic_shapes=_dynamic(case), strict=False)
        other = _plain(random_features(case.widths, 5, seed=6))
        with torch.no_grad():
            far = float((program.module()(*other) - plain(*other)).abs().max())
    assert far < 1e-5, f"{case}: exported by torch.export the logits are {far:.1e} from the module's, expected below 1e-5"


def check_onnx(case: Case) -> None:
    """ONNX keeps the numbers."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        return
    import onnxruntime

    plain, inputs = _Plain(case.made(), list(case.widths)), _plain(case.inputs)
    log, level = logging.getLogger("torch.onnx"), logging.getLogger("torch.onnx").level
    log.setLevel(logging.ERROR)
    try:
        with _plain_attention(), warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(plain, inputs, dynamo=True, dynamic_shapes=_dynamic(case), verbose=False)
    finally:
        log.setLevel(level)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    other = _plain(random_features(case.widths, 5, seed=6))
    given = [tensor.numpy() for group in other for tensor in group]
    names = [own.name for own in session.get_inputs()]
    logits = torch.from_numpy(session.run(None, dict(zip(names, given, strict=True)))[0])
    with torch.no_grad():
        far = float((logits - plain(*other)).abs().max())
    assert far < 1e-4, f"{case}: exported to ONNX the logits are {far:.1e} from the module's, expected below 1e-4"
