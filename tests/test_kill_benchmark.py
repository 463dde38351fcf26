"""A smaller number of the kills that scripts/kill_benchmark.py makes fifty of."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from kill_benchmark import SCENARIOS, benchmark


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_runs_that_are_killed_end_in_the_same_bits(tmp_path, scenario):
    found = benchmark(tmp_path, [scenario], kills=3, plain=0)
    assert [kill["differs"] for kill in found] == ["", "", ""], found
