"""Facts about Monte Carlo dropout: without dropout it is the model itself, with it the spread is that of the dropout's law."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mmdx.data.collate import Example, collate
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.tokens import JointTransformer
from mmdx.stress.dropout import dropout_layers, mc_dropout
from mmdx.tasks.binary import Binary
from mmdx.tasks.evidential import Evidential
from mmdx.tasks.multiclass import Multiclass
from mmdx.tasks.multilabel import Multilabel
from mmdx.training.model import MultimodalModel
from mmdx.types import Features, FusionOutput

CPU = torch.device("cpu")


class Layer(nn.Module):
    width = 8

    def __init__(self, dropout=None, norm=False):
        super().__init__()
        self.calls = 0
        parts = [nn.Linear(3, 8)] + ([nn.BatchNorm1d(8)] if norm else []) + ([] if dropout is None else [nn.Dropout(dropout)])
        self.body = nn.Sequential(*parts)

    def forward(self, items):
        self.calls += 1
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def model(dropout=0.5, fusion=GatedMultimodalUnit, outputs=1, norm=False, second=None):
    torch.manual_seed(0)
    return MultimodalModel({"a": Layer(dropout, norm), "b": Layer(second)}, fusion({"a": 8, "b": 8}, lambda w: nn.Linear(w, outputs)))


def batches(rows=24, size=10, absent=float("nan")):
    torch.manual_seed(1)
    examples = [Example(i, {"a": [torch.randn(3)] * (i % 3 != 1), "b": [torch.randn(3)] * (i % 3 != 2)}, np.float32(i % 2)) for i in range(rows)]
    found = [collate(examples[i : i + size]) for i in range(0, rows, size)]
    for batch in found:
        for m in batch.inputs:
            batch.inputs[m][~batch.items[m]] = absent
    return found


def own(net, task):
    with torch.no_grad():
        net.eval()
        return pd.concat([pd.DataFrame({"index": b.meta["index"], **task.predict(net(b).logits)}) for b in batches()], ignore_index=True)


@pytest.mark.parametrize("fusion", [GatedMultimodalUnit, partial(Concatenation, dropout=0.0), partial(JointTransformer, dropout=0.0)])
def test_dropout_of_nothing_gives_the_models_own_probabilities_and_no_mutual_information(fusion):
    net = model(0.0, fusion)
    found = mc_dropout(net, Binary(), batches(), CPU, passes=7)
    expected = own(net, Binary())
    assert found["index"].tolist() == expected["index"].tolist()
    np.testing.assert_allclose(found["mc_prob"], expected["prob"], atol=1e-6)
    np.testing.assert_allclose(found["mc_mutual_information"], 0, atol=1e-9)
    p = expected["prob"]
    np.testing.assert_allclose(found["mc_entropy"], -p * np.log(p) - (1 - p) * np.log(1 - p), atol=1e-6)


class Sum(nn.Module):
    """Adds up one modality's features: with weights of one it counts what dropout leaves."""

    def forward(self, features, present):
        return FusionOutput(features["a"].pooled.sum(dim=1, keepdim=True))


def test_the_mean_is_that_of_the_dropouts_law():
    encoder = Layer(0.5)
    nn.init.zeros_(encoder.body[0].weight)
    nn.init.constant_(encoder.body[0].bias, 0.125)  # eight units of 0.125, doubled where they are kept: logit = kept / 4
    net = MultimodalModel({"a": encoder}, Sum())
    data = collate([Example(i, {"a": [torch.zeros(3)]}, np.float32(0)) for i in range(50)])
    found = mc_dropout(net, Binary(), [data], CPU, passes=400)
    kept = np.arange(9)
    chance = np.array([1, 8, 28, 56, 70, 56, 28, 8, 1]) / 256
    prob = 1 / (1 + np.exp(-kept / 4))
    error = np.sqrt((chance * prob**2).sum() - (chance * prob).sum() ** 2) / np.sqrt(400 * 50)
    assert abs(found["mc_prob"].mean() - (chance * prob).sum()) < 4 * error
    split = -prob * np.log(prob) - (1 - prob) * np.log(1 - prob)
    p = (chance * prob).sum()
    information = -p * np.log(p) - (1 - p) * np.log(1 - p) - (chance * split).sum()
    assert found["mc_mutual_information"].mean() == pytest.approx(information, rel=0.05)


