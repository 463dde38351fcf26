"""The benchmark compares the samplers repeat by repeat."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from sweep_benchmark import as_text, summary


def test_the_difference_is_paired_and_its_interval_students():
    rng = np.random.default_rng(0)
    cohort, gain = rng.normal(0.8, 0.1, 10), rng.normal(0.01, 0.005, 10)
    rows = []
    for sampler, repeat, count in itertools.product(("tpe", "random"), range(10), range(1, 8)):
        more = gain[repeat] if sampler == "tpe" and count == 7 else 0.0
        rows.append({"sampler": sampler, "repeat": repeat, "trials": count, "validation": cohort[repeat] + more, "test": cohort[repeat]})
    found = summary(pd.DataFrame(rows), 7).set_index(["trials", "AUROC"])
    expected = stats.ttest_1samp(gain, 0).confidence_interval(0.95)
    assert found.loc[(7, "validation"), ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])
    assert found.loc[(5, "validation"), "difference"] == pytest.approx(0) and found.loc[(7, "test"), "difference"] == pytest.approx(0)
    assert set(found.index.get_level_values("trials")) == {5, 7} and as_text(found.reset_index()).count("\n") == 6
