"""Does a fusion's output depend on what it may depend on, and on nothing else?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mmdx.testing.fusion_case import NOT_NUMBERS, ROWS, Case, Inputs, Parts, absent, differing, filled, fused, masked_as, mode, padding, parts, rows
from mmdx.types import Features, FusionOutput


def check_output(case: Case) -> None:
    """Shapes, and that everything is finite; own logits and weights are 0 where a modality is absent, weights are shares."""
    features, present = case.inputs
    for training in (True, False):
        output = fused(case.made().train(training), features, present)
        assert isinstance(output, FusionOutput), f"{case}: forward returned {type(output).__name__}, expected FusionOutput"
        for name, value in parts(output).items():
            shape = () if name.startswith("aux") else (ROWS,) if name.startswith("weights") else (ROWS, case.outputs)
            assert value.shape == shape, f"{case}: {name} has shape {tuple(value.shape)}, expected {shape}"
            assert value.isfinite().all(), f"{case}: {name} is not finite where modalities are absent ({mode(training)})"
        for kind in ("per_modality", "weights"):
            named = getattr(output, kind)
            assert not named or set(named) == set(case.widths), f"{case}: {kind} has {sorted(named)}, expected every modality or none"
            for m, value in named.items():
                zero = (value[~present[m]] == 0).all()
                assert zero, f"{case}: {kind}[{m!r}] is not 0 where {m} is absent, expected 0 there ({mode(training)})"
        for m, weight in output.weights.items():
            assert (weight >= 0).all(), f"{case}: weights[{m!r}] has {float(weight.min()):.3g}, expected a share, 0 or more ({mode(training)})"
        if output.weights:
            most = float(torch.stack(list(output.weights.values())).sum(dim=0).max())
            assert most < 1.001, f"{case}: the weights of a sample sum up to {most:.3g}, expected shares of at most 1 ({mode(training)})"


def check_repeat(case: Case) -> None:
    """The same input gives the same output in evaluation; no input is written into, and no weight or buffer moves or is made by a forward."""
    fusion, given = case.made(), case.inputs
    before = _state(case, fusion.state_dict())
    base = parts(fused(fusion, *given))
    after = fusion.state_dict()
    made, moved = sorted(after.keys() ^ before.keys()), [name for name in before if name in after and not _same(before[name], after[name])]
    assert not made, f"{case}: the first forward changes the names in state_dict ({', '.join(made)}), expected all weights made by the constructor"
    assert not moved, f"{case}: {moved[0]} in state_dict moves in evaluation, expected that only training changes it"
    _check_untouched(case, given, "evaluation")
    again = parts(fused(fusion, *given, seed=6))
    if name := differing(base, again, 1e-6):
        drawn = differing(again, parts(fused(fusion, *given, seed=6)), 1e-6) is None
        why = "it draws random numbers, such as dropout" if drawn else "it keeps something from one call to the next"
        raise AssertionError(f"{case}: in evaluation the same input twice gives other {name}, expected the same; {why}")
    fused(fusion.train(), *given)
    _check_untouched(case, given, "training")


def _state(case: Case, state: dict[str, Tensor]) -> dict[str, Tensor]:
    lazy = [name for name, value in state.items() if is_lazy(value)]
    assert not lazy, f"{case}: {lazy[0]} has no shape before the first forward, expected all weights made by the constructor"
    return {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}


def _check_untouched(case: Case, given: Inputs, words: str) -> None:
    (features, present), (old, there) = given, case.inputs
    assert list(features) == list(old) and list(present) == list(there), f"{case}: forward changes the dicts that it is given ({words})"
    for m in old:
        same = _same(features[m].tokens, old[m].tokens) and _same(features[m].mask, old[m].mask) and _same(present[m], there[m])
        assert same, f"{case}: forward writes into what it is given of {m}, expected inputs left as they are ({words})"


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def check_saved(case: Case) -> None:
    """A ``state_dict`` is all there is of a trained fusion: a new one that loads it gives the same output."""
    fusion, twin = case.made(), case.made(seed=3)
    try:
        twin.load_state_dict(fusion.state_dict())
    except RuntimeError as fault:
        raise AssertionError(f"{case}: state_dict does not load into the same fusion built again: {' '.join(str(fault).split())}") from fault
    name = differing(parts(fused(fusion, *case.inputs)), parts(fused(twin, *case.inputs)), 1e-6)
    assert name is None, (
        f"{case}: state_dict loaded into one built from another seed gives other {name}, expected the same; a weight or random number is not in "
        "state_dict (in a plain list, an attribute or a non-persistent buffer)"
    )


def check_absence(case: Case) -> None:
    """What stands in an absent slot, tokens and mask, changes nothing."""
    given = case.inputs
    nan, inf, big = ((value,) for value in NOT_NUMBERS)
    for training, tried in ((True, [(NOT_NUMBERS, "random")]), (False, [(nan, "true"), (inf, "true"), (big, "random")])):
        fusion = case.made().train(training)

        def answer(inputs: Inputs, fusion: torch.nn.Module = fusion) -> Parts:
            return parts(fused(fusion, *inputs))

        base = answer(given)
        for values, how in tried:
            if name := differing(base, answer(masked_as(filled(given, absent(given), values), how)), 0):
                alone = [v for v in values if differing(base, answer(filled(given, absent(given), [v])), 0)]
                told = f"{alone[0]:g}" if alone else f"a mask that is {'all true' if how == 'true' else how}"
                raise AssertionError(f"{case}: {told} in absent slots changes {name} ({mode(training)}), expected the same bits")
        name = differing(base, answer(masked_as(given, "false")), 0)
        assert name is None, f"{case}: a mask that is all false in absent slots changes {name} ({mode(training)}), expected the same bits"


def check_padding(case: Case) -> None:
    """What stands in padding changes nothing, and in evaluation neither does how much of it there is, which depends on the other samples."""
    given = case.inputs
    for training in (False, True):
        fusion = case.made().train(training)
        base = parts(fused(fusion, *given))
        name = differing(base, parts(fused(fusion, *filled(given, padding(given), NOT_NUMBERS))), 0)  # as given it is finite noise
        told = f"{' or '.join(f'{value:g}' for value in NOT_NUMBERS)} in place of noise in padding (tokens of a present modality whose mask is false)"
        assert name is None, f"{case}: {told} changes {name} ({mode(training)}), expected the same bits"
        if not training:
            name = differing(base, parts(fused(fusion, *_longer(given))), 1e-5)
            assert name is None, f"{case}: three more tokens of padding change {name}, expected the same; other samples' lengths make padding"


def _longer(inputs: Inputs) -> Inputs:
    """With padding after the first token, as it stands between the items of a bag, and at the end."""
    features, present = inputs
    made = {}
    for m, f in features.items():
        noise = torch.randn(len(f.tokens), 3, f.tokens.shape[2], generator=torch.Generator().manual_seed(7))
        none = torch.zeros(len(f.tokens), 3, dtype=torch.bool)
        tokens = torch.cat([f.tokens[:, :1], noise[:, :1], f.tokens[:, 1:], noise[:, 1:]], dim=1)
        made[m] = Features(tokens, torch.cat([f.mask[:, :1], none[:, :1], f.mask[:, 1:], none[:, 1:]], dim=1))
    return made, present


def check_order(case: Case) -> None:
    """Nothing depends on the order of a dict: of features, of presence, of widths, each by itself and in any order."""
    fusion, (features, present) = case.made(), case.inputs
    base = parts(fused(fusion, features, present))
    for order in orders([*case.widths]):
        turned, there = {m: features[m] for m in order}, {m: present[m] for m in order}
        for what, given in (("features", (turned, present)), ("present", (features, there)), ("features and present", (turned, there))):
            name = differing(base, parts(fused(fusion, *given)), 1e-6)
            assert name is None, f"{case}: the order of {what} changes {name}, expected the same"
        twin = case.made(3, order)
        assert twin.state_dict().keys() == fusion.state_dict().keys(), f"{case}: names of weights depend on the order of widths"
        twin.load_state_dict(fusion.state_dict())
        name = differing(base, parts(fused(twin, features, present)), 1e-6)
        assert name is None, f"{case}: the same weights give other {name} where widths come in another order, expected the same"


def orders(names: list[str]) -> list[list[str]]:
    """Backwards, and so that other names come first and other pairs stand together."""
    shuffled = [names[k] for k in torch.randperm(len(names), generator=torch.Generator().manual_seed(5))]
    found = [names[::-1], names[1:] + names[:1], names[::2] + names[1::2], shuffled]
    return [order for k, order in enumerate(found) if order != names and order not in found[:k]]


def check_batch(case: Case) -> None:
    """In evaluation a sample is by itself."""
    fusion, inputs = case.made(), case.inputs
    base = parts(fused(fusion, *inputs)._replace(aux_losses={}))
    for row in (0, 2, ROWS - 1):
        one = slice(row, row + 1)
        alone = parts(fused(fusion, *rows(inputs, one))._replace(aux_losses={}))
        name = differing({part: value[one] for part, value in base.items()}, alone, 1e-5)
        assert name is None, f"{case}: the rest of the batch changes {name} of a sample; row {row} alone gives others"
