"""Holm's adjusted p-values, against another library and a case worked by hand."""

import numpy as np
import pytest

from mmdx.evaluation.multiplicity import holm


def test_is_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 60):
        p = np.round(rng.random(n) ** 3, 3)  # some of them equal
        assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-15)


def test_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 0.005 x 4, 0.01 x 3, 0.03 x 2, no less than that before
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
