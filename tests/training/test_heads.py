"""Facts about heads on frozen features: trained at once or alone they end with the same weights, those of Lightning; features are encoded once."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score
from torch import nn
from toy import Line, Numbers, training_plan

from mmdx.data.loading import ModalityDropout
from mmdx.data.splits import HoldOut, KFold
from mmdx.encoders.tuning import Frozen
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.late import MeanOfLogits
from mmdx.fusion.tokens import JointTransformer
from mmdx.study import Study, run_together
from mmdx.tasks.binary import Binary
from mmdx.training import heads
from mmdx.training.alike import rates_as_buffers
from mmdx.training.frozen import FrozenEncoders
from mmdx.training.plan import EncoderPlan, ModelPlan

FUSIONS = {
    "concat": partial(Concatenation, hidden=8, dropout=0.0),
    "gated": partial(GatedMultimodalUnit, hidden=8),
    "late": MeanOfLogits,
    "tokens": partial(JointTransformer, hidden=8, heads=2, dropout=0.0),
}
class Branching(MeanOfLogits):
    """What it does depends on values, which a stack cannot follow."""

    def forward(self, features, present):
        if not present["left"].any():
            features = dict(features)
        return super().forward(features, present)


DROPPED = {"dropped": partial(Concatenation, hidden=16, dropout=0.5), "branching": Branching}


class Named(Numbers):
    """Numbers whose rows a cache knows again."""

    def made_from(self, index: int) -> str:
        return f"{self.values[index].tolist()} {self.missing[index]}"


class Counting(Line):
    """Counts what it encodes."""

    seen = 0

    def forward(self, items: torch.Tensor):
        Counting.seen += len(items)
        return super().forward(items)


def model_plan(fusion="concat", encoder=Line):
    return ModelPlan({m: EncoderPlan(lambda transform: encoder(), tuning=Frozen()) for m in Numbers.modalities}, (FUSIONS | DROPPED)[fusion], Binary)


def optimizer_of(fusion):
    """Attention does not depend on the bias of its keys: Adam would make steps of its gradient, which is rounding alone."""
    return partial(torch.optim.SGD, momentum=0.9) if fusion == "tokens" else torch.optim.AdamW


def quiet(**changes):
    """Nothing random but the start and the order."""
    return training_plan(**{"modality_dropout": ModalityDropout(0.0), "trainer": {"gradient_clip_val": 0.5, "max_epochs": 4}} | changes)


def run(folder, fusion="concat", training=None, dataset=None, split=None, encoder=Line, **settings):
    made = Study(dataset or Named(), model_plan(fusion, encoder), training or quiet(), split or HoldOut(), folder, encode_once=True, **settings)
    return made, made.run()


def weights(folder, name="model", which="best"):
    return torch.load(folder / "models" / name / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


def far(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_head_is_the_one_that_lightning_trains(tmp_path, fusion, monkeypatch):
    training = quiet(optimizer=optimizer_of(fusion))
    _, frame = run(tmp_path / "here", fusion, training)
    with monkeypatch.context() as patch:
        patch.setattr("mmdx.study.needs_lightning", lambda training: "asked")
        _, other = run(tmp_path / "there", fusion, training)
    for which in ("best", "last"):
        assert far(weights(tmp_path / "here", which=which), weights(tmp_path / "there", which=which)) < 1e-5
    assert frame.drop(columns="prob").equals(other.drop(columns="prob"))
    np.testing.assert_allclose(frame["prob"], other["prob"], atol=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_stacked_heads_are_those_trained_alone(tmp_path, fusion):
    for stack in (True, False):
        run(tmp_path / str(stack), fusion, quiet(optimizer=optimizer_of(fusion)), seeds=(0, 1, 2), split=KFold(folds=2), stack=stack)
    names = [f"seed{seed}-fold{fold}" for seed in range(3) for fold in range(2)]
    assert max(far(weights(tmp_path / "True", name), weights(tmp_path / "False", name)) for name in names) < 1e-5
    assert far(weights(tmp_path / "True", names[0]), weights(tmp_path / "True", names[2])) > 1e-3


@pytest.mark.slow
def test_with_dropout_stacked_heads_have_the_same_distribution_of_scores(tmp_path):
    """The draws differ between the two ways, their distribution does not: Kolmogorov and Smirnov's test over 48 seeds."""
    training = training_plan(modality_dropout=ModalityDropout(0.3), trainer={"max_epochs": 6})
    scores = {}
    for stack in (True, False):
        frame = run(tmp_path / str(stack), "dropped", training, Named(300), seeds=tuple(range(48)), stack=stack, ablation="none")[1]
        test = frame[frame["split"] == "test"]
        scores[stack] = [roc_auc_score(rows["target"], rows["prob"]) for _, rows in test.groupby("seed")]
    assert len(set(scores[True])) > 20 and scores[True] != scores[False]
    assert ks_2samp(scores[True], scores[False]).pvalue > 0.01


