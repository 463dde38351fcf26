"""Facts of integrated gradients: completeness, the closed form of a linear model, absence, ids by their embeddings."""

import numpy as np
import pytest
import torch
from torch import nn

from mmdx.data.collate import Example, collate
from mmdx.explain.attribution import Attributor, class_log_odds, mean_items, mean_output
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.late import SumOfLogits
from mmdx.training.build import linear_head
from mmdx.training.model import MultimodalModel
from mmdx.types import Features


class Linear(nn.Module):
    """Numbers [n, 3] as one token of the same width, scaled."""

    width = 3

    def forward(self, items):
        return Features(2.0 * items[:, None], torch.ones(len(items), 1, dtype=torch.bool))


class Curved(nn.Module):
    """Numbers [n, 3] through a hidden layer."""

    width = 8

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 16), nn.GELU(), nn.Linear(16, 8), nn.Tanh())

    def forward(self, items):
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


class Words(nn.Module):
    """Ids [n, T] with a mask and two categories [n, 2]: an embedding each, another of positions that is not the ids'."""

    width = 4

    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(20, 4, padding_idx=0), nn.Embedding(16, 4)
        self.columns = nn.ModuleList(nn.Embedding(5, 4) for _ in range(2))

    def forward(self, items):
        positions = torch.arange(items["ids"].shape[1])
        tokens = torch.tanh(self.token(items["ids"]) + self.position(positions))
        columns = [table(items["categories"][:, q])[:, None] for q, table in enumerate(self.columns)]
        mask = torch.cat([items["mask"], torch.ones(len(tokens), 2, dtype=torch.bool)], dim=1)
        return Features(torch.cat([tokens, *columns], dim=1), mask)


def filled(fusion):
    """Heads begin at zero, where nothing contributes."""
    for layer in fusion.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.5)
    return fusion


def numbers(rng, present=(("a", "b"),) * 4):
    examples = []
    for index, there in enumerate(present):
        items = {m: [torch.from_numpy(rng.normal(size=3).astype(np.float32))] * (m in there) for m in ("a", "b")}
        examples.append(Example(index + 10, items, np.float32(0)))
    return collate(examples)


def test_of_a_linear_model_they_are_weight_times_difference_from_the_baseline():
    torch.manual_seed(0)
    model = MultimodalModel({"a": Linear(), "b": Linear()}, filled(SumOfLogits({"a": 3, "b": 3}, linear_head(1))))
    batch = numbers(np.random.default_rng(0))
    mean = torch.tensor([1.0, -2.0, 0.5])
    for attribution, row in zip(Attributor(model, steps=3, means={"b": mean})(batch), range(4), strict=True):
        for m, start in (("a", torch.zeros(3)), ("b", mean)):
            weight = 2.0 * model.fusion.heads[m].weight[0].detach() / np.sqrt(3)
            expected = weight * (batch.inputs[m][row, 0] - start)
            np.testing.assert_allclose(attribution.items[m][0][""], expected.numpy(), atol=1e-5)
        assert attribution.index == row + 10 and attribution.error < 1e-5


@pytest.mark.parametrize("fusion", [Concatenation, GatedMultimodalUnit])
def test_they_sum_to_the_difference_of_the_log_odds(fusion):
    torch.manual_seed(1)
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(fusion({"a": 8, "b": 8}, linear_head(1))))
    batch = numbers(np.random.default_rng(1))
    with torch.no_grad():
        logits = model.eval()(batch).logits[:, 0]
    for attribution, logit in zip(Attributor(model, steps=32)(batch), logits, strict=True):
        assert attribution.value == pytest.approx(float(logit), abs=1e-6)
        assert attribution.error < 1e-3
        assert sum(attribution.contributions.values()) == pytest.approx(attribution.value - attribution.baseline, abs=1e-3)
        assert sum(attribution.shares.values()) == pytest.approx(1)


def test_an_absent_modality_has_none_and_changes_no_other_sample():
    torch.manual_seed(2)
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(GatedMultimodalUnit({"a": 8, "b": 8}, linear_head(1))))
    rng = np.random.default_rng(2)
    batch = numbers(rng, [("a", "b"), ("a",), ("b",), ("a", "b")])
    found = Attributor(model)(batch)
    assert [sorted(attribution.items) for attribution in found] == [["a", "b"], ["a"], ["b"], ["a", "b"]]
    assert found[1].shares == {"a": 1.0} and found[1].error < 1e-3
    alone = Attributor(model)(collate([Example(10, {m: [batch.inputs[m][0, 0]] for m in "ab"}, np.float32(0))]))[0]
    np.testing.assert_allclose(alone.items["b"][0][""], found[0].items["b"][0][""], atol=1e-5)


