"""The simulated cohort: the same patients in any order, with any modalities, at any size; what is missing, and what is refused."""

import re
from inspect import signature
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mmdx.errors import InputError
from mmdx.parts import LOADING, dataset_from
from mmdx.simulate.cohort import MISSING, MODALITIES, SimulatedCohort
from mmdx.testing import check_dataset
from mmdx.types import Sample


def same(first, second):
    return repr(first) == repr(second) and all(
        np.array_equal(first[m][0] if m == "audio" else first[m], second[m][0] if m == "audio" else second[m]) for m in first
    )


def test_it_keeps_the_contract_of_a_data_set():
    check_dataset(SimulatedCohort(samples=40))


def test_a_sample_is_the_same_in_any_order_thread_and_process():
    cohort = SimulatedCohort(samples=12)
    forward = [cohort[i].inputs for i in range(12)]
    backward = [SimulatedCohort(samples=12)[i].inputs for i in reversed(range(12))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    for pool in (ThreadPool(4), get_context("fork").Pool(2)):
        with pool:
            assert all(same(a, b) for a, b in zip(forward, pool.map(_inputs, range(12)), strict=True))


def _inputs(index):
    return SimulatedCohort(samples=12)[index].inputs


def test_a_patient_is_the_same_whatever_the_modalities_in_use_and_the_size():
    everything, large = (SimulatedCohort(samples=n) for n in (30, 5000))
    few = SimulatedCohort(samples=30, modalities=("text", "image"))
    assert everything.table.equals(few.table) and everything.table.equals(large.table.iloc[:30])
    for m in few.modalities:
        shown = everything.findings.shown[m]
        assert np.array_equal(shown, few.findings.shown[m], equal_nan=True)
        assert np.array_equal(shown, large.findings.shown[m][:30], equal_nan=True)
    for i in range(30):
        shown, again, larger = everything[i].inputs, few[i].inputs, large[i].inputs
        assert same(shown, larger)
        assert all(same({m: shown[m]}, {m: again[m]}) for m in again if m in shown)


def test_seeds_differ_and_a_sample_states_its_row():
    first, second = SimulatedCohort(samples=50), SimulatedCohort(samples=50, seed=1)
    assert not np.array_equal(first.findings.shown["image"][:, 0], second.findings.shown["image"][:, 0])
    sample = first[3]
    assert isinstance(sample, Sample) and sample.target == first.table["target"][3]
    assert sample.meta["sample_id"] == "s000003" and {"patient_id", "site", "sex", "age_group"} <= set(sample.meta)
    assert first[-1].meta["sample_id"] == "s000049"
    with pytest.raises(IndexError):
        first[50]


def test_nothing_but_the_findings_tells_of_the_diagnosis():
    cohort = SimulatedCohort(samples=40_000)
    table = cohort.table
    for column in ("site", "meta_sex", "meta_age_group"):
        rates = table.assign(target=table["target"].astype(float)).groupby(column)["target"].mean()
        assert rates.between(0.38, 0.42).all()
    for m in MODALITIES:
        assert abs(np.corrcoef(cohort.present[m], table["target"].astype(float))[0, 1]) < 0.02


def test_patients_with_two_visits_keep_sex_age_and_site():
    table = SimulatedCohort(samples=900).table
    visits = table.groupby("patient_id")
    assert set(visits.size()) == {1, 2} and len(visits) == 720
    assert visits[["meta_sex", "meta_age_group", "site"]].nunique().max().max() == 1
    assert set(table["site"]) == {"hospital_1", "hospital_2", "hospital_3"}


def test_modalities_are_missing_at_the_rates_asked_for_and_one_is_always_left():
    cohort = SimulatedCohort(samples=20_000)
    for m in MODALITIES:
        assert 1 - cohort.present[m].mean() == pytest.approx(MISSING[m], abs=0.01)
    sparse = SimulatedCohort(samples=2000, modalities=("audio", "text"), missing={"audio": 0.9, "text": 0.9})
    assert (sparse.present["audio"] | sparse.present["text"]).all()
    assert all(sparse[i].inputs for i in range(5))
    assert SimulatedCohort(samples=500, missing={}).present["image"].all()
    assert SimulatedCohort(samples=500, modalities=("image",)).present["image"].all()


def test_posterior_and_optimum_take_any_order_and_only_modalities_in_use():
    cohort = SimulatedCohort(samples=50, modalities=("image", "text"))
    assert np.array_equal(cohort.posterior(("image", "text")), cohort.posterior(("text", "image")))
    assert cohort.optimum(("image", "text")) == pytest.approx(cohort.optimum(("text", "image")))
    absent = ~cohort.present["image"]
    assert absent.any() and np.allclose(cohort.posterior(("image",))[absent], 0.4)
    for subset in (("audio",), ()):
        with pytest.raises(InputError, match="one or more of image, text"):
            cohort.posterior(subset)


def test_the_config_is_the_constructors_default_for_the_modalities_that_have_an_encoder():
    names = ", ".join(f"{m}: {{}}" for m in MODALITIES)
    with initialize_config_dir(str(Path(__file__).resolve().parents[2] / "conf"), version_base="1.3"):
        cfg = compose(overrides=["+data=simulated", f"+encoders={{{names}}}"])
    built, default = dataset_from(cfg), SimulatedCohort()
    assert built.table.equals(default.table) and sorted(built.modalities) == sorted(default.modalities)
    assert built.model.sources == default.model.sources and built.circumstances.missing == default.circumstances.missing
    assert set(cfg.data) - {*LOADING, "_target_"} == set(signature(SimulatedCohort).parameters), "every argument is in the config"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 1}, "data.samples=1: must be a whole number of at least 2"),
        ({"samples": 2, "prevalence": 0.001, "information": {}}, "all of them have class 0"),
        ({"modalities": ("image", "ecg")}, "one or more different ones of image, text, audio, tabular, volume"),
        ({"modalities": ()}, "one or more different ones"),
        ({"prevalence": 1.0}, "data.prevalence=1.0: must be above 0 and below 1"),
        ({"information": {"image": 0.3}}, "data.information.image: no such kind of source; must be unique, redundant or synergistic"),
        ({"information": {"unique": {"image": 0.97}}}, "data.information.unique.image=0.97: must be at least 0 and below 0.952 bits"),
        ({"presentation": "both"}, "data.presentation=both: must be joint or single"),
        ({"strength": 1.0}, "data.strength=1.0: must be above 0 and at most 0.98"),
        ({"missing_odds": {"young": {}}}, "data.missing_odds.young: no such key; known are old, diseased, sites"),
        ({"missing_odds": {"old": {"image": 0}}}, "data.missing_odds.old.image=0: must be an odds ratio"),
        ({"missing_odds": {"sites": [1.0]}}, "data.missing_odds.sites=[1.0]: must have one number for each of data.sites=3"),
        ({"silent": {"image": 1.5}}, "data.silent.image=1.5"),
        ({"subgroup": {"column": "height"}}, "data.subgroup.column=height: must be one of sex, age_group, site"),
        ({"subgroup": {"column": "sex", "value": "X"}}, "data.subgroup.value=X: must be one of F, M"),
        ({"subgroup": {"silent": {"image": 0.5}}}, "data.subgroup.column: not given"),
        ({"site_prevalence": [0.2, 0.3]}, "data.site_prevalence=[0.2, 0.3]: must have one number for each of data.sites=3"),
        ({"marker": 1.0}, "data.marker=1.0: must be above 0 and below 1"),
        ({"label_noise": 0.5}, "data.label_noise=0.5: must be a number of at least 0 and below 0.5"),
        ({"later": {"marker": 0.5}}, "data.later.from_row: not given"),
        ({"later": {"from_row": 5, "marker": 0.5}}, "data.later.marker=0.5: there is no marker to change"),
        ({"later": {"from_row": 900, "prevalence": 0.2}}, "data.later.from_row=900: there are data.samples=900 visits, so nothing would change"),
        ({"missing": None, "missing_odds": {"old": {"image": 2.0}}}, "data.missing_odds.old.image: data.missing.image is 0"),
        ({"missing_odds": {"old": {"image": 1e20}}}, "data.missing_odds.old.image=1e+20: must be an odds ratio, a number from 1e-6 to 1e6"),
        ({"marker": 0.9, "modalities": ("text",)}, "data.marker=0.9: the mark is on the image, which is not in use"),
        ({"subgroup": {"column": "sex", "value": "F"}}, "data.subgroup.silent: not given"),
        ({"subgroup": {"column": ["sex"], "value": "F"}}, "data.subgroup.column=['sex']: must be one of sex, age_group, site"),
        ({"visits": 3}, "data.visits=3: must be a list"),
        ({"missing": 0.1}, "data.missing=0.1: must be a mapping"),
        ({"site_prevalence": {"a": 0.3}}, "data.site_prevalence={'a': 0.3}: must be a list"),
        ({"later": 5}, "data.later=5: must be a mapping"),
        ({"missing_odds": {"old": 3}}, "data.missing_odds.old=3: must be a mapping"),
        ({"information": None}, "data.information=None: must be bits by modalities"),
        ({"information": {"unique": 0.3}}, "data.information.unique=0.3: must be bits by modalities"),
        ({"drift": -1}, "data.drift=-1: must be a number of at least 0"),
        ({"visits": []}, "data.visits: must be a list of numbers"),
        ({"visits": [1, 0]}, "data.visits=0: must be a whole number of at least 1"),
        ({"missing": {"image": 1.0}}, "data.missing.image=1.0: must be a number of at least 0 and below 1"),
        ({"missing": {"ecg": 0.1}}, "data.missing.ecg: no such modality"),
        ({"samples": 10.5}, "data.samples=10.5: must be a whole number"),
        ({"sites": 0}, "data.sites=0"),
        ({"seed": -1}, "data.seed=-1"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments, words):
    with pytest.raises(InputError, match=re.escape(words)):
        SimulatedCohort(**arguments)