def settings(lr, weight_decay=0.01, gone=0.0, dropout=0.0, patience=None):
    training = quiet(lr=lr, weight_decay=weight_decay, modality_dropout=ModalityDropout(gone), patience=patience)
    return training, partial(Concatenation, hidden=8, dropout=dropout)


def studies_of(folder, *given, stack=True, seeds=(0, 1)):
    made = []
    for number, (training, fusion) in enumerate(given):
        plan = replace(model_plan(), fusion=fusion)
        made.append(Study(Named(), plan, training, HoldOut(), folder / str(number), encode_once=True, seeds=seeds, stack=stack))
    made[0].prepare()
    for other in made[1:]:
        other.take_over(made[0])
    return made


def test_heads_of_different_settings_stacked_are_those_trained_alone(tmp_path, capsys):
    """Learning rate, weight decay, modality dropout and patience are each head's own."""
    given = [settings(0.01), settings(0.1), settings(0.01, 0.5), settings(0.01, gone=0.4), settings(0.3, patience=1)]
    frames = run_together(studies_of(tmp_path / "together", *given))
    assert "10 models" in capsys.readouterr().out  # in one stack
    for number, alone in enumerate(studies_of(tmp_path / "alone", *given, stack=False)):
        np.testing.assert_allclose(frames[number]["prob"], alone.run()["prob"], atol=1e-5)
    assert min(far_apart(a, b) for n, a in enumerate(frames) for b in frames[:n]) > 1e-4


def far_apart(one, other):
    return float((one["prob"] - other["prob"]).abs().max())


def test_rates_of_dropout_in_a_stack_are_each_heads_own():
    rates = (0.0, 0.25, 0.75)
    stacked = rates_as_buffers([nn.Sequential(nn.Dropout(rate)) for rate in rates])
    for rate, module in zip(rates, stacked, strict=True):
        out = module(torch.ones(20_000))
        assert (out == 0).float().mean() == pytest.approx(rate, abs=0.02) and out.mean() == pytest.approx(1.0, abs=0.05)
        assert (module.eval()(torch.ones(5)) == 1).all()


def test_heads_that_differ_in_dropout_are_stacked_and_those_of_other_shapes_are_not(tmp_path, capsys):
    frames = run_together(studies_of(tmp_path / "a", settings(0.01), settings(0.01, dropout=0.6), seeds=(0, 1, 2)))
    assert "6 models" in capsys.readouterr().out and far_apart(*frames) > 1e-3
    alone = studies_of(tmp_path / "b", settings(0.01), stack=False, seeds=(0, 1, 2))[0].run()
    np.testing.assert_allclose(frames[0]["prob"], alone["prob"], atol=1e-5)  # the rate of 0 is 0 in a stack with others
    state = weights(tmp_path / "a" / "1", "seed0")
    assert state.keys() == weights(tmp_path / "b" / "0", "seed0").keys()
    wider = (quiet(), partial(Concatenation, hidden=16, dropout=0.0))
    run_together(studies_of(tmp_path / "c", (quiet(), partial(Concatenation, hidden=8, dropout=0.0)), wider))
    assert capsys.readouterr().out.count("2 models") == 2