def test_rows_without_the_modality_that_draws_have_no_spread():
    found = mc_dropout(model(0.5), Binary(), batches(), CPU, passes=10)
    without = found["index"] % 3 == 1
    np.testing.assert_allclose(found.loc[without, "mc_mutual_information"], 0, atol=1e-9)
    assert (found.loc[~without, "mc_mutual_information"] > 1e-6).all()


def test_attention_layers_draw_too():
    """In evaluation PyTorch's Transformer layers take a fused path that knows no dropout."""
    net = model(None, partial(JointTransformer, dropout=0.3))
    found = mc_dropout(net, Binary(), batches(), CPU, passes=10)
    assert (found["mc_mutual_information"] > 1e-6).all() and torch.backends.mha.get_fastpath_enabled()
    attention = [layer for layer in dropout_layers(net) if isinstance(layer, nn.MultiheadAttention)]
    assert attention
    only_attention = model(None, partial(JointTransformer, dropout=0.3))
    for layer in dropout_layers(only_attention):
        if not isinstance(layer, nn.MultiheadAttention):
            layer.p = 0.0
    assert (mc_dropout(only_attention, Binary(), batches(), CPU, passes=10)["mc_mutual_information"] > 1e-9).any()


def test_nothing_but_dropout_is_in_training_mode_and_nothing_stays_so():
    net = model(0.5, norm=True)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    data, random = batches(), torch.get_rng_state()
    mc_dropout(net, Binary(), data, CPU, passes=5)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m.training for m in net.modules()) and torch.equal(random, torch.get_rng_state())


def test_the_same_seed_gives_the_same_and_another_does_not():
    first, again, other = (mc_dropout(model(), Binary(), batches(), CPU, passes=6, seed=s)["mc_prob"] for s in (3, 3, 4))
    assert first.equals(again) and not first.equals(other)


def test_content_of_absent_slots_changes_no_bit():
    first, second = (mc_dropout(model(), Binary(), batches(absent=value), CPU, passes=6) for value in (0.0, 1e30))
    assert first.equals(second)


def test_an_encoder_without_dropout_runs_once_a_batch():
    net = model(0.5)
    mc_dropout(net, Binary(), batches(24, 8), CPU, passes=100)  # 100 copies of 8 rows are four forward passes
    assert net.encoders["b"].calls == 3 and net.encoders["a"].calls == 3 * 4


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        (Multiclass(["x", "y", "z"]), ["mc_prob_x", "mc_prob_y", "mc_prob_z"]),
        (Multilabel(["x", "y"]), ["mc_prob_x", "mc_prob_y"]),
        (Evidential(["0", "1"]), ["mc_prob"]),
    ],
)
def test_columns_follow_the_task(task, columns):
    found = mc_dropout(model(outputs=task.outputs), task, batches(), CPU, passes=5)
    assert list(found) == ["index", *columns, "mc_entropy", "mc_mutual_information"]
    most = np.log(2) * task.outputs if isinstance(task, Multilabel) else np.log(task.outputs)
    assert found["mc_entropy"].between(0, most).all() and (found["mc_mutual_information"] <= found["mc_entropy"]).all()
    if isinstance(task, Multiclass) and task.outputs == 3:
        np.testing.assert_allclose(found[columns].sum(axis=1), 1)


def test_a_model_without_dropout_has_nothing_to_measure():
    found = mc_dropout(model(None), Binary(), batches(), CPU)
    assert list(found) == ["index"] and found["index"].tolist() == list(range(24))


def test_one_pass_is_refused():
    with pytest.raises(InputError, match="passes=1"):
        mc_dropout(model(), Binary(), batches(), CPU, passes=1)
