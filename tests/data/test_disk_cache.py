"""Facts about prepared inputs on disk: the same as made anew, made again whenever anything they rest on changed, bounded, and whole."""

import multiprocessing
import os
import shutil
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mmdx.data.manifest import Manifest
from mmdx.data.masking import Masked
from mmdx.data.prepare import PreparedCohort
from mmdx.data.prepared_store import PreparedStore
from mmdx.encoders.image import ImageTransform
from mmdx.errors import InputError
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.types import Transform


class Pair(NamedTuple):
    values: np.ndarray
    rate: int


def picture(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 7), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    rows = ["sample_id,image,note,label"]
    for i in range(6):
        picture(tmp_path / f"{i}.png", i)
        rows.append(f"s{i},{f'{i}.png' if i else '0.png;1.png'},word number {i},{i % 2}")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


class Counted(Transform):
    """Counts what it prepares."""

    made = 0

    def prepare(self, raw):
        Counted.made += 1
        return np.asarray(raw) + 1


def cohort(folder, size=8, memory_gb=1.0, transform=None, gigabytes=1.0):
    store = PreparedStore(folder / "cache", gigabytes)
    made = PreparedCohort(Manifest(folder / "m.csv"), {"image": transform or ImageTransform(size)}, memory_gb, store=store)
    made.read()
    return made


def same(a, b):
    return all(np.array_equal(x, y) for i in range(6) for x, y in zip(a[i]["image"], b[i]["image"], strict=True))


def test_a_second_run_prepares_nothing_and_has_the_same(folder):
    plain = PreparedCohort(Manifest(folder / "m.csv"), {"image": Counted()})
    plain.read()
    first = cohort(folder, transform=Counted())
    Counted.made = 0
    second = cohort(folder, transform=Counted(), memory_gb=0.0)
    assert same(first, second) and same(plain, second) and not second.kept and Counted.made == 0
    assert plain.fingerprint == first.fingerprint == second.fingerprint and plain.contents.tolist() == second.contents.tolist()


def test_a_changed_file_is_read_again_though_its_size_and_time_are_the_same(folder):
    before = cohort(folder)
    times = os.stat(folder / "3.png")
    raw = bytearray((folder / "3.png").read_bytes())
    picture(folder / "3.png", 99)
    changed = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(changed[: len(raw)].ljust(len(raw), b"\0"))
    os.utime(folder / "3.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = cohort(folder)
    fresh = PreparedCohort(Manifest(folder / "m.csv"), {"image": ImageTransform(8)})
    fresh.read()
    assert not np.array_equal(before[3]["image"][0], after[3]["image"][0]) and same(after, fresh)


def test_another_transform_has_entries_of_its_own(folder):
    assert cohort(folder, size=8)[2]["image"][0].shape[-2:] == (8, 8)
    assert cohort(folder, size=12)[2]["image"][0].shape[-2:] == (12, 12)


def test_a_cohort_that_was_moved_is_known(folder, tmp_path_factory):
    cohort(folder, transform=Counted())
    moved = tmp_path_factory.mktemp("moved") / "m"
    shutil.copytree(folder, moved)
    Counted.made = 0
    cohort(moved, transform=Counted())
    assert Counted.made == 0


def test_a_damaged_entry_is_made_anew(folder):
    first = cohort(folder)
    for path in (folder / "cache").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-40])
    assert same(first, cohort(folder))
    assert same(first, cohort(folder, memory_gb=0.0))


def test_the_bound_holds_and_what_was_used_last_stays(tmp_path):
    store = PreparedStore(tmp_path, 100 * 2**10 / 2**30)
    for i in range(40):
        store.put(f"{i:040d}", {"x": np.zeros(8 * 2**10, np.uint8)})
        store.get(f"{0:040d}")
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.npz"))
    first, last, unused = (store.get(f"{i:040d}") for i in (0, 39, 1))
    assert size <= 1.06 * 100 * 2**10 and first is not None and last is not None and unused is None