def test_heads_stop_early_each_for_itself(tmp_path):
    training = quiet(patience=2, lr=0.3, trainer={"max_epochs": 12, "gradient_clip_val": 0.5})
    seeds = tuple(range(8))
    for stack in (True, False):
        run(tmp_path / str(stack), training=training, seeds=seeds, stack=stack)
    epochs = []
    for seed in seeds:
        both = [torch.load(tmp_path / s / "models" / f"seed{seed}" / "checkpoints" / "last.ckpt", weights_only=True) for s in ("True", "False")]
        assert both[0]["epoch"] == both[1]["epoch"] and far(both[0]["state_dict"], both[1]["state_dict"]) < 1e-4
        epochs.append(both[0]["epoch"])
    assert len(set(epochs)) > 1 and min(epochs) < 11


def test_the_same_run_gives_the_same_bits(tmp_path):
    training = training_plan(modality_dropout=ModalityDropout(0.3))
    frames = [run(tmp_path / name, "tokens", training, seeds=(0, 1), stack=True)[1] for name in "ab"]
    assert frames[0].equals(frames[1])


def test_a_head_that_cannot_be_stacked_is_trained_alone_and_it_is_said(tmp_path, capsys):
    run(tmp_path / "auto", "branching", seeds=(0, 1))
    assert "one head at a time, as Branching cannot be stacked" in capsys.readouterr().out
    with pytest.raises(InputError, match="training.stack=true: Branching cannot be stacked"):
        run(tmp_path / "asked", "branching", seeds=(0, 1), stack=True)


def test_losses_of_each_modality_are_those_of_lightning_in_a_stack_too(tmp_path, monkeypatch):
    training = quiet(per_modality_loss=0.5)
    run(tmp_path / "stacked", "late", training, seeds=(0, 1), stack=True)
    with monkeypatch.context() as patch:
        patch.setattr("mmdx.study.needs_lightning", lambda training: "asked")
        run(tmp_path / "lightning", "late", training, seeds=(0, 1))
    for name in ("seed0", "seed1"):
        assert far(weights(tmp_path / "stacked", name), weights(tmp_path / "lightning", name)) < 1e-5
    with pytest.raises(InputError, match="training.per_modality_loss=0.5: the fusion gives no logits of each modality"):
        run(tmp_path / "none", "concat", training, seeds=(0, 1))


def test_features_are_encoded_once_and_again_only_where_a_sample_changed(tmp_path):
    data, cache = Named(), tmp_path / "cache"

    def encoded(name, dataset):
        Counting.seen = 0
        return run(tmp_path / name, dataset=dataset, encoder=Counting, features=cache)[1], Counting.seen

    first, every = encoded("first", data)
    assert every == sum((data.missing != m).sum() for m in (0, 1))
    again, none = encoded("again", data)
    assert none == 0 and again.equals(first)
    data.values[7] += 1.0
    _, one = encoded("changed", data)
    assert one == sum(data.missing[7] != m for m in (0, 1))


def test_other_weights_or_a_broken_file_are_not_taken_for_the_same(tmp_path):
    class Wider(Counting):
        def __init__(self):
            super().__init__()
            nn.init.constant_(self.body[0].bias, 1.0)

    cache = tmp_path / "cache"
    first = run(tmp_path / "a", encoder=Counting, features=cache)[1]
    Counting.seen = 0
    run(tmp_path / "b", encoder=Wider, features=cache)
    assert Counting.seen > 0
    for file in cache.rglob("tokens.npy"):
        file.write_bytes(file.read_bytes()[:-20])
    assert run(tmp_path / "c", encoder=Counting, features=cache)[1].equals(first)


def test_noise_in_the_place_of_features_is_found_and_encoded_again(tmp_path):
    cache = tmp_path / "cache"
    first = run(tmp_path / "a", encoder=Counting, features=cache)[1]
    for file in cache.rglob("tokens.npy"):
        tokens = np.load(file)
        np.save(file, np.random.default_rng(0).normal(size=tokens.shape).astype(tokens.dtype))
    assert run(tmp_path / "b", encoder=Counting, features=cache)[1].equals(first)


def test_settings_of_an_encoder_that_leave_its_weights_alone_are_in_the_caches_key():
    class Scaled(Line):
        def __init__(self, scale=1.0, hidden=2.0):
            super().__init__()
            self.scale = scale
            self.register_buffer("hidden", torch.tensor(hidden), persistent=False)

    def key(encoder):
        torch.manual_seed(0)
        return FrozenEncoders(model_plan(encoder=encoder), torch.device("cpu")).key("left")

    keys = [key(Scaled), key(partial(Scaled, scale=2.0)), key(partial(Scaled, hidden=3.0))]
    assert len(set(keys)) == 3 and key(Scaled) == keys[0]


