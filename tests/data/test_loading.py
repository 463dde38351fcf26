"""Facts about loading: what is random follows (seed, epoch, row) alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmdx.data.loading import Examples, ModalityDropout, chosen_workers, loader
from mmdx.data.prepare import PreparedCohort, stop_or_quarantine
from mmdx.data.sampling import EpochSampler
from mmdx.errors import InputError, SampleError
from mmdx.types import Sample, Transform


class Noisy(Transform):
    def __call__(self, prepared, rng):
        return torch.tensor([float(prepared) + (rng.normal() if rng is not None else 0.0)])


class Numbers:
    modalities = ("a", "b")

    def __init__(self, n=40, broken=(), empty=(), only_b=()):
        self.table = pd.DataFrame({"sample_id": [f"s{i}" for i in range(n)], "target": [i % 2 for i in range(n)]})
        self.broken, self.empty, self.only_b = broken, empty, only_b

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        if index in self.broken:
            raise SampleError(f"file {index}.bin is broken.", sample_id=f"s{index}")
        inputs = {} if index in self.empty else {"b": float(-index)} if index in self.only_b else {"a": float(index), "b": float(-index)}
        return Sample(inputs, index % 2, {})


def examples(seed=0, rate=0.5, **kwargs):
    cohort = PreparedCohort(Numbers(), {"a": Noisy(), "b": Noisy()}, **kwargs)
    cohort.read()
    return Examples(cohort, cohort.transforms, np.zeros(40, np.float32), seed, ModalityDropout(rate))


def drawn(examples, workers, epochs=2):
    sampler = EpochSampler(np.arange(40), "shuffled", seed=1)
    batches = loader(examples, sampler, 8, workers)
    out = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        out += [torch.cat([b.inputs["a"].flatten(), b.present["a"].float(), b.present["b"].float()]) for b in batches]
    return torch.cat(out)


def test_workers_and_cache_change_nothing():
    base = drawn(examples(), 0)
    assert torch.equal(base, drawn(examples(), 2)) and torch.equal(base, drawn(examples(memory_gb=0.0), 0))
    assert not torch.equal(base, drawn(examples(seed=1), 0))


def test_dropout_takes_each_modality_at_its_rate_but_never_the_last():
    rng = np.random.default_rng(0)
    dropout = ModalityDropout({"a": 0.3, "b": 0.6})
    stays = [dropout(["a", "b"], rng) for _ in range(20000)]
    assert all(stays)
    # a alone goes at 0.3 * 0.4, and half of the times when both would go
    assert np.mean(["a" not in s for s in stays]) == pytest.approx(0.3 * 0.4 + 0.3 * 0.6 / 2, abs=0.012)
    assert all(dropout(["b"], rng) == ["b"] for _ in range(100))
    assert ModalityDropout(0.0)(["a", "b"], rng) == ["a", "b"]


def test_a_rate_out_of_range_is_named():
    with pytest.raises(InputError, match="training.modality_dropout=1"):
        ModalityDropout(1.0)
    with pytest.raises(InputError, match="training.modality_dropout.start=1"):
        ModalityDropout(0.3, start=1, epochs=2)
    with pytest.raises(InputError, match="training.modality_dropout.epochs=-2"):
        ModalityDropout(0.3, epochs=-2)


def test_a_rate_goes_in_a_straight_line_from_its_start_over_the_epochs():
    dropout = ModalityDropout({"a": 0.6}, start=0.2, epochs=4)
    assert [round(float(dropout.rates(["a"], epoch)[0]), 6) for epoch in range(6)] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.6]
    assert [ModalityDropout(0.6).rates(["a"], epoch)[0] for epoch in range(2)] == [0.6, 0.6]
    there = {m: np.ones(20_000, dtype=bool) for m in "abc"}
    dropout = ModalityDropout({"a": 0.6}, start=0.0, epochs=2)
    for epoch, rate in enumerate((0.0, 0.3, 0.6)):
        many = dropout.many(there, np.random.default_rng(0), epoch)
        rng = np.random.default_rng(1)
        each = [dropout(["a", "b", "c"], rng, epoch) for _ in range(5000)]
        assert np.mean(~many["a"]) == pytest.approx(rate, abs=0.01) and many["b"].all()
        assert np.mean(["a" not in stays for stays in each]) == pytest.approx(rate, abs=0.03)


def test_examples_of_later_epochs_have_the_later_rate():
    made = examples(rate=0.5)
    made.dropout = ModalityDropout(0.5, epochs=1)
    gone = [sum(not example.items[m] for example in (made[epoch, i] for i in range(40)) for m in ("a", "b")) for epoch in (0, 1)]
    assert gone[0] == 0 and gone[1] > 10


def test_faulty_samples_stop_or_are_set_aside():
    cohort = PreparedCohort(Numbers(broken=(3, 9), empty=(5,), only_b=(6,)), {"a": Noisy()})
    rows = cohort.read()
    assert [f.sample_id for f in cohort.faults] == ["s3", "s5", "s9"] and cohort.unused == 1
    assert sorted(set(range(40)) - set(rows.tolist())) == [3, 5, 6, 9]
    with pytest.raises(InputError, match=r"file 3.bin is broken. \(3 such samples in all\)"):
        stop_or_quarantine(cohort.faults, "stop")
    stop_or_quarantine(cohort.faults, "quarantine")


def test_fingerprint_follows_content_not_what_is_kept():
    def fingerprint(**kwargs):
        cohort = PreparedCohort(Numbers(**kwargs.pop("numbers", {})), {"a": Noisy(), "b": Noisy()}, **kwargs)
        cohort.read()
        return cohort.fingerprint

    assert fingerprint() == fingerprint(memory_gb=0.0) != fingerprint(numbers={"only_b": (1,)})


@pytest.mark.parametrize(
    ("in_memory", "on_gpu", "cores", "workers"),
    [(True, False, 16, 0), (False, False, 2, 1), (False, False, 1, 0), (True, True, 16, 8), (True, True, 4, 3), (False, True, 1, 1)],
)
def test_workers_are_chosen_for_the_machine(in_memory, on_gpu, cores, workers):
    assert chosen_workers(in_memory, on_gpu, cores) == workers


class Threads(Transform):
    def __call__(self, prepared, rng):
        return torch.tensor([float(torch.get_num_threads())])


def test_a_worker_has_one_thread_and_inputs_in_memory_need_no_worker_on_a_cpu():
    cohort = PreparedCohort(Numbers(), {"a": Threads()}, memory_gb=0.0)
    cohort.read()
    made = Examples(cohort, cohort.transforms, np.zeros(40, np.float32), 0, ModalityDropout(0.0))
    assert all(bool((batch.inputs["a"] == 1).all()) for batch in loader(made, EpochSampler(np.arange(40), None), 8, 1))
    assert loader(examples(), EpochSampler(np.arange(40), None), 8, None).num_workers == 0
