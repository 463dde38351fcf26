"""What sources say: by themselves, together, and to whom."""

import numpy as np
import pytest
from scipy.special import ndtr

from mmdx.errors import InputError
from mmdx.simulate.circumstances import draw_presence, pattern_probabilities, telling_probabilities
from mmdx.simulate.latent import KEY, LatentFindings, entropy, information, separation_for
from mmdx.simulate.optimum import Atom, Population

NAMES = ("a", "b", "c")


def model(information, presentation="joint", prevalence=0.4, strength=0.8):
    return LatentFindings(information, NAMES, prevalence, presentation, strength)


def drawn(latent, n=200_000, prevalence=0.4):
    diagnosis = (np.random.default_rng(5).random(n) < prevalence).astype(int)
    return diagnosis, latent.draw(diagnosis, seed=3)


def test_information_and_separation_are_inverse_and_information_is_bounded_by_the_entropy():
    for prevalence in (0.1, 0.4):
        for bits in (0.0, 0.05, 0.3, 0.45):
            assert information(separation_for(bits, prevalence), prevalence) == pytest.approx(bits, abs=1e-9)
        assert information(12.0, prevalence) == pytest.approx(float(entropy(np.array(prevalence))), abs=1e-6)


def test_a_finding_is_normal_about_half_its_separation_either_side():
    latent = model({"unique": {"a": 0.3}})
    diagnosis, findings = drawn(latent)
    d = latent.sources[0].separation
    for y in (0, 1):
        t = findings.value["unique a"][diagnosis == y]
        assert t.mean() == pytest.approx((y - 0.5) * d, abs=0.02) and t.std() == pytest.approx(1, abs=0.01)
    assert np.array_equal(findings.shown["a"][:, 0], findings.value["unique a"])


def test_all_who_show_a_redundant_source_show_the_same_and_it_counts_once():
    latent = model({"redundant": {"a+b": 0.3}})
    _, findings = drawn(latent, 1000)
    assert np.array_equal(findings.shown["a"][:, 1], findings.shown["b"][:, 1]) and np.isnan(findings.shown["c"][:, 1]).all()
    alone, both = (latent.separations(names) for names in (("a",), ("a", "b")))
    assert alone == both and latent.separations(("c",)) == {0.0: 1.0}


def test_a_synergistic_source_says_nothing_to_some_and_everything_to_all():
    latent = model({"synergistic": {"a+b+c": 0.4}})
    diagnosis, findings = drawn(latent)
    keys, last = [findings.shown[m][:, 2] for m in "ab"], findings.shown["c"][:, 2]
    assert all(set(np.unique(key)) == {-KEY, KEY} for key in keys)
    assert np.allclose(last * keys[0] * keys[1] / KEY**2, findings.value["synergistic a+b+c"])
    for seen in (keys[0], keys[1], last, keys[0] * keys[1], keys[0] * last):
        assert abs(np.corrcoef(seen, diagnosis)[0, 1]) < 0.01
    assert latent.separations(("a", "b")) == {0.0: 1.0} and latent.separations(NAMES) != {0.0: 1.0}


def test_bits_of_the_single_presentation_add_up_and_a_patient_shows_one_source_at_most():
    latent = model({"unique": {"a": 0.2, "b": 0.15}, "redundant": {"b+c": 0.1}}, "single")
    _, findings = drawn(latent)
    active = np.stack([findings.active[s.name] for s in latent.sources if s.bits])
    assert active.sum(axis=0).max() == 1
    assert active.mean(axis=1) == pytest.approx([s.bits / (0.8 * latent.most) for s in latent.sources if s.bits], abs=0.005)
    for names, bits in ((("a",), 0.2), (("b",), 0.25), (("c",), 0.1), (("b", "c"), 0.25), (NAMES, 0.45)):
        atoms = [Atom(0.4 * share, 0.6 * share, np.log(0.4 / 0.6), square) for square, share in latent.separations(names).items()]
        assert Population(atoms).information() == pytest.approx(bits, abs=1e-9)


