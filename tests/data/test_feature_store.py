"""Features on disk hold while other processes join, remove and add to them."""

import numpy as np
import torch

from mmdx.data.feature_store import MOST_SEGMENTS, FeatureStore, remove_old


def filled(folder, segments):
    store = FeatureStore(folder, 2)
    for k in range(segments):
        store.put([f"row {k}"], [f"content {k}"], [np.full((1, 2), k, np.float32)])
    return store


def test_what_was_found_stays_readable_after_another_process_joined_its_segments(tmp_path):
    filled(tmp_path, MOST_SEGMENTS + 1)
    ours, theirs = FeatureStore(tmp_path, 2), FeatureStore(tmp_path, 2)
    names = [f"row {k}" for k in range(MOST_SEGMENTS + 1)]
    found = ours.find(names)
    theirs.join()
    assert len(list(tmp_path.glob("segment-*"))) == 1
    assert [float(torch.from_numpy(found.tokens[s])[at, 0]) for s, at in zip(found.segment, found.start, strict=True)] == list(range(len(names)))


def test_tokens_in_memory_are_not_those_of_the_file(tmp_path):
    found = filled(tmp_path, 1).find(["row 0"])
    found.tokens[0][:] = 7.0
    assert (FeatureStore(tmp_path, 2).find(["row 0"]).tokens[0] == 0.0).all()


def test_files_that_vanish_while_sizes_are_taken_are_no_fault(tmp_path, monkeypatch):
    for name in ("a", "b"):
        filled(tmp_path / name, 1)
    is_file = type(tmp_path).is_file

    def gone(path, **given):
        here = is_file(path, **given)
        if path.name == "tokens.npy" and "a" in path.parts[-3:]:
            path.unlink(missing_ok=True)
        return here

    monkeypatch.setattr(type(tmp_path), "is_file", gone)
    remove_old(tmp_path, 0, {tmp_path / "b"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
