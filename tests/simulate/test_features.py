"""Facts about the features of a perfect encoder: they hold the findings exactly, and nothing else of the diagnosis."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from mmdx.encoders.given import GivenTransform
from mmdx.errors import InputError, SampleError
from mmdx.simulate.features import SimulatedFeatures, _directions
from mmdx.simulate.renderers import RENDERERS
from mmdx.simulate.rendering import FINDINGS
from mmdx.testing import check_dataset

COHORT = SimulatedFeatures(samples=400, modalities=("image", "text"), width=12, tokens=4)


def test_it_is_a_data_set_with_the_cohort_s_own_targets_and_presence():
    check_dataset(COHORT)
    assert all((m in COHORT[i].inputs) == COHORT.present[m][i] for i in range(50) for m in COHORT.modalities)


@pytest.mark.parametrize("modality", COHORT.modalities)
@pytest.mark.parametrize("tokens", [1, 4])
def test_findings_are_read_exactly_from_the_mean_of_the_tokens(modality, tokens):
    cohort = SimulatedFeatures(samples=60, modalities=COHORT.modalities, width=12, tokens=tokens)
    directions = _directions(list(RENDERERS).index(modality), 12)
    np.testing.assert_allclose(directions @ directions.T, np.eye(12), atol=1e-12)
    for i in range(60):
        shown = cohort.findings.shown[modality][i]
        read = cohort.features(i, modality).mean(axis=0) * tokens @ directions.T
        np.testing.assert_allclose(read[:FINDINGS], np.nan_to_num(shown), atol=1e-5)
        np.testing.assert_allclose(read[FINDINGS : 2 * FINDINGS], np.isnan(shown), atol=1e-5)


def test_what_is_no_finding_says_nothing_of_the_diagnosis():
    """Over 20 cohorts the p-values of Kolmogorov and Smirnov's test, cases against controls, are spread evenly over 0 to 1."""
    rest = _directions(list(RENDERERS).index("image"), 12)[2 * FINDINGS :].T
    values = []
    for seed in range(20):
        cohort = SimulatedFeatures(samples=200, modalities=COHORT.modalities, width=12, tokens=4, seed=seed)
        noise, case = np.stack([cohort.features(i, "image") @ rest for i in range(200)]), cohort.diagnosis == 1
        assert noise.std() == pytest.approx(1.0, abs=0.05) and noise.mean() == pytest.approx(0.0, abs=0.05)
        values.append(ks_2samp(noise[case].ravel(), noise[~case].ravel()).pvalue)
    assert kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("settings", "told"), [({"width": 6}, "data.width=6"), ({"tokens": 0}, "data.tokens=0"), ({"marker": 0.9}, "data.marker=0.9")]
)
def test_impossible_settings_are_named(settings, told):
    with pytest.raises(InputError, match=told):
        SimulatedFeatures(samples=20, modalities=("image",), **settings)


def test_given_features_of_another_width_or_that_are_not_finite_are_refused():
    transform = GivenTransform(3)
    assert transform.prepare([1, 2, 3]).shape == (1, 3) and transform.prepare(np.ones((5, 3))).shape == (5, 3)
    for wrong in (np.ones(4), np.ones((2, 2, 3)), np.zeros((0, 3))):
        with pytest.raises(SampleError, match=r"expected \[3\] or \[tokens, 3\]"):
            transform.prepare(wrong)
    with pytest.raises(SampleError, match="not finite"):
        transform.prepare([1, np.nan, 2])
