"""Does a fusion keep its contract?"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmdx.types import Features, FusionOutput

WIDTHS = {"audio": 20, "ecg": 12, "image": 24, "labs": 7, "text": 16}
TOKENS = {"audio": 5, "ecg": 1, "image": 9, "labs": 2, "text": 7}
CASES = (["image"], ["image", "text"], ["text", "image", "audio"], ["audio", "ecg", "image", "text"], ["text", "labs", "image", "ecg", "audio"])
"""Modalities that a fusion is built for, one to five."""
ROWS = 8
NOT_NUMBERS = (float("nan"), float("inf"), 1e30)
Inputs = tuple[dict[str, Features], dict[str, Tensor]]


def check_fusion(build: Callable[..., nn.Module], outputs: int = 3, only: Iterable[str] | None = None) -> None:
    """Check ``build(widths=..., head=...)`` with one to five modalities of unequal widths and numbers of tokens.

    ``output``: finite logits [B, K], per-modality logits and weights of the right shapes, whatever is absent. ``absence``: the content of absent
    slots, NaN included, changes no bit of the output. ``order``: neither does the order of the dicts, and weights load by name. ``batch``: in
    evaluation a sample's output doesn't depend on the others. ``gradients``: one reaches every parameter, the features of every present modality
    and of no absent one, and all are finite. ``autocast``: bfloat16 gives about the same. ``stacked``: several heads as one, by ``torch.func.vmap``
    over their parameters, give the same logits and gradients. ``exported`` and ``onnx``: ``torch.export`` and ONNX (where onnx and onnxruntime are
    installed) give the same numbers at another size of the batch.

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
        exempt = getattr(getattr(case.made(), "method", None), "exempt", {})
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
        told = (str(fault).strip() or "no message").splitlines()[0]
        raise AssertionError(f"{case}: the check {name!r} failed with {type(fault).__name__}: {told}. {HINTS.get(name, '')}".strip()) from fault


@dataclass
class Case:
    """A fusion to be built for some modalities, and what it is given."""

    build: Callable[..., nn.Module]
    widths: dict[str, int]
    outputs: int

    def __str__(self) -> str:
        return f"with modalities {list(self.widths)}"

    def made(self, seed: int = 0, backwards: bool = False) -> nn.Module:
        """The fusion in evaluation, its weights drawn from a seed."""
        torch.manual_seed(seed)
        widths = dict(reversed(self.widths.items())) if backwards else self.widths
        return self.build(widths=widths, head=partial(nn.Linear, out_features=self.outputs)).eval()

    @property
    def inputs(self) -> Inputs:
        """Features and presence."""
        return random_features(self.widths)


def random_features(widths: Mapping[str, int], batch: int = ROWS, seed: int = 1) -> Inputs:
    """Features and presence in which each modality is absent somewhere, bags differ in length, and one sample has one modality."""
    draw = torch.Generator().manual_seed(seed)
    features, present = {}, {}
    for row, (m, width) in enumerate(widths.items()):
        count = TOKENS.get(m, 3)
        mask = torch.arange(count)[None, :] < torch.randint(1, count + 1, (batch, 1), generator=draw)
        features[m] = Features(torch.randn(batch, count, width, generator=draw), mask)
        present[m] = torch.ones(batch, dtype=torch.bool)
        if len(widths) > 1:
            present[m][row % batch] = False
            present[m][batch - 1] = row == 0
    return features, present


