"""One who knows how a volume is made reads its three findings off it, and sees which of them isn't shown."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from mmdx.simulate.draws import generator
from mmdx.simulate.visit import Visit
from mmdx.simulate.volume import SIZE, render_volume

VOLUMES = 300
NAN = float("nan")
VISIT = Visit(60, "F", 0, 70.0, 120)


def crossing(line, at, level, step):
    """Where a line passes the level, between voxel ``at`` and the next."""
    return at + step * (level - line[at]) / (line[at + step] - line[at])


def tones(volume):
    """Of lung, and of the liver."""
    return np.percentile(volume[6:14, 24:36, 18:46], 20), np.median(volume[29:, 24:40, 24:40])


def walls(volume):
    """Columns of the inner chest wall, right and left of the patient, in the rows and slices where the thorax is widest."""
    line = volume[18:23, 28:35].mean(axis=(0, 1))
    level = sum(tones(volume)) / 2
    dark = np.flatnonzero(line[6:58] < level) + 6
    return crossing(line, dark.min(), level, -1), crossing(line, dark.max(), level, 1)


def cardiothoracic_ratio(volume):
    """Largest distance between the borders of the heart, over the width between the walls."""
    smooth = gaussian_filter(volume[17:23, 22:34].astype(float), (1, 1, 0)).reshape(-1, SIZE[2])
    level = sum(tones(volume)) / 2
    right = [crossing(line, dark.max() + 8, level, 1) for line in smooth if (dark := np.flatnonzero(line[8:31] < level)).size]
    left = [crossing(line, dark.min() + 34, level, -1) for line in smooth if (dark := np.flatnonzero(line[34:56] < level)).size]
    wall = walls(volume)
    return (np.max(left) - np.min(right)) / (wall[1] - wall[0])


def back(volume, columns):
    """Rows where the lung ends in front and at the back, in these columns."""
    line = volume[10:13, :, columns].mean(axis=(0, 2))
    level = sum(tones(volume)) / 2
    dark = np.flatnonzero(line[11:54] < level) + 11
    return crossing(line, dark.min(), level, -1), crossing(line, dark.max(), level, 1)


def effusion_level(volume):
    """How much earlier the right lung ends at the back than the left, over the depth of the lung."""
    middle = sum(walls(volume)) / 2
    right, left = (back(volume, np.round(middle + side * np.arange(7, 14)).astype(int)) for side in (-1, 1))
    return (left[1] - right[1]) / (left[1] - left[0])


def haze(volume):
    """Tone in front of the heart's right border and beside any heart: 0 as the lung, 1 as the chest wall."""
    lung, tissue = tones(volume)
    middle = round(sum(walls(volume)) / 2)
    return (volume[18:23, 26:31, middle - 18 : middle - 14].mean() - lung) / (tissue - lung)


def opacity(volume):
    """Largest difference between the left lung and its mirror image, over that of tissue and lung; above 0 on the patient's left."""
    middle, columns = sum(walls(volume)) / 2, np.arange(6, 16)
    smooth = gaussian_filter(volume.astype(np.float32), (1, 1.5, 1.5))[5:13, 23:33]
    left, right = smooth[..., np.round(middle + columns).astype(int)], smooth[..., np.round(middle - columns).astype(int)]
    at = np.unravel_index(np.abs(left - right).argmax(), left.shape)
    lung, tissue = tones(volume)
    return (left - right)[at] / (tissue - lung)


@pytest.fixture(scope="module")
def volumes():
    rng = generator(7)
    findings = np.where(rng.random((VOLUMES, 3)) < 0.25, NAN, rng.standard_normal((VOLUMES, 3)))
    return findings, [render_volume(f, VISIT._replace(site=i % 4), generator(8, i)).raw for i, f in enumerate(findings)]


def agreement(volumes, number, reader):
    findings, pictures = volumes
    rows = np.flatnonzero(~np.isnan(findings[:, number]))
    measured = np.array([reader(pictures[row]) for row in rows])
    return measured, findings[rows, number], np.corrcoef(measured, findings[rows, number])[0, 1]


def told(volumes, number, reader, threshold):
    """Share of volumes for which a reading above the threshold says rightly that the finding is shown."""
    findings, pictures = volumes
    return np.mean([(reader(volume) > threshold) != np.isnan(z) for volume, z in zip(pictures, findings[:, number], strict=True)])


