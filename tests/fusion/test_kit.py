"""The conformance kit finds what is wrong with a fusion, and blames it on what is wrong."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from mmdx.fusion.base import Method, modality_names
from mmdx.testing import check_fusion
from mmdx.testing.fusion import QUICK
from mmdx.types import FusionOutput


class Mean(nn.Module):
    """The mean of projections of what is there, with own logits and shares; others below break one thing each."""

    def __init__(self, widths, head):
        super().__init__()
        self.names = modality_names(widths)
        self.project = nn.ModuleDict({m: nn.Linear(widths[m], 8) for m in self.names})
        self.head = head(8)

    def pooled(self, features, present):
        return {m: features[m].pooled.where(present[m][:, None], 0.0) for m in self.names}

    def joined(self, projected, present):
        return torch.stack([projected[m] for m in self.names]).sum(dim=0) / torch.stack([present[m] for m in self.names]).sum(dim=0)[:, None]

    def forward(self, features, present):
        x = self.pooled(features, present)
        projected = {m: self.project[m](x[m]).where(present[m][:, None], 0.0) for m in self.names}
        own = {m: self.head(projected[m]).where(present[m][:, None], 0.0) for m in self.names}
        several = torch.stack([present[m] for m in self.names]).sum(dim=0)
        return FusionOutput(self.head(self.joined(projected, present)), own, {m: present[m] / several for m in self.names})


class Ending(Mean):
    """One whose output is changed at the end."""

    def forward(self, features, present):
        return self.changed(super().forward(features, present), features, present)


class ReadsTheMaskOfAbsentSlots(Ending):
    def changed(self, output, features, present):
        return output._replace(logits=output.logits + sum(features[m].mask.sum(dim=1, keepdim=True) for m in self.names))


class LosesByTheMaskOfAbsentSlots(Ending):
    def changed(self, output, features, present):
        size = sum(features[m].mask.sum() for m in self.names) if self.training else 0
        return output._replace(aux_losses={"size": output.logits.mean() + size})


class ReadsAbsentSlotsByAnAllFalseMask(Ending):
    def changed(self, output, features, present):
        empty = sum((~features[m].mask.any(dim=1)).float() for m in self.names)
        return output._replace(logits=output.logits + empty[:, None])


class AveragesPadding(Mean):
    def pooled(self, features, present):
        return {m: features[m].tokens.mean(dim=1).where(present[m][:, None], 0.0) for m in self.names}


class TakesTheMaximumOverFinitePadding(Mean):
    def pooled(self, features, present):
        tokens = {m: features[m].tokens.where(features[m].tokens.abs() < 1e3, 0.0) for m in self.names}
        return {m: tokens[m].amax(dim=1).where(present[m][:, None], 0.0) for m in self.names}


class CountsPadding(Mean):
    def pooled(self, features, present):
        return {m: x * features[m].mask.float().mean() for m, x in super().pooled(features, present).items()}


class OwnLogitsFromTheBatch(Ending):
    def changed(self, output, features, present):
        return output._replace(per_modality={m: (v - v.mean(dim=0)).where(present[m][:, None], 0.0) for m, v in output.per_modality.items()})


class WeightsFromTheBatch(Ending):
    def changed(self, output, features, present):
        score = {m: self.pooled(features, present)[m].square().sum(dim=1) for m in self.names}
        return output._replace(weights={m: score[m] / sum(score.values()).sum() for m in self.names})


class WeightsUnderOtherNames(Ending):
    def changed(self, output, features, present):
        share = {m: (k + 1) / 100 for k, m in enumerate(features)}
        return output._replace(weights={m: torch.where(present[m], share[m], 0.0) for m in self.names})


class ZipsPresence(Ending):
    def changed(self, output, features, present):
        pairs = zip(features.values(), present.values(), strict=True)
        return output._replace(logits=output.logits + sum(f.pooled.sum(dim=1, keepdim=True).where(there[:, None], 0.0) for f, there in pairs))


class MultipliesNeighbours(Ending):
    """The same backwards, where the product of neighbours is; two modalities have one pair alone."""

    def changed(self, output, features, present):
        names = self.neighbours(features)
        x = {m: f.sum(dim=1, keepdim=True) for m, f in self.pooled(features, present).items()}
        return output._replace(logits=output.logits + sum((x[one] * x[other] for one, other in pairwise(names)), torch.zeros(())))

    def neighbours(self, features):
        return [*features]


class MultipliesNeighboursOfWidths(MultipliesNeighbours):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        self.order = [*widths]

    def neighbours(self, features):
        return self.order


class DeafInTraining(Mean):
    def joined(self, projected, present):
        first = self.names[0]
        return super().joined(projected | {first: projected[first] * 0} if self.training and len(self.names) > 1 else projected, present)


class GradientOfARootAtZero(Mean):
    def pooled(self, features, present):
        return {m: x + (x - x.detach()).abs().sqrt() for m, x in super().pooled(features, present).items()}


class GradientOfARootAtZeroInTraining(GradientOfARootAtZero):
    def pooled(self, features, present):
        return super().pooled(features, present) if self.training else Mean.pooled(self, features, present)


class OwnLogitsWithoutGradient(Ending):
    def changed(self, output, features, present):
        return output._replace(per_modality={m: v + (v - v.detach()).abs().sqrt() for m, v in output.per_modality.items()})


class InfinityInGradients(Mean):
    """NaN is cleared and padding left out, but only after the product, so a gradient of 0 is multiplied with infinity."""

    def pooled(self, features, present):
        cleared = {m: features[m].tokens.where(~features[m].tokens.isnan(), 0.0) for m in self.names}
        real = {m: features[m].mask & present[m][:, None] for m in self.names}
        score = {m: (cleared[m] * self.project[m].weight[0]).sum(dim=2).where(real[m], 0.0).sum(dim=1, keepdim=True) for m in self.names}
        return {m: x + score[m] for m, x in super().pooled(features, present).items()}


class OwnLogitsWhereAbsent(Ending):
    def changed(self, output, features, present):
        return output._replace(per_modality={m: output.logits + 3 for m in self.names})


class NegativeWeights(Ending):
    def changed(self, output, features, present):
        return output._replace(weights={m: torch.where(present[m], -7.0, 0.0) for m in self.names})


class WeightsAboveOne(Ending):
    def changed(self, output, features, present):
        return output._replace(weights={m: 2 * weight for m, weight in output.weights.items()})


class OtherArguments(Mean):
    def forward(self, inputs, there):
        return super().forward(inputs, there)


class TwoAtLeast(Mean):
    def __init__(self, widths, head):
        if len(widths) < 2:
            raise ValueError("two modalities at least")
        super().__init__(widths, head)


class FourAtMost(Mean):
    def __init__(self, widths, head):
        if len(widths) > 4:
            raise ValueError("four modalities at most")
        super().__init__(widths, head)


class CountsCalls(Mean):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        self.register_buffer("calls", torch.zeros(()))

    def joined(self, projected, present):
        self.calls = self.calls + 1
        return super().joined(projected, present) * (1 + self.calls)


class CountsCallsUnseen(Mean):
    calls = 0

    def joined(self, projected, present):
        self.calls += 1
        return super().joined(projected, present) * self.calls


class WritesIntoItsInputs(Ending):
    def changed(self, output, features, present):
        features[self.names[0]].tokens.detach().mul_(0.5)
        return output


class WritesInTraining(WritesIntoItsInputs):
    def changed(self, output, features, present):
        return super().changed(output, features, present) if self.training else output


class DropsInEvaluation(Mean):
    def joined(self, projected, present):
        return nn.functional.dropout(super().joined(projected, present), 0.5, training=True)


class MakesAWeightLate(Mean):
    def joined(self, projected, present):
        if not hasattr(self, "late"):
            self.late = nn.Linear(8, 8)
        return self.late(super().joined(projected, present))


class LearnsShapesLate(Mean):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        self.late = nn.LazyLinear(8)

    def joined(self, projected, present):
        return self.late(super().joined(projected, present))


class LayersInAList(Mean):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        self.layers = [nn.Linear(8, 8)]

    def joined(self, projected, present):
        return self.layers[0](super().joined(projected, present))


class RandomAttribute(Mean):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        self.scale = torch.randn(8)

    def joined(self, projected, present):
        return super().joined(projected, present) * self.scale


class BufferThatIsNotSaved(RandomAttribute):
    def __init__(self, widths, head):
        super().__init__(widths, head)
        del self.scale
        self.register_buffer("scale", torch.randn(8), persistent=False)


class OtherFamily(Mean):
    method = Method("sorcery", "none")


class OtherAbsence(Mean):
    method = Method("simple", "none", absence="magic")


class SaysItInADict(Mean):
    method = {"family": "simple"}


FAULTS = {
    ReadsTheMaskOfAbsentSlots: r"a mask that is random in absent slots changes logits \(training\)",
    LosesByTheMaskOfAbsentSlots: r"a mask that is random in absent slots changes aux_losses\['size'\] \(training\)",
    ReadsAbsentSlotsByAnAllFalseMask: r"a mask that is .* in absent slots changes logits",
    AveragesPadding: r"nan or inf or 1e\+30 in place of noise in padding .* changes logits \(evaluation\), expected the same bits",
    TakesTheMaximumOverFinitePadding: r"in place of noise in padding .* changes logits",
    CountsPadding: "three more tokens of padding change logits",
    OwnLogitsFromTheBatch: r"the rest of the batch changes per_modality\['image'\] of a sample; row 0 alone",
    WeightsFromTheBatch: r"the rest of the batch changes weights\['image'\] of a sample; row 0 alone",
    WeightsUnderOtherNames: r"the order of features changes weights\['image'\]",
    ZipsPresence: "the order of (features|present) changes logits",
    MultipliesNeighbours: "the order of features changes logits",
    MultipliesNeighboursOfWidths: "the same weights give other logits where widths come in another order",
    DeafInTraining: r"no gradient reaches the features of image in any sample that has it \(training\)",
    GradientOfARootAtZero: r"the gradient towards the features of image is not finite \(evaluation\)",
    GradientOfARootAtZeroInTraining: r"the gradient towards the features of image is not finite \(training\)",
    OwnLogitsWithoutGradient: "the gradient of project.image.weight is not finite in training, whatever stands in absent slots and padding",
    InfinityInGradients: "the gradient of project.image.weight is not finite in training, with inf in padding",
    OwnLogitsWhereAbsent: r"per_modality\['image'\] is not 0 where image is absent",
    NegativeWeights: r"weights\['image'\] has -7, expected a share, 0 or more",
    WeightsAboveOne: "the weights of a sample sum up to 2, expected shares of at most 1",
    OtherArguments: r"forward takes \(inputs, there\), expected \(features, present\)",
    TwoAtLeast: r"\['image'\]: it could not be built \(ValueError: two modalities at least\), expected a fusion of any number",
    FourAtMost: r"'audio'\]: it could not be built \(ValueError: four modalities at most\)",
    CountsCalls: r"\['image'\]: calls in state_dict moves in evaluation",
    CountsCallsUnseen: r"\['image'\]: in evaluation the same input twice gives other logits, .* keeps something",
    WritesIntoItsInputs: r"\['image'\]: forward writes into what it is given of image, .* \(evaluation\)",
    WritesInTraining: r"\['image'\]: forward writes into what it is given of image, .* \(training\)",
    DropsInEvaluation: r"\['image'\]: in evaluation the same input twice gives other logits, .* random numbers, such as dropout",
    MakesAWeightLate: r"\['image'\]: the first forward changes the names in state_dict \(late.bias, late.weight\)",
    LearnsShapesLate: r"\['image'\]: late.weight has no shape before the first forward",
    LayersInAList: r"\['image'\]: state_dict loaded into one built from another seed gives other logits",
    RandomAttribute: r"\['image'\]: state_dict loaded into one built from another seed gives other logits",
    BufferThatIsNotSaved: r"\['image'\]: state_dict loaded into one built from another seed gives other logits",
    OtherFamily: "method.family='sorcery': must be one of simple, conditioning, multiplicative, attention, missing, decision",
    OtherAbsence: "method.absence='magic': must be one of design, masking",
    SaysItInADict: "method={'family': 'simple'}: expected a mmdx.fusion.base.Method",
}


def test_a_sound_fusion_passes():
    check_fusion(Mean, only=QUICK)


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_the_fault_is_found_and_told(kind):
    with pytest.raises(AssertionError, match=FAULTS[kind]):
        check_fusion(kind, only=QUICK)


class DropsModalities(Mean):
    """In training each modality but the last is left out half of the times, which is no fault."""

    def joined(self, projected, present):
        if self.training and len(self.names) > 1 and torch.rand(()) < 0.5:
            projected = projected | {m: projected[m] * 0 for m in self.names[:-1]}
        return super().joined(projected, present)


def test_a_modality_may_be_dropped_by_chance_in_training():
    check_fusion(DropsModalities, only=["gradients"])