def test_what_nobody_asks_to_tell_is_shown_all_the_same_and_tells_nothing():
    latent = model({"unique": {"a": 0.3, "b": 0.0}})
    diagnosis, findings = drawn(latent)
    for m in "bc":
        shown = findings.shown[m][:, 0]
        assert shown.std() == pytest.approx(1, abs=0.01) and abs(np.corrcoef(shown, diagnosis)[0, 1]) < 0.01
    assert latent.separations(("b", "c")) == {0.0: 1.0}


def test_draws_of_a_source_do_not_depend_on_the_others():
    _, few = drawn(model({"unique": {"a": 0.3}}), 500)
    _, many = drawn(model({"unique": {"b": 0.2, "a": 0.3}, "synergistic": {"b+c": 0.2}}), 500)
    assert np.array_equal(few.shown["a"], many.shown["a"], equal_nan=True)


def test_one_finding_has_the_auroc_of_the_binormal_model():
    for d in (0.0, 0.5, 1.5, 3.0):
        assert Population([Atom(0.3, 0.7, np.log(0.3 / 0.7), d * d)]).auroc() == pytest.approx(ndtr(d / np.sqrt(2)), abs=1e-12)


def test_without_information_the_optimum_is_chance():
    scores = Population([Atom(0.3, 0.7, np.log(0.3 / 0.7), 0.0)]).scores()
    assert scores == pytest.approx({"auroc": 0.5, "auprc": 0.3, "brier": 0.3 * 0.7}, abs=1e-9)


def test_pattern_probabilities_are_those_of_the_draw():
    missing = {"a": 0.5, "b": 0.2, "c": 0.6}
    rng = np.random.default_rng(0)
    here = draw_presence(np.tile(list(missing.values()), (200_000, 1)), rng.random((200_000, 3)), rng.random((200_000, 3)))
    assert here.any(axis=1).all()
    probabilities = pattern_probabilities(missing, ("a", "c"))
    assert sum(probabilities.values()) == pytest.approx(1)
    for pattern, probability in probabilities.items():
        assert probability == pytest.approx((here[:, [0, 2]] == ["a" in pattern, "c" in pattern]).all(axis=1).mean(), abs=0.005)
    telling = telling_probabilities({"a": 0.2, "c": 0.0}, ("a", "c"))
    assert telling == pytest.approx({("a", "c"): 0.8, ("c",): 0.2})


@pytest.mark.parametrize(
    ("information", "words"),
    [
        ({"unique": {"ecg": 0.1}}, "data.information.unique.ecg: no modality 'ecg'"),
        ({"unique": {"a+b": 0.1}}, "a unique source has one modality"),
        ({"redundant": {"a": 0.1}}, "a redundant source has two or more"),
        ({"synergistic": {"a+a": 0.1}}, "two or more different modalities"),
        ({"unique": {"a": 0.96}}, "data.information.unique.a=0.96: must be at least 0 and below 0.952 bits"),
        ({"unique": {"a": "much"}}, "data.information.unique.a=much: must be a number of bits"),
        ({"redundant": {"a+b": 0.1, "b+a": 0.1}}, "data.information.redundant.b+a: these modalities have a redundant source already"),
        ({"redundant": {"a+b": 0.1, "a+c": 0.1, "a+b+c": 0.1}}, "data.information.redundant.a+b+c: a would have to show more than it can"),
    ],
)
def test_information_that_cannot_be_is_refused_in_one_sentence(information, words):
    import re

    with pytest.raises(InputError, match=re.escape(words)):
        model(information)


def test_more_than_there_is_to_know_is_refused_where_bits_add_up():
    with pytest.raises(InputError, match=r"data.information: 0.900 bits in all, .* at most data.strength=0.8 of 0.971 bits can be told \(0.777\)"):
        model({"unique": {"a": 0.5, "b": 0.4}}, "single")
