"""Facts about the order of samples."""

import numpy as np
import pytest

from mmdx.data.sampling import EpochSampler

ROWS = np.arange(100, 123)


def drawn(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_shuffled_is_every_row_once_and_a_function_of_seed_and_epoch():
    first = drawn(EpochSampler(ROWS, "shuffled", seed=3), 5)
    assert sorted(index for _, index in first) == list(ROWS) and {epoch for epoch, _ in first} == {5}
    assert first == drawn(EpochSampler(ROWS, "shuffled", seed=3), 5)
    assert first != drawn(EpochSampler(ROWS, "shuffled", seed=3), 6) and first != drawn(EpochSampler(ROWS, "shuffled", seed=4), 5)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_ranks_share_every_row_and_have_as_many(world):
    parts = [drawn(EpochSampler(ROWS, None, rank=rank, world=world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    assert {index for part in parts for _, index in part} == set(ROWS)


def test_evaluation_draws_nothing_at_random():
    assert drawn(EpochSampler(ROWS, None)) == [(-1, int(index)) for index in ROWS]


def test_balanced_draws_a_rare_class_as_often_as_a_common_one():
    strata = np.array([0] * 950 + [1] * 50)
    rows = [index for epoch in range(20) for _, index in drawn(EpochSampler(np.arange(1000), "balanced", strata), epoch)]
    share = np.mean(np.array(rows) >= 950)
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / len(rows))