def test_heads_that_were_finished_before_a_kill_are_kept(tmp_path, monkeypatch):
    trained = []

    def write(head, real=heads._write):
        trained.append(head.name)
        if len(trained) == 3:
            raise KeyboardInterrupt
        real(head)

    with monkeypatch.context() as patch:
        patch.setattr(heads, "_write", write)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "a", seeds=(0, 1, 2, 3), stack=False)
    assert sorted(path.parent.name for path in tmp_path.rglob("models/*/predictions.parquet")) == ["seed0", "seed1"]
    trained[:] = [""] * 3
    frame = run(tmp_path / "a", seeds=(0, 1, 2, 3), stack=False, resume=True)[1]
    assert frame.equals(run(tmp_path / "b", seeds=(0, 1, 2, 3), stack=False)[1])


def test_a_run_that_goes_on_trains_the_same_heads_together_and_ends_in_the_same_bits(tmp_path, monkeypatch):
    """Whatever is measured to be faster by then: draws of dropout and sums of a stack are its own. One kill comes between the heads of a stack."""
    sizes = iter([4, 2, 4])
    monkeypatch.setattr("mmdx.together.at_once", lambda *arguments: (next(sizes), ""))
    seeds, written = (0, 1, 2, 3, 4, 5), []
    other = run(tmp_path / "four", "dropped", seeds=seeds)[1]
    whole = run(tmp_path / "whole", "dropped", seeds=seeds)[1]
    assert not whole.equals(other), "else there is nothing to keep"

    def predict(self, cell, trained, real=Study.predict):
        written.append(cell.name)
        if len(written) == 4:
            raise KeyboardInterrupt
        return real(self, cell, trained)

    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for place in ("predictions.parquet", "models"):
        (shutil.rmtree if place == "models" else Path.unlink)(tmp_path / "cut" / place)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Study, "predict", predict)
        run(tmp_path / "cut", "dropped", seeds=seeds)
    assert len(list(tmp_path.rglob("cut/models/*/predictions.parquet"))) == 3
    assert run(tmp_path / "cut", "dropped", seeds=seeds, resume=True)[1].equals(whole)
    assert next(sizes) == 4, "not measured again"


def test_a_run_is_not_gone_on_with_on_other_data(tmp_path):
    run(tmp_path / "a", seeds=(0, 1))
    run(tmp_path / "a", seeds=(0, 1), resume=True)
    other = Named()
    other.values[3] += 1.0
    with pytest.raises(InputError, match="resume: the data has changed since"):
        run(tmp_path / "a", seeds=(0, 1), resume=True, dataset=other)


def test_fingerprints_and_contents_are_those_of_a_run_without_features(tmp_path):
    made, _ = run(tmp_path / "a", features=tmp_path / "cache")
    cached, _ = run(tmp_path / "b", features=tmp_path / "cache")
    plain = Study(Named(), model_plan(), quiet(), HoldOut(), tmp_path / "c")
    plain.prepare()
    assert made.cohort.fingerprint == cached.cohort.fingerprint == plain.cohort.fingerprint
    assert cached.cohort.contents.tolist() == plain.cohort.contents.tolist()


def test_modality_dropout_of_many_samples_is_that_of_each():
    rng = np.random.default_rng(0)
    present = {m: rng.random(40_000) < 0.7 for m in "abc"}
    dropout = ModalityDropout({"a": 0.5, "b": 0.2, "c": 0.9})
    many = dropout.many(present, np.random.default_rng(1))
    each = [dropout([m for m in "abc" if present[m][i]], rng) for i in range(40_000) if any(present[m][i] for m in "abc")]
    for m in "abc":
        assert not (many[m] & ~present[m]).any()
        assert many[m].sum() / 40_000 == pytest.approx(sum(m in stays for stays in each) / 40_000, abs=0.01)
    there, left = (np.any([own[m] for m in "abc"], axis=0) for own in (present, many))
    assert (there == left).all()
