"""The decomposition is that of Bertschinger et al. 2014."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import rel_entr

from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.decomposition import decompose_joint


def joint_of(function, shape):
    """P(y, x1, x2) of y = function(x1, x2), both drawn evenly."""
    joint = np.zeros((2, *shape))
    for a in range(shape[0]):
        for b in range(shape[1]):
            joint[function(a, b), a, b] = 1 / np.prod(shape)
    return joint


def test_exclusive_or_is_synergy_a_copy_is_redundant_and_one_alone_is_unique():
    assert decompose_joint(joint_of(lambda a, b: a ^ b, (2, 2))) == pytest.approx((0, 0, 0, 1), abs=1e-12)
    assert decompose_joint(joint_of(lambda a, b: a, (2, 2))) == pytest.approx((0, 1, 0, 0), abs=1e-12)
    copy = np.zeros((2, 2, 2))
    copy[0, 0, 0] = copy[1, 1, 1] = 0.5
    assert decompose_joint(copy) == pytest.approx((1, 0, 0, 0), abs=1e-12)


def test_the_conjunction_has_the_published_parts():
    """Bertschinger et al. 2014, table 1: AND has 0.311 bits shared, none unique, 0.5 complementary."""
    assert decompose_joint(joint_of(lambda a, b: a & b, (2, 2))) == pytest.approx((0.311, 0, 0, 0.5), abs=5e-4)


@pytest.mark.slow
def test_random_distributions_agree_with_dit():
    """dit minimises numerically from a random start and may stop early: the union of its best run is never below ours, and nearly always ours."""
    dit = pytest.importorskip("dit", reason="dit is not installed: pip install 'mmdx[dev]'")
    rng, equal = np.random.default_rng(0), 0
    np.random.seed(0)  # dit draws its starts from numpy's own generator
    for _ in range(8):
        k, size = rng.integers(2, 4, 2)
        joint = rng.dirichlet(np.ones(2 * k * size)).reshape(2, k, size)
        ours = decompose_joint(joint)
        theirs = of_dit(dit, joint, sum(ours[:3]))
        assert sum(ours[:3]) <= sum(theirs[:3]) + 1e-3
        equal += np.allclose(ours, theirs, atol=2e-3)
    assert equal >= 5


def of_dit(dit, joint, enough):
    """Its best run of those that meet their own constraints: what it says of each source has to sum to that source's information."""
    outcomes = {f"{a}{b}{y}": joint[y, a, b] for y, a, b in np.ndindex(joint.shape) if joint[y, a, b] > 0}
    alone = information(joint.sum(axis=2)), information(joint.sum(axis=1))
    runs = []
    for seed in range(20):
        np.random.seed(seed)  # dit begins its search at a point of numpy's own generator
        parts = dit.pid.PID_BROJA(dit.Distribution(list(outcomes), list(outcomes.values())), [[0], [1]], [2])
        shared, *unique, both = (float(parts[key]) for key in (((0,), (1,)), ((0,),), ((1,),), ((0, 1),)))
        if all(abs(shared + own - told) < 5e-4 for own, told in zip(unique, alone, strict=True)):
            runs.append([shared, *unique, both])
            if sum(runs[-1][:3]) < enough + 1e-4:
                break
    return min(runs, key=lambda parts: sum(parts[:3]))  # the least union is the best found


def information(joint):
    """Mutual information of the two axes in bits."""
    return float(rel_entr(joint, joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)).sum() / np.log(2))


def test_a_modality_has_nothing_unique_where_it_can_be_made_from_the_other_by_noise():
    """The claim that the hull of the ROC curves rests on, by linear programming: no noise makes the one from the other where it has a unique part."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        joint = rng.dirichlet(np.full(18, 0.7)).reshape(2, 3, 3)
        first, second = joint.sum(axis=2), joint.sum(axis=1)
        given = first / first.sum(axis=1, keepdims=True), second / second.sum(axis=1, keepdims=True)
        assert (decompose_joint(joint).unique_first < 1e-9) == can_be_made(*given)


def can_be_made(wanted, source):
    """Whether some P(x1 | x2) turns the channel P(x2 | y) into P(x1 | y), [2, K] each."""
    k, size = wanted.shape[1], source.shape[1]
    rows, right = [], []
    for y in range(2):
        for a in range(k):
            row = np.zeros((size, k))
            row[:, a] = source[y]
            rows.append(row.ravel())
            right.append(wanted[y, a])
    for b in range(size):
        row = np.zeros((size, k))
        row[b] = 1
        rows.append(row.ravel())
        right.append(1)
    return linprog(np.zeros(size * k), A_eq=np.array(rows), b_eq=np.array(right), bounds=(0, 1)).status == 0


SETTINGS = {
    "default": {},
    "synergistic": {"information": {"synergistic": {"image+text": 0.5}}},
    "redundant": {"information": {"redundant": {"image+text": 0.5}}},
    "unique": {"information": {"unique": {"image": 0.5}}},
    "mixed": {"information": {"unique": {"image": 0.3, "text": 0.05}, "redundant": {"image+text": 0.1}, "synergistic": {"image+text": 0.2}}},
    "single": {"information": {"unique": {"image": 0.3, "text": 0.1}, "synergistic": {"image+text": 0.2}}, "presentation": "single"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_parts_of_a_cohort_sum_to_its_information(name):
    cohort = SimulatedCohort(samples=60, modalities=("image", "text"), **SETTINGS[name])
    parts = cohort.decomposition("image", "text")
    assert min(parts) > -1e-6
    assert sum(parts) == pytest.approx(cohort.information(("image", "text")), abs=1e-6)
    assert parts.redundant + parts.unique_first == pytest.approx(cohort.information(("image",)), abs=1e-3)
    assert parts.redundant + parts.unique_second == pytest.approx(cohort.information(("text",)), abs=1e-3)


def test_pure_settings_are_told_as_what_was_asked():
    pure = {name: SimulatedCohort(samples=60, modalities=("image", "text"), **SETTINGS[name]).decomposition("image", "text") for name in SETTINGS}
    assert pure["synergistic"] == pytest.approx((0, 0, 0, 0.5), abs=1e-3)
    assert pure["redundant"] == pytest.approx((0.5, 0, 0, 0), abs=1e-3)
    assert pure["unique"] == pytest.approx((0, 0.5, 0, 0), abs=1e-3)


@pytest.mark.parametrize("name", SETTINGS)
def test_cohorts_in_few_steps_agree_with_dit(name):
    """What the first finding that a source has is cut to, four steps or three, gives a joint distribution that dit can decompose."""
    dit = pytest.importorskip("dit", reason="dit is not installed: pip install 'mmdx[dev]'")
    cohort = SimulatedCohort(samples=200_000, modalities=("image", "text"), missing={}, **SETTINGS[name])
    codes = []
    for m in cohort.modalities:
        shown = cohort.findings.shown[m]
        telling = [s.place[m] for s in cohort.model.sources if s.bits and m in s.modalities]
        code = np.zeros(len(cohort), int)
        for place in telling[:2]:
            value = np.nan_to_num(shown[:, place], nan=99.0)
            code = code * 3 + np.digitize(value, [0.0, 50.0])
        codes.append(np.unique(code, return_inverse=True)[1])
    joint = np.zeros((2, *(code.max() + 1 for code in codes)))
    np.add.at(joint, (cohort.diagnosis, *codes), 1 / len(cohort))
    ours = decompose_joint(joint)
    np.testing.assert_allclose(ours, of_dit(dit, joint, sum(ours[:3])), atol=2e-3)
