"""One who knows how a film is made reads its three findings off it, and sees which of them isn't shown."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from mmdx.simulate.draws import generator
from mmdx.simulate.radiograph import render_radiograph
from mmdx.simulate.visit import Visit

FILMS = 300
NAN = float("nan")
VISIT = Visit(60, "F", 0, 70.0, 120)


def crossing(line, at, level, step):
    """Where a line passes the level, between pixel ``at`` and the next."""
    return at + step * (level - line[at]) / (line[at + step] - line[at])


def walls(film):
    """Columns of the inner chest wall, right and left of the patient, where the thorax is widest."""
    line = gaussian_filter(film[61:68].astype(float), 1).mean(axis=0)
    level = (np.percentile(line[20:108], 10) + np.percentile(np.r_[line[8:14], line[114:120]], 50)) / 2
    dark = np.flatnonzero(line[10:118] < level) + 10
    return crossing(line, dark.min(), level, -1), crossing(line, dark.max(), level, 1)


def cardiothoracic_ratio(film):
    """Largest distance of either border of the heart from the middle, over the width between the walls."""
    rows = gaussian_filter1d(film.astype(float), 1.5, axis=0)
    level = (np.percentile(rows[66:92, 24:106], 10) + np.percentile(rows[80:92, 62:70], 50)) / 2
    borders = []
    for step, first, last in ((-1, 70, 86), (1, 74, 99)):
        lines = (row[:65] if step < 0 else row for row in rows[first:last])
        reach = []
        for line in lines:
            dark = np.flatnonzero(line[14:114] < level) + 14
            dark = dark[dark < 64] if step < 0 else dark[dark > 66]
            if len(dark):
                at = dark.max() if step < 0 else dark.min()
                reach.append(crossing(line, at, level, -step))
        borders.append(min(reach) if step < 0 else max(reach))
    right, left = walls(film)
    return (borders[1] - borders[0]) / (left - right)


def lung_bottom(film, column):
    """Row where the lung ends in the columns about this one, which may lie between two."""
    first, weight = int(column), column - int(column)
    columns = film[:, first - 1 : first + 3].astype(float)
    line = gaussian_filter1d(((1 - weight) * columns[:, :-1] + weight * columns[:, 1:]).mean(axis=1), 1)
    level = 0.35 * np.percentile(line[44:70], 30) + 0.65 * np.percentile(line[114:126], 50)
    return crossing(line, np.flatnonzero(line[:118] < level).max(), level, 1)


def effusion_level(film):
    """How much higher the right lung ends than the left beside the wall, over the lung's height."""
    right, left = walls(film)
    low, rim = lung_bottom(film, left - 5), lung_bottom(film, right + 5)
    return (low - rim) / (low - 9)


def haze(film):
    """Tone of the right lower lung beside any heart and above any effusion: 0 as the upper lung, 1 as the heart."""
    lung, heart = film[40:60, 28:46].mean(), np.median(film[80:92, 62:70])
    return (film[72:78, 38:45].mean() - lung) / (heart - lung)


def opacity(film):
    """Difference between the left lung and its mirror image where it is large, over that of heart and lung; above 0 on the patient's left."""
    middle, columns = sum(walls(film)) / 2, np.arange(17, 39)
    smooth = gaussian_filter(film.astype(float), 2)[26:60]
    left, right = smooth[:, np.round(middle + columns).astype(int)], smooth[:, np.round(middle - columns).astype(int)]
    difference = left - right
    patch = np.abs(difference) > 0.6 * np.abs(difference).max()
    return difference[patch].mean() / (np.median(film[80:92, 62:70]) - np.median(np.minimum(left, right)))


def draw(number):
    rng = generator(7, number)
    findings = np.where(rng.random(3) < 0.25, NAN, rng.standard_normal(3))
    return findings, VISIT._replace(site=number % 4, marker=int(rng.integers(-1, 2)))


@pytest.fixture(scope="module")
def films():
    drawn = [draw(i) for i in range(FILMS)]
    findings, visits = np.array([f for f, _ in drawn]), [v for _, v in drawn]
    return findings, visits, [render_radiograph(f, v, generator(8, i)).raw for i, (f, v) in enumerate(drawn)]


def agreement(films, number, reader):
    findings, _, pictures = films
    rows = np.flatnonzero(~np.isnan(findings[:, number]))
    measured = np.array([reader(pictures[row]) for row in rows])
    return measured, findings[rows, number], np.corrcoef(measured, findings[rows, number])[0, 1]


def told(films, number, reader, threshold):
    """Share of films for which a reading above the threshold says rightly that the finding is shown."""
    findings, _, pictures = films
    return np.mean([(reader(film) > threshold) != np.isnan(z) for film, z in zip(pictures, findings[:, number], strict=True)])