def _fused(fusion: nn.Module, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
    torch.manual_seed(2)
    with torch.no_grad():
        return fusion(features, present)


def _spoilt(features: Mapping[str, Features], present: Mapping[str, Tensor], value: float) -> dict[str, Features]:
    return {m: Features(f.tokens.where(present[m][:, None, None], value), f.mask) for m, f in features.items()}


def _rows(inputs: Inputs, rows: slice) -> Inputs:
    features, present = inputs
    return {m: Features(f.tokens[rows], f.mask[rows]) for m, f in features.items()}, {m: here[rows] for m, here in present.items()}


def _parts(output: FusionOutput) -> dict[str, Tensor]:
    """Every tensor of an output, by name."""
    named = {"logits": output.logits}
    for kind in ("per_modality", "weights", "aux_losses"):
        named |= {f"{kind}[{name!r}]": value for name, value in getattr(output, kind).items()}
    return named


def check_output(case: Case) -> None:
    """Shapes, and that everything is finite."""
    features, present = case.inputs
    for training in (True, False):
        output = _fused(case.made().train(training), features, present)
        assert isinstance(output, FusionOutput), f"{case}: forward returned {type(output).__name__}, expected FusionOutput"
        for name, value in _parts(output).items():
            shape = () if name.startswith("aux") else (ROWS,) if name.startswith("weights") else (ROWS, case.outputs)
            assert value.shape == shape, f"{case}: {name} has shape {tuple(value.shape)}, expected {shape}"
            assert value.isfinite().all(), f"{case}: {name} is not finite where modalities are absent ({'training' if training else 'evaluation'})"
        for kind in ("per_modality", "weights"):
            named = getattr(output, kind)
            assert not named or set(named) == set(case.widths), f"{case}: {kind} has {sorted(named)}, expected every modality or none"
        for m, weight in output.weights.items():
            assert (weight[~present[m]] == 0).all(), f"{case}: weights[{m!r}] is not 0 where {m} is absent"


def check_absence(case: Case) -> None:
    """What stands in an absent slot changes nothing."""
    features, present = case.inputs
    for training in (True, False):
        fusion = case.made().train(training)
        base = _parts(_fused(fusion, features, present))
        for value in NOT_NUMBERS:
            for name, other in _parts(_fused(fusion, _spoilt(features, present, value), present)).items():
                same = torch.equal(base[name], other)
                assert same, f"{case}: {value} in absent slots changes {name} ({'training' if training else 'evaluation'}), expected the same bits"


def check_order(case: Case) -> None:
    """Nothing depends on the order of a dict."""
    fusion, (features, present) = case.made(), case.inputs
    base = _fused(fusion, features, present).logits
    turned = {m: features[m] for m in reversed(features)}, {m: present[m] for m in reversed(present)}
    assert torch.allclose(base, _fused(fusion, *turned).logits, atol=1e-6), f"{case}: the order of the dicts changes the logits"
    twin = case.made(3, backwards=True)
    assert twin.state_dict().keys() == fusion.state_dict().keys(), f"{case}: names of weights depend on the order of the dict"
    twin.load_state_dict(fusion.state_dict())
    assert torch.allclose(base, _fused(twin, features, present).logits, atol=1e-6), f"{case}: the same weights give other logits in another order"


def check_batch(case: Case) -> None:
    """In evaluation a sample is by itself."""
    fusion, inputs = case.made(), case.inputs
    base = _fused(fusion, *inputs).logits
    for row in (0, 2, ROWS - 1):
        alone = _fused(fusion, *_rows(inputs, slice(row, row + 1))).logits
        assert torch.allclose(base[row : row + 1], alone, atol=1e-5), f"{case}: a sample's logits depend on its batch; row {row} alone gives others"


def check_gradients(case: Case) -> None:
    """They reach what they must, and are finite, whatever is absent."""
    features, present = case.inputs
    _check_reach(case, features, present)
    absences = [present] + [{m: here & (m != gone) for m, here in present.items()} for gone in case.widths if len(case.widths) > 1]
    for there in absences:
        rows = torch.stack(list(there.values())).any(dim=0)
        inputs = {m: Features(f.tokens[rows], f.mask[rows]) for m, f in features.items()}, {m: here[rows] for m, here in there.items()}
        gone = [m for m, here in inputs[1].items() if not here.any()]
        fusion = case.made().train()
        torch.manual_seed(2)
        output = fusion(_spoilt(*inputs, float("nan")), inputs[1])
        (output.logits.square().sum() + sum(output.aux_losses.values())).backward()
        where = f"{case}{f', {gone[0]} absent from the whole batch' if gone else ''}"
        for name, parameter in fusion.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"{where}: no gradient reaches {name}, which distributed training needs"
                assert parameter.grad.isfinite().all(), f"{where}: NaN in absent slots makes the gradient of {name} not finite"


def _check_reach(case: Case, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> None:
    fusion = case.made()
    leaves = {m: f.tokens.clone().requires_grad_() for m, f in features.items()}
    output = fusion({m: Features(leaves[m], f.mask) for m, f in features.items()}, present)
    weights = torch.randn(output.logits.shape, generator=torch.Generator().manual_seed(4))
    gradients = torch.autograd.grad((output.logits * weights).sum(), list(leaves.values()), allow_unused=True)
    for m, gradient in zip(leaves, gradients, strict=True):
        assert gradient is not None, f"{case}: no gradient reaches the features of {m}"
        reached = (gradient != 0).flatten(1).any(dim=1)
        assert not (reached & ~present[m]).any(), f"{case}: a gradient reaches features of {m} in samples that lack it"
        assert reached.any() or not present[m].any(), f"{case}: no gradient reaches the features of {m} in any sample that has it"


def check_autocast(case: Case) -> None:
    """Training in bfloat16 works."""
    fusion, (features, present) = case.made(), case.inputs
    base = _fused(fusion, features, present).logits
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


CHECKS: dict[str, Callable[[Case], None]] = {
    "output": check_output,
    "absence": check_absence,
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
QUICK = ("output", "absence", "order", "batch", "gradients")
"""Checks that take less than a second of most fusions."""
