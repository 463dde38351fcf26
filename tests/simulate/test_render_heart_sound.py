"""A heart sound shows its findings, and nothing else depends on them. The reader below knows when the first and second sounds begin."""

import itertools

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from mmdx.simulate.draws import generator
from mmdx.simulate.heart_sound import RATE, SHAPES, _envelope, render_heart_sound
from mmdx.simulate.visit import Visits

SAMPLES = 300
NOT_SHOWN = (np.nan, np.nan, np.nan)


@pytest.fixture(scope="module")
def visits():
    return Visits(0, SAMPLES, 3, [1, 1, 1, 2], 13)


@pytest.fixture(scope="module")
def rendered(visits):
    rng = generator(5)
    findings = np.where(rng.random((SAMPLES, 3)) < 0.25, np.nan, rng.standard_normal((SAMPLES, 3)))
    return findings, [render_heart_sound(f, v, generator(6, i), with_truth=True) for i, (f, v) in enumerate(zip(findings, visits, strict=True))]


@pytest.fixture(scope="module")
def readings(rendered):
    return [read(r) for r in rendered[1]]


def read(rendering):
    """What can be heard: levels of both murmurs and of both extra sounds in dB re the first sound, and how far each stands out of the noise."""
    samples = rendering.raw.samples
    starts, ends = (np.array([e["start"] for e in rendering.truth["events"] if e["kind"] == kind and e["start"] > 0]) for kind in ("S1", "S2"))
    cycles = [(s, ends[ends > s][0], starts[starts > s][0]) for s in starts if s < starts[-1] and s < ends[-1]]
    power = {name: band(samples, *edges) for name, edges in {"low": (25, 120), "systolic": (80, 330), "diastolic": (180, 400)}.items()}
    reference = np.mean([span(power["low"], s, s + 0.08) for s, _, _ in cycles]) * 0.08 / 0.02
    return {
        "systolic": systolic(power["systolic"], cycles, reference),
        "diastolic": diastolic(power["diastolic"], cycles, reference),
        "extra": extra(band(samples, 20, 90), cycles, reference),
    }


def band(samples, low, high):
    return sosfiltfilt(butter(3, [low, high], "bandpass", fs=RATE, output="sos"), samples.astype(float)) ** 2


def span(power, low, high):
    return power[int(low * RATE) : int(high * RATE)].mean()


def course(power, intervals, first, last):
    """Mean power in twelve equal parts of the intervals, from share ``first`` of them to share ``last``, and the middle of the parts."""
    edges = np.linspace(first, last, 13)
    heard = [[span(power, a + u * (b - a), a + v * (b - a)) for u, v in itertools.pairwise(edges)] for a, b in intervals]
    return (edges[1:] + edges[:-1]) / 2, np.mean(heard, axis=0)


def hiss(power, cycles):
    """Between the murmur and the next beat, or else where it is least."""
    return np.median([span(power, e + 0.78 * (n - e), n - 0.02) for _, e, n in cycles])


def fitted(shapes, at, heard):
    """The shape that fits best (likelihood of a power, which spreads in proportion to itself), and its power where it is loudest."""
    fits = []
    for shape in shapes:
        for peak in (0.4, 0.5, 0.6) if shape == "crescendo-decrescendo" else (0.5,):
            model = _envelope(at, shape, peak) ** 2
            loudest = (heard / model).mean()
            fits.append((np.log(loudest * model).mean(), shape, loudest))
    return min(fits)[1:]


def systolic(power, cycles, reference):
    noise = hiss(power, cycles)
    at, heard = course(power, [(s + 0.05, e - 0.01) for s, e, _ in cycles], 0.2, 0.9)
    shape, loudest = fitted(SHAPES, at, np.maximum(heard - noise, 1e-3 * noise))
    return 10 * np.log10(loudest / reference), 10 * np.log10(heard.mean() / noise), shape