def test_the_first_finding_is_the_width_of_the_heart(volumes):
    measured, finding, correlation = agreement(volumes, 0, cardiothoracic_ratio)
    assert correlation > 0.98
    assert np.abs(measured - (0.5 + 0.05 * finding)).mean() < 0.015


def test_the_second_finding_is_the_level_of_the_effusion(volumes):
    assert agreement(volumes, 1, effusion_level)[2] > 0.97


def test_the_third_finding_is_side_and_density_of_the_opacity(volumes):
    measured, finding, _ = agreement(volumes, 2, opacity)
    clear = np.abs(finding) >= 0.3
    assert np.mean(np.sign(measured[clear]) == np.sign(finding[clear])) >= 0.99
    assert np.corrcoef(np.abs(measured), np.abs(finding))[0, 1] > 0.9


def test_what_is_not_shown_is_told_from_every_value(volumes):
    assert told(volumes, 0, lambda volume: -haze(volume), -0.6) >= 0.995
    assert told(volumes, 1, effusion_level, 0.03) >= 0.995
    assert told(volumes, 2, lambda volume: abs(opacity(volume)), 0.25) >= 0.995


@pytest.mark.parametrize("number", range(3))
def test_one_finding_leaves_the_rest_of_the_volume(number):
    """Nothing that is drawn depends on the findings: two volumes that differ in one of them differ in its mask."""
    for row in range(10):
        findings = generator(9, row).standard_normal(3)
        changed, other = findings.copy(), findings.copy()
        changed[number], other[number] = (3.0, -2.0) if number == 0 else (1.5, NAN)
        volume, without = (render_volume(f, VISIT, generator(10, row), with_truth=True) for f in (changed, other))
        difference = np.abs(volume.raw.astype(float) - without.raw)
        mask = volume.truth["masks"][("heart", "effusion", "opacity")[number]]
        assert difference[mask].sum() > 0.75 * difference.sum()
        assert np.mean(difference[mask] > 8) > (0.3 if number == 0 else 0.7)


def test_the_truth_states_what_is_shown_and_changes_no_voxel():
    volume = render_volume((1.0, -1.0, -2.0), VISIT, generator(3), with_truth=True)
    assert np.array_equal(volume.raw, render_volume((1.0, -1.0, -2.0), VISIT, generator(3)).raw)
    assert volume.raw.dtype == np.uint8 and volume.raw.shape == SIZE == (32, 64, 64)
    masks = volume.truth.pop("masks")
    assert volume.truth == {"cardiothoracic_ratio": 0.55, "effusion_level": 0.22, "opacity_side": "right", "opacity_density": 0.64}
    assert {name: (mask.dtype, mask.shape) for name, mask in masks.items()} == {
        name: (np.dtype(bool), SIZE) for name in ("lungs", "heart", "effusion", "opacity")
    }
    width = np.ptp(np.flatnonzero(masks["heart"].any(axis=(0, 1)))) + 1
    thorax = np.ptp(np.flatnonzero((masks["lungs"] | masks["heart"]).any(axis=(0, 1)))) + 1
    assert abs(width / thorax - 0.55) < 0.035
    assert not (masks["lungs"] & masks["heart"]).any() and not masks["opacity"][..., 32:].any() and not masks["effusion"][..., 33:].any()


def test_nothing_shown_has_no_truth_and_empty_masks():
    truth = render_volume((NAN, NAN, NAN), VISIT, generator(3), with_truth=True).truth
    masks = truth.pop("masks")
    assert set(truth.values()) == {None} and masks["lungs"].any()
    assert not any(masks[name].any() for name in ("heart", "effusion", "opacity"))


def test_the_numbers_drawn_do_not_depend_on_the_findings():
    states = []
    for findings in ((0.0, 0.0, 0.0), (NAN, 1.0, -3.0), (2.0, NAN, NAN)):
        rng = generator(3)
        render_volume(findings, VISIT, rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("finding", [-9.0, 9.0])
def test_findings_are_cut_to_five(finding):
    volume, cut = (render_volume((z, z, z), VISIT, generator(3), with_truth=True) for z in (finding, np.sign(finding) * 5))
    assert np.array_equal(volume.raw, cut.raw) and volume.truth["masks"]["effusion"].any()


def test_devices_move_the_look_of_the_volume():
    now, later = (render_volume((0, 0, 0), VISIT._replace(devices=d), generator(3)).raw for d in (0.0, 1.5))
    assert not np.array_equal(now, later)
