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


@pytest.mark.parametrize("samples", [96, 97, 98, 99, 111])
def test_batches_of_all_ranks_are_those_of_one_process_with_larger_ones(samples):
    """But where the last one has fewer draws than there are ranks: it is filled up, since a rank without a batch would be waited for."""
    world, batch = 3, 8
    rows = np.arange(samples)
    parts = [[row for _, row in drawn(EpochSampler(rows, "shuffled", None, 5, rank, world, None, batch), 2)] for rank in range(world)]
    whole = [row for _, row in drawn(EpochSampler(rows, "shuffled", None, 5), 2)]
    assert len({-(-len(part) // batch) for part in parts}) == 1
    for start in range(0, -(-samples // (world * batch))):
        shared = sorted(row for part in parts for row in part[start * batch : (start + 1) * batch])
        alone = sorted(whole[start * world * batch : (start + 1) * world * batch])
        filled = sorted([*alone, *whole[: world - len(alone)]]) if len(alone) < world else alone
        assert shared == filled


def test_evaluation_draws_nothing_at_random():
    assert drawn(EpochSampler(ROWS, None)) == [(-1, int(index)) for index in ROWS]


def test_balanced_draws_a_rare_class_as_often_as_a_common_one():
    strata = np.array([0] * 950 + [1] * 50)
    rows = [index for epoch in range(20) for _, index in drawn(EpochSampler(np.arange(1000), "balanced", strata), epoch)]
    share = np.mean(np.array(rows) >= 950)
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / len(rows))


def padded(rows, sizes, batch):
    """Cells of all batches over cells that hold something, every row as long as its batch's longest."""
    cut = [sizes[rows[i : i + batch]] for i in range(0, len(rows), batch)]
    return sum(len(part) * part.max() for part in cut) / sizes[rows].sum()


@pytest.mark.parametrize("world", [1, 2])
def test_bucketed_batches_hold_every_row_once_and_pad_little(world):
    rng = np.random.default_rng(0)
    rows, sizes = np.arange(4003), np.exp(rng.normal(4, 0.6, 4003)).astype(int) + 1
    share, parts = {}, {}
    for by in (None, sizes):
        samplers = [EpochSampler(rows, "shuffled", None, 3, rank, world, by, 16) for rank in range(world)]
        parts[by is None] = [np.array([row for _, row in drawn(sampler, 5)]) for sampler in samplers]
        share[by is None] = np.mean([padded(part, sizes, 16) for part in parts[by is None]])
    assert set(np.concatenate(parts[False])) == set(rows) and len({-(-len(part) // 16) for part in parts[False]}) == 1
    assert np.array_equal(*[np.sort(np.concatenate(p)) for p in parts.values()]), "bucketing regroups the draws and changes none"
    assert share[True] > 2.2 and share[False] < 1.1
    again = EpochSampler(rows, "shuffled", None, 3, 0, world, sizes, 16)
    assert [row for _, row in drawn(again, 5)] == parts[False][0].tolist() != [row for _, row in drawn(again, 6)]


def test_bucketed_batches_come_in_random_order_and_rows_without_the_modality_are_spread_over_them():
    sizes = np.where(np.arange(1600) % 4 == 0, 0, np.arange(1600) + 1)
    rows = np.array([row for _, row in drawn(EpochSampler(np.arange(1600), "shuffled", sizes=sizes, batch_size=16))])
    batches = sizes[rows].reshape(-1, 16)
    longest = batches.max(axis=1)
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3
    lacking = (batches == 0).sum(axis=1)
    assert lacking.max() <= 11 and (lacking > 0).mean() > 0.9