def test_the_first_finding_is_the_width_of_the_heart(films):
    measured, finding, correlation = agreement(films, 0, cardiothoracic_ratio)
    assert correlation > 0.98
    assert np.abs(measured - (0.5 + 0.05 * finding)).mean() < 0.015


def test_the_second_finding_is_the_level_of_the_effusion(films):
    assert agreement(films, 1, effusion_level)[2] > 0.97


def test_the_third_finding_is_side_and_density_of_the_opacity(films):
    measured, finding, _ = agreement(films, 2, opacity)
    clear = np.abs(finding) >= 0.3
    assert np.mean(np.sign(measured[clear]) == np.sign(finding[clear])) >= 0.99
    assert np.corrcoef(np.abs(measured), np.abs(finding))[0, 1] > 0.9


def test_what_is_not_shown_is_told_from_every_value(films):
    assert told(films, 0, lambda film: -haze(film), -0.83) >= 0.995
    assert told(films, 1, effusion_level, 0.07) >= 0.995
    assert told(films, 2, lambda film: abs(opacity(film)), 0.22) >= 0.995


def test_the_marker_is_seen_where_the_visit_has_one(films):
    _, visits, pictures = films
    assert [film[8:15, 9:17].mean() > 100 for film in pictures] == [visit.marker == 1 for visit in visits]


@pytest.mark.parametrize("number", range(3))
def test_one_finding_leaves_the_rest_of_the_picture(number):
    """Nothing that is drawn depends on the findings: two films that differ in one of them differ in its mask."""
    for row in range(20):
        findings = generator(9, row).standard_normal(3)
        changed, other = findings.copy(), findings.copy()
        changed[number], other[number] = (3.0, -2.0) if number == 0 else (1.5, NAN)
        film, without = (render_radiograph(f, VISIT, generator(10, row), with_truth=True) for f in (changed, other))
        difference = np.abs(film.raw.astype(float) - without.raw)
        mask = film.truth["masks"][("heart", "effusion", "opacity")[number]]
        assert difference[mask].sum() > 0.75 * difference.sum()
        assert np.mean(difference[mask] > 8) > (0.3 if number == 0 else 0.7)


def test_the_truth_states_what_is_shown_and_changes_no_pixel():
    film = render_radiograph((1.0, -1.0, -2.0), VISIT, generator(3), with_truth=True)
    assert np.array_equal(film.raw, render_radiograph((1.0, -1.0, -2.0), VISIT, generator(3)).raw)
    assert film.raw.dtype == np.uint8 and film.raw.shape == (128, 128)
    masks = film.truth.pop("masks")
    assert film.truth == {"cardiothoracic_ratio": 0.55, "effusion_level": 0.22, "opacity_side": "right", "opacity_density": 0.64}
    assert {name: (mask.dtype, mask.shape) for name, mask in masks.items()} == {
        name: (np.dtype(bool), (128, 128)) for name in ("lungs", "heart", "effusion", "opacity")
    }
    width = np.ptp(np.flatnonzero(masks["heart"].any(axis=0))) + 1
    thorax = np.ptp(np.flatnonzero((masks["lungs"] | masks["heart"]).any(axis=0))) + 1
    assert abs(width / thorax - 0.55) < 0.02
    assert not (masks["lungs"] & masks["heart"]).any() and masks["opacity"][:, 64:].sum() == 0 and masks["effusion"][:, 64:].sum() == 0


def test_nothing_shown_has_no_truth_and_empty_masks():
    truth = render_radiograph((NAN, NAN, NAN), VISIT, generator(3), with_truth=True).truth
    masks = truth.pop("masks")
    assert set(truth.values()) == {None} and masks["lungs"].any()
    assert not any(masks[name].any() for name in ("heart", "effusion", "opacity"))


def test_the_numbers_drawn_do_not_depend_on_the_findings():
    states = []
    for findings in ((0.0, 0.0, 0.0), (NAN, 1.0, -3.0), (2.0, NAN, NAN)):
        rng = generator(3)
        render_radiograph(findings, VISIT, rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("finding", [-9.0, 9.0])
def test_findings_are_cut_to_five(finding):
    film, cut = (render_radiograph((z, z, z), VISIT, generator(3), with_truth=True) for z in (finding, np.sign(finding) * 5))
    assert np.array_equal(film.raw, cut.raw) and film.truth["effusion_level"] > 0 and film.truth["masks"]["effusion"].any()


def test_devices_move_the_look_of_the_film():
    now, later = (render_radiograph((0, 0, 0), VISIT._replace(devices=d), generator(3)).raw for d in (0.0, 1.5))
    assert not np.array_equal(now, later)