def diastolic(power, cycles, reference):
    noise = hiss(power, cycles)
    at, heard = course(power, [(e + 0.04, e + 0.75 * (n - e)) for _, e, n in cycles], 0.25, 0.8)
    _, loudest = fitted(("fading",), at, np.maximum(heard - noise, 1e-3 * noise))
    return 10 * np.log10(loudest / reference), 10 * np.log10(heard.mean() / noise)


def extra(power, cycles, reference):
    """Level where a third, and where a fourth sound would be, in dB re the first sound."""
    middles = [e + 0.145 for _, e, _ in cycles], [n - 0.1 for _, _, n in cycles]
    third, fourth = (np.median([span(power, middle - 0.05, middle + 0.05) for middle in each]) for each in middles)
    return 10 * np.log10(5 * third / reference), 10 * np.log10(5 * fourth / reference)


@pytest.mark.parametrize(("number", "name", "truth", "least"), [(0, "systolic", "murmur_db", 0.99), (1, "diastolic", "diastolic_db", 0.97)])
def test_the_level_of_a_murmur_is_its_finding_and_silence_is_told(rendered, readings, number, name, truth, least):
    findings, renderings = rendered
    shown = ~np.isnan(findings[:, number])
    levels, over_noise = (np.array([r[name][k] for r in readings]) for k in (0, 1))
    assert np.corrcoef(levels[shown], findings[shown, number])[0, 1] > least
    assert np.mean((over_noise > 6) == shown) >= 0.99
    stated = np.array([r.truth[truth] for r in renderings], dtype=float)
    assert np.array_equal(np.isnan(stated), ~shown) and np.abs((levels - stated)[shown].mean()) < 1.5


def test_the_shape_of_the_murmur_is_heard(rendered, readings):
    pairs = [(r.truth["murmur_shape"], x["systolic"][2]) for r, x in zip(rendered[1], readings, strict=True) if r.truth["murmur_shape"]]
    assert {said for said, _ in pairs} == set(SHAPES)
    assert np.mean([said == heard for said, heard in pairs]) > 0.95


def test_the_kind_of_the_extra_sound_is_the_sign_of_its_finding_and_its_loudness_the_size(rendered, readings):
    findings, renderings = rendered
    finding, third, fourth = findings[:, 2], *(np.array([r["extra"][k] for r in readings]) for k in (0, 1))
    shown, loudest = ~np.isnan(finding), np.maximum(third, fourth)
    plain = shown & (np.abs(finding) >= 0.3)
    assert np.mean((third > fourth)[plain] == (finding >= 0)[plain]) >= 0.99
    assert np.mean((loudest > -22) == shown) >= 0.99
    assert [r.truth["extra_sound"] for r in renderings] == [("S3" if z >= 0 else "S4") if s else None for z, s in zip(finding, shown, strict=True)]
    size = (loudest - loudest[shown].mean()) / 3 + np.abs(finding[shown]).mean()
    assert np.corrcoef(np.where(third > fourth, size, -size)[shown], finding[shown])[0, 1] > 0.98
    stated = np.array([r.truth["extra_db"] for r in renderings], dtype=float)
    assert np.abs((loudest - stated)[shown].mean()) < 1.5


def test_faint_murmurs_are_told_from_none(visits):
    for number, name in ((0, "systolic"), (1, "diastolic")):
        faint, none = [], []
        for i in range(40):
            findings = np.array(NOT_SHOWN)
            findings[1 - number] = 2.0 if i % 2 else np.nan  # whatever the other murmur is
            none.append(read(render_heart_sound(findings, visits[i], generator(7, i), True))[name][1])
            findings[number] = -3.5
            faint.append(read(render_heart_sound(findings, visits[i], generator(7, i), True))[name][1])
        assert min(faint) > max(none)


def test_events_are_where_the_energy_is(visits):
    for number, kinds in ((0, {"systolic murmur"}), (1, {"diastolic murmur"}), (2, {"S3", "S4"})):
        for i, value in enumerate((-2.0, -0.5, 0.5, 2.0)):
            findings = np.array(NOT_SHOWN)
            without = render_heart_sound(findings, visits[i], generator(8, i)).raw.samples.astype(float)
            findings[number] = value
            rendering = render_heart_sound(findings, visits[i], generator(8, i), with_truth=True)
            added = rendering.raw.samples - without * (rendering.raw.samples @ without) / (without @ without)
            events = [e for e in rendering.truth["events"] if e["kind"] in kinds]
            assert events and share_inside(added, events) > 0.97
            assert share_inside(without, [e for e in rendering.truth["events"] if e["kind"] in {"S1", "S2"}]) > 0.9