def test_what_comes_back_is_what_was_put(tmp_path):
    store = PreparedStore(tmp_path, 1)
    value = {"a": [Pair(np.arange(3.0), 4), "Hustén", None], "b": (np.zeros((2, 0), np.int16), True, 2.5)}
    store.put("ab" * 20, value)
    back = store.get("ab" * 20)
    assert isinstance(back["a"][0], Pair) and back["a"][0].rate == 4 and np.array_equal(back["a"][0].values, np.arange(3.0))
    assert back["a"][1:] == ["Hustén", None] and back["b"][0].shape == (2, 0) and back["b"][0].dtype == np.int16 and back["b"][1:] == (True, 2.5)
    store.put("cd" * 20, {"f": print})
    assert store.get("cd" * 20) is None


def test_an_entry_of_foreign_making_runs_nothing(tmp_path):
    store = PreparedStore(tmp_path, 1)
    tree = b'{"named": ["os", "system", ["touch ran"]]}'
    (tmp_path / "ab").mkdir()
    np.savez(tmp_path / "ab" / f"{'ab' * 20}.npz", tree=np.frombuffer(tree, np.uint8))
    assert store.get("ab" * 20) is None


def write_many(folder, seed):
    store = PreparedStore(folder, 2 * 2**20 / 2**30)
    for i in np.random.default_rng(seed).integers(0, 60, 300):
        value = store.get(f"{i:040d}")
        assert value is None or (value["x"] == i).all()
        store.put(f"{i:040d}", {"x": np.full(2**16, i, np.uint8)})


def test_several_processes_may_share_it(tmp_path):
    workers = [multiprocessing.get_context("spawn").Process(target=write_many, args=(tmp_path, seed)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0] and not list(tmp_path.rglob(".*"))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.npz")) <= 1.2 * 2 * 2**20


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cache\.root=.*file/cache: .*; name a folder"):
        PreparedStore(tmp_path / "file" / "cache", 1)


def test_masks_make_entries_of_their_own(folder):
    for i in range(6):
        (folder / f"{i}.txt").write_text(f"word number {i}")
    (folder / "m.csv").write_text("\n".join(["sample_id,note,label", *(f"s{i},{i}.txt,{i % 2}" for i in range(6))]) + "\n")
    found = []
    for masks in ([], ["number"], [f"w{i}" for i in range(200)], ["number"]):
        data = Masked(Manifest(folder / "m.csv"), {"note": masks}) if masks else Manifest(folder / "m.csv")
        made = PreparedCohort(data, {"note": Transform()}, store=PreparedStore(folder / "cache", 1.0))
        made.read()
        found.append(made[2]["note"])
    assert found == [["word number 2"], ["word   2"], ["word number 2"], ["word   2"]]


def test_simulated_rows_are_kept_by_what_they_are_made_from(tmp_path):
    """Another seed, another finding or another device is another row; a larger cohort or other rates that leave the row as it was are not."""

    def read(workers=0, **arguments):
        data = SimulatedCohort(**{"samples": 12, "modalities": ("image",), "missing": {}} | arguments)
        made = PreparedCohort(data, {"image": Counted()}, store=PreparedStore(tmp_path / "cache", 1.0))
        before = Counted.made
        made.read(workers=workers)
        return made, Counted.made - before

    first, made = read()
    assert made == 12
    again, made = read(samples=20)
    assert made == 8 and same_rows(first, again)
    assert read(label_noise=0.1)[1] == 0
    for other in ({"seed": 1}, {"later": {"from_row": 0, "devices": 1.0}}, {"information": {"unique": {"image": 0.1}}}):
        assert read(**other)[1] == 12


@pytest.mark.parametrize("kept", [False, True])
def test_processes_read_what_threads_read(folder, kept):
    made = []
    for workers in (0, 2):
        store = PreparedStore(folder / f"cache{workers}", 1.0) if kept else None
        one = PreparedCohort(Manifest(folder / "m.csv"), {"image": ImageTransform(8)}, store=store)
        rows = one.read(workers=workers)
        made.append((rows.tolist(), one.fingerprint, one.contents.tolist(), one.stored, one))
    assert made[0][:4] == made[1][:4] and same(made[0][4], made[1][4]) and bool(made[0][3]) == kept


def same_rows(a, b):
    return all(np.array_equal(x, y) for i in range(12) for x, y in zip(a[i]["image"], b[i]["image"], strict=True))