def test_no_sample_of_a_batch_has_a_modality():
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(Concatenation({"a": 8, "b": 8}, linear_head(1))))
    batch = numbers(np.random.default_rng(3), [("a",), ("a",)])
    assert all(set(attribution.items) == {"a"} for attribution in Attributor(model)(batch))


def test_each_item_of_a_bag_has_its_own():
    torch.manual_seed(4)
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(Concatenation({"a": 8, "b": 8}, linear_head(1))))
    items = [torch.randn(3) for _ in range(4)]
    batch = collate([Example(0, {"a": items[:3], "b": items[:1]}, np.float32(0)), Example(1, {"a": items[3:], "b": items[:2]}, np.float32(0))])
    found = Attributor(model)(batch)
    assert [len(attribution.items["a"]) for attribution in found] == [3, 1]
    assert [len(attribution.items["b"]) for attribution in found] == [1, 2]
    assert all(attribution.error < 1e-3 for attribution in found)


def test_ids_are_attributed_at_their_own_embeddings_and_padding_has_none():
    torch.manual_seed(5)
    model = MultimodalModel({"a": Words()}, filled(Concatenation({"a": 4}, linear_head(1))))

    def item(ids, categories):
        return {"ids": torch.tensor(ids), "mask": torch.ones(len(ids), dtype=torch.bool), "categories": torch.tensor(categories)}

    batch = collate([Example(0, {"a": [item([3, 4, 5, 6], [1, 2])]}, np.float32(0)), Example(1, {"a": [item([7, 8], [0, 4])]}, np.float32(0))])
    first, second = Attributor(model)(batch)
    assert {name: a.shape for name, a in first.items["a"][0].items()} == {"ids": (4,), "categories": (2,)}
    assert first.error < 1e-3 and second.error < 1e-3
    assert np.all(second.items["a"][0]["ids"][2:] == 0) and np.all(second.items["a"][0]["ids"][:2] != 0)
    assert second.items["a"][0]["categories"][0] == 0  # the category of no value is the baseline itself


def test_of_classes_the_log_odds_of_the_most_probable_one_are_explained():
    torch.manual_seed(6)
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(Concatenation({"a": 8, "b": 8}, linear_head(3))))
    batch = numbers(np.random.default_rng(6))
    with torch.no_grad():
        probabilities = model.eval()(batch).logits.softmax(dim=1)
    for attribution, p in zip(Attributor(model, class_log_odds)(batch), probabilities, strict=True):
        assert attribution.output == int(p.argmax())
        assert attribution.value == pytest.approx(float(torch.logit(p.max())), abs=1e-5)
        assert attribution.error < 1e-2


def test_what_hardly_counts_is_not_shown():
    model = MultimodalModel({"a": Linear(), "b": Linear()}, filled(SumOfLogits({"a": 3, "b": 3}, linear_head(1))))
    with torch.no_grad():
        model.fusion.heads["b"].weight.mul_(1e-4)
    assert all(attribution.telling == {"a"} for attribution in Attributor(model, steps=2)(numbers(np.random.default_rng(7))))


def test_mean_items_are_of_tensors_of_one_shape():
    examples = [
        Example(0, {"a": [torch.zeros(2), torch.ones(2)], "b": [torch.zeros(3)], "c": [{"x": torch.zeros(2)}]}, 0),
        Example(1, {"a": [torch.full((2,), 2.0)], "b": [torch.zeros(4)], "c": []}, 0),
    ]
    means = mean_items(examples)
    assert set(means) == {"a"} and means["a"].tolist() == [1.0, 1.0]


def test_of_levels_the_mean_output_is_explained():
    torch.manual_seed(8)
    model = MultimodalModel({"a": Curved(), "b": Curved()}, filled(Concatenation({"a": 8, "b": 8}, linear_head(3))))
    batch = numbers(np.random.default_rng(8))
    with torch.no_grad():
        means = model.eval()(batch).logits.mean(dim=1)
    for attribution, mean in zip(Attributor(model, mean_output)(batch), means, strict=True):
        assert attribution.output == 0 and attribution.value == pytest.approx(float(mean), abs=1e-6) and attribution.error < 1e-2
