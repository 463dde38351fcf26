"""What a modality shows of its finding can be read off it by one who knows how it was made."""

import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from mmdx.simulate import heart_sound
from mmdx.simulate.cohort import RENDER_STREAM, RENDERERS, SimulatedCohort
from mmdx.simulate.draws import generator

SAMPLES = 250


@pytest.fixture(scope="module")
def cohort():
    return SimulatedCohort(samples=SAMPLES, missing={})


@pytest.fixture(scope="module")
def samples(cohort):
    return [cohort[i] for i in range(SAMPLES)]


def cardiothoracic_ratio(film):
    """Widest heart between the lungs over widest thorax, from the rows between hilum and diaphragm."""
    rows = gaussian_filter1d(film[72:92].astype(float), 2, axis=0)
    level = (np.percentile(rows[:, 30:100], 10) + np.percentile(rows[:, 64:68], 50)) / 2
    heart, thorax = [], []
    for row in rows:
        dark = np.flatnonzero(row[10:118] < level) + 10
        middle = 65
        right, left = dark[dark < middle].max(), dark[dark > middle].min()
        heart.append(crossing(row, left, level, -1) - crossing(row, right, level, 1))
        thorax.append(crossing(row, dark.max(), level, 1) - crossing(row, dark.min(), level, -1))
    return np.max(heart) / np.max(thorax)


def crossing(row, at, level, step):
    return at + step * (level - row[at]) / (row[at + step] - row[at])


def murmur_level(recording, heart_rate, rng):
    """Band level in systole, less that of diastole, over the low-pass filtered first sound, in dB."""
    samples, rate = recording
    starts, ends = heart_sound._beats(heart_rate, rng)
    band, low = (sosfiltfilt(butter(2, edges, "bandpass", fs=rate, output="sos"), samples) ** 2 for edges in ([120, 250], [25, 120]))
    systole = gate(band, starts + 0.25 * (ends - starts), ends - 0.1 * (ends - starts))
    diastole = gate(band, ends + 0.12, ends + 0.3)
    return 10 * np.log10(max(systole - diastole, 1e-3 * diastole) / gate(low, starts, starts + 0.08))


def gate(power, low, high):
    time = np.arange(len(power)) / heart_sound.RATE
    return power[((time[:, None] >= low) & (time[:, None] < high)).any(axis=1)].mean()


GRADE_WORDS = {1: r"\b(Minimal|Trace)\b", 2: r"\bMild\b", 3: r"\bModerate\b", 4: r"\b(Severe|Marked)\b"}
CLASSES = {"I": 0, "I-II": 1, "II": 2, "III": 3, "IV": 4}


def stated_grades(note):
    severity = sum(grade * len(re.findall(words, note)) for grade, words in GRADE_WORDS.items())
    (nyha,) = re.findall(r"(?:NYHA|NYHA class|Functional class) (I-II|IV|I{1,3})\b", note)
    return severity + CLASSES[nyha]


def agreement(measured, finding):
    return np.corrcoef(measured, finding)[0, 1]


def test_the_width_of_the_heart_is_the_finding_of_the_film(cohort, samples):
    ratio = np.array([cardiothoracic_ratio(s.inputs["image"]) for s in samples])
    assert agreement(ratio, cohort.findings["image"]) > 0.98
    assert np.abs(ratio - (0.5 + 0.05 * cohort.findings["image"])).mean() < 0.02


def test_the_level_of_the_murmur_is_the_finding_of_the_heart_sound(cohort, samples):
    number = list(RENDERERS).index("audio")
    levels = [
        murmur_level(s.inputs["audio"], cohort.visits[i].heart_rate, generator(cohort.seed, RENDER_STREAM, i, number))
        for i, s in enumerate(samples)
    ]
    assert agreement(levels, cohort.findings["audio"]) > 0.99


def test_the_grades_stated_are_the_finding_of_the_note(cohort, samples):
    total = np.array([stated_grades(s.inputs["text"]) for s in samples])
    assert np.array_equal(total, np.clip(np.round((cohort.findings["text"] + 3.6) / 0.36), 0, 20))
    assert agreement(total, cohort.findings["text"]) > 0.99


def test_the_peptide_is_the_finding_of_the_laboratory(cohort, samples):
    level = np.array([np.log(s.inputs["tabular"]["bnp"] / 100) - 0.008 * (s.inputs["tabular"]["age"] - 62) for s in samples])
    assert agreement(level / 0.5, cohort.findings["tabular"]) > 0.99


def test_raw_inputs_have_the_forms_that_encoders_take(samples):
    inputs = samples[0].inputs
    assert inputs["image"].dtype == np.uint8 and inputs["image"].shape == (128, 128)
    assert inputs["audio"].rate == 2000 and inputs["audio"].samples.dtype == np.float32 and inputs["audio"].samples.shape == (12000,)
    assert isinstance(inputs["text"], str) and len(set(inputs["text"].split("\n"))) == 5
    assert all(np.abs(s.inputs["audio"].samples).max() < 1 for s in samples)
    columns = {tuple(s.inputs["tabular"]) for s in samples}
    assert len(columns) == 1, "every row has the same columns in the same order"
    gone = np.mean([s.inputs["tabular"]["creatinine"] is None for s in samples])
    assert 0.04 < gone < 0.17
    assert all(s.inputs["tabular"]["bnp"] is not None for s in samples)


def test_film_note_and_values_do_not_name_the_diagnosis_beside_the_finding(samples, cohort):
    """Given the finding, a rendering does not know the diagnosis: it is made from (finding, visit, generator) alone."""
    visit = cohort.visits[0]
    for render in RENDERERS.values():
        first, second = (render(0.3, visit, generator(1, 2)) for _ in range(2))
        assert repr(first) == repr(second)


@pytest.mark.parametrize("finding", [-9.0, 9.0])
def test_extreme_findings_can_be_rendered(finding, cohort):
    film, _, sound, _ = (render(finding, cohort.visits[0], generator(3)) for render in RENDERERS.values())
    assert film.std() > 10 and np.isfinite(sound.samples).all()