def share_inside(samples, events):
    time = np.arange(len(samples)) / RATE
    inside = np.any([(time >= e["start"]) & (time < e["stop"] + 0.005) for e in events], axis=0)
    return (samples[inside] ** 2).sum() / (samples**2).sum()


def test_events_are_in_order_inside_the_recording_and_keep_the_rate(rendered, visits):
    for visit, rendering in zip(visits, rendered[1], strict=True):
        events = rendering.truth["events"]
        assert [e["start"] for e in events] == sorted(e["start"] for e in events)
        assert all(0 <= e["start"] < e["stop"] <= 6 for e in events)
        firsts = [e["start"] for e in events if e["kind"] == "S1" and e["start"] > 0]
        assert abs(60 / np.diff(firsts).mean() - rendering.truth["heart_rate"]) < 3
        assert abs(rendering.truth["heart_rate"] / visit.heart_rate - 1) < 0.06
        assert abs(sum(e["kind"] == "S1" for e in events) - visit.heart_rate / 10) < 2


def test_a_finding_changes_its_own_sound_only(visits):
    """Up to the gain, which keeps the loudest sample from clipping."""
    for i in range(10):
        before = render_heart_sound((0.5, -0.5, 1.0), visits[i], generator(9, i), with_truth=True)
        for number, kinds in ((0, {"systolic murmur"}), (1, {"diastolic murmur"}), (2, {"S3", "S4"})):
            for value in (np.nan, -1.5, 2.0):
                findings = np.array([0.5, -0.5, 1.0])
                findings[number] = value
                after = render_heart_sound(findings, visits[i], generator(9, i), with_truth=True)
                time, elsewhere = np.arange(len(before.raw.samples)) / RATE, np.ones(len(before.raw.samples), bool)
                for event in before.truth["events"] + after.truth["events"]:
                    if event["kind"] in kinds:
                        elsewhere &= (time < event["start"] - 0.001) | (time > event["stop"] + 0.03)
                assert np.corrcoef(before.raw.samples[elsewhere], after.raw.samples[elsewhere])[0, 1] > 0.9999
                own = {0: "murmur_", 1: "diastolic_", 2: "extra_"}[number]
                same = [k for k in before.truth if not k.startswith(own) and k != "events"]
                assert {k: before.truth[k] for k in same} == {k: after.truth[k] for k in same}


def test_recordings_are_the_same_without_truth_and_have_the_form_that_encoders_take(rendered, visits):
    findings, renderings = rendered
    for i in range(0, SAMPLES, 10):
        bare = render_heart_sound(findings[i], visits[i], generator(6, i))
        assert bare.truth == {} and np.array_equal(bare.raw.samples, renderings[i].raw.samples)
    assert all(r.raw.rate == 2000 and r.raw.samples.dtype == np.float32 and r.raw.samples.shape == (12000,) for r in renderings)
    assert all(0.39 < np.abs(r.raw.samples).max() < 0.96 for r in renderings)


@pytest.mark.parametrize("finding", [-9.0, 9.0])
def test_extreme_findings_can_be_rendered(finding, visits):
    rendering = render_heart_sound((finding,) * 3, visits[0], generator(3), with_truth=True)
    assert np.isfinite(rendering.raw.samples).all() and rendering.truth["murmur_db"] == -18 + 3.5 * np.sign(finding) * 5


def test_devices_that_have_moved_change_the_stethoscope(visits):
    first, moved = (render_heart_sound((1.0, 1.0, 1.0), visits[0]._replace(devices=d), generator(3)).raw.samples for d in (0.0, 1.0))
    assert 0.9 < np.corrcoef(first, moved)[0, 1] < 0.99999
