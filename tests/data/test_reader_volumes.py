"""Facts about volumes: folders with a DICOM series, orientation, and the distance between voxels."""

import numpy as np
import pytest
from made_files import frames, message, write_dicom, write_nifti, write_series

from mmdx.data.manifest import Manifest
from mmdx.data.readers import read_volume
from mmdx.data.readers.spacing import resample
from mmdx.errors import InputError

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("nibabel")

RNG = np.random.default_rng(0)


def changed(path, **attributes):
    data = pydicom.dcmread(path)
    for name, value in attributes.items():
        setattr(data, name, value)
    data.save_as(path)


def ramp(shape, step):
    """A volume whose value is its place in mm, of voxels at a distance."""
    place = [(np.arange(n) + 0.5) * s for n, s in zip(shape, step, strict=True)]
    return (10 * place[0][:, None, None] + place[1][:, None] + 0.1 * place[2]).astype(np.float32)


def test_a_series_is_sorted_by_position_whatever_its_files_are_called(tmp_path):
    write_series(tmp_path / "ct", 3)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct"), frames(3, 5))
    write_series(tmp_path / "down", 3, step=-3.0)
    np.testing.assert_array_equal(read_volume(tmp_path / "down"), frames(3, 5)[::-1])
    write_series(tmp_path / "turned", 3, ImageOrientationPatient=[1, 0, 0, 0, -1, 0])  # its normal points to the feet
    np.testing.assert_array_equal(read_volume(tmp_path / "turned"), frames(3, 5))
    (tmp_path / "ct" / ".DS_Store").write_bytes(b"x")
    np.testing.assert_array_equal(read_volume(tmp_path / "ct"), frames(3, 5))


def test_slices_are_rescaled_each_by_its_own_and_windowed_by_the_first(tmp_path):
    write_series(tmp_path / "pet", 3, RescaleIntercept=0, RescaleSlope=1)
    names = [f"{(z * 3) % 5}.dcm" for z in range(5)]
    for z, name in enumerate(names):
        changed(tmp_path / "pet" / name, RescaleSlope=z + 1)
    expected = frames(3, 5) * np.arange(1.0, 6)[:, None, None]
    np.testing.assert_allclose(read_volume(tmp_path / "pet"), expected)
    for z, name in enumerate(names):
        changed(tmp_path / "pet" / name, WindowCenter=1000 + 500 * z, WindowWidth=1000)
    windowed = read_volume(tmp_path / "pet")
    np.testing.assert_array_equal(windowed[expected < 499], windowed.min())
    np.testing.assert_array_equal(windowed[expected > 1500], windowed.max())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "1.dcm").unlink(), "holds a gap, or uneven slices in its DICOM series: '3.dcm' and '4.dcm' are 6 mm apart"),
        (lambda folder: changed(folder / "1.dcm", SeriesInstanceUID="1.9"), "holds slices of 2 DICOM series, expected one"),
        (lambda folder: changed(folder / "1.dcm", ImagePositionPatient=[0, 0, 3]), "holds two slices at one place in its DICOM series: '1.dcm'"),
        (lambda folder: changed(folder / "1.dcm", ImagePositionPatient=None), "states no position and orientation in the patient"),
        (lambda folder: changed(folder / "1.dcm", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "that differ in size or orientation"),
        (lambda folder: write_dicom(folder / "n.dcm", 3, frames(3)), "holds slices of 2 DICOM series"),
        (lambda folder: (folder / "x.txt").write_text("x"), "holds 'x.txt', which is no DICOM file, expected one DICOM series"),
        (lambda folder: (folder / "more").mkdir(), "holds 'more', which is no DICOM file"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no file, expected a DICOM series"),
        (lambda folder: [(folder / f"{n}.dcm").unlink() for n in (1, 2, 3, 4)], "holds one slice of a DICOM series"),
    ],
)
def test_a_folder_that_is_not_one_series(tmp_path, change, words):
    write_series(tmp_path / "ct", 3)
    change(tmp_path / "ct")
    assert words in message(read_volume, tmp_path / "ct")


def test_small_differences_of_positions_are_rounding(tmp_path):
    write_series(tmp_path / "ct", 3)
    changed(tmp_path / "ct" / "1.dcm", ImagePositionPatient=[0, 0, 6.04])
    np.testing.assert_array_equal(read_volume(tmp_path / "ct"), frames(3, 5))


def test_a_linear_volume_stays_linear_at_any_spacing_and_keeps_its_edge():
    old = (3.0, 2.0, 1.5)
    volume = ramp((8, 9, 12), old)
    np.testing.assert_array_equal(resample(volume, old, old), volume)
    fine = resample(volume, old, (1.0, 1.0, 0.75))
    assert fine.shape == (24, 18, 24) and fine.dtype == np.float32
    within = (slice(1, 22), slice(1, 17), slice(1, 23))  # beyond the first and last centres values are held
    np.testing.assert_allclose(fine[within], ramp(fine.shape, (1.0, 1.0, 0.75))[within], atol=1e-4)
    coarse = resample(ramp((60, 60, 60), (1, 1, 1)), (1, 1, 1), (2, 3, 1))
    assert coarse.shape == (30, 20, 60)
    np.testing.assert_allclose(coarse[5:25, 4:16], ramp(coarse.shape, (2, 3, 1))[5:25, 4:16], atol=1e-3)


def test_detail_that_the_new_grid_cannot_hold_is_smoothed_away():
    stripes = np.tile(np.array([0, 1], np.float32)[:, None, None], (20, 8, 8))
    assert np.ptp(resample(stripes, (1, 1, 1), (4, 1, 1))[2:-2]) < 0.05 < np.ptp(stripes[::4] - stripes[1::4]) + 1


@pytest.mark.parametrize("turn", [np.eye(4), np.diag([-1, -1, 1, 1]), np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])])
def test_nifti_is_resampled_along_its_anatomical_axes(tmp_path, turn):
    """The spacing asked for is that of D, H and W after turning, however the file stores its axes."""
    own = np.array([1.5, 2.0, 3.0])  # along the file's axes
    write_nifti(tmp_path / "x.nii", 0, RNG.normal(size=(6, 8, 10)).astype(np.float32), turn @ np.diag([*own, 1]))
    volume = read_volume(tmp_path / "x.nii")
    along = {6: 1.5, 8: 2.0, 10: 3.0}
    whole = read_volume(tmp_path / "x.nii", spacing=[along[n] for n in volume.shape])
    np.testing.assert_array_equal(whole, volume)
    assert read_volume(tmp_path / "x.nii", spacing=1).shape == tuple(round(n * along[n]) for n in volume.shape)


def test_dicom_volumes_are_resampled_by_their_positions(tmp_path):
    write_series(tmp_path / "ct", 3)  # 3 mm between slices, 2 between rows, 1.5 between columns
    np.testing.assert_array_equal(read_volume(tmp_path / "ct", spacing=(3, 2, 1.5)), frames(3, 5))
    assert read_volume(tmp_path / "ct", spacing=1).shape == (15, 96, 60)
    write_dicom(tmp_path / "a.dcm", 0, frames(3), SpacingBetweenSlices=4, PixelSpacing=[2, 1])
    assert read_volume(tmp_path / "a.dcm", spacing=2).shape == (8, 48, 20)
    each = []
    for z in range(4):
        item, where = pydicom.Dataset(), pydicom.Dataset()
        where.ImagePositionPatient = [0, 0, -2.5 * z]
        item.PlanePositionSequence = [where]
        each.append(item)
    shared, plane, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    plane.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [2, 1]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    write_dicom(tmp_path / "e.dcm", 0, frames(3), SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=each)
    assert read_volume(tmp_path / "e.dcm", spacing=(2.5, 2, 1)).shape == (4, 48, 40)


def test_what_states_no_spacing_cannot_be_resampled(tmp_path):
    write_dicom(tmp_path / "a.dcm", 0, frames(3), PixelSpacing=[2, 1], SliceThickness=4)  # a thickness is no distance
    assert "states no spacing between its voxels, which spacing=2 needs" in message(read_volume, tmp_path / "a.dcm", spacing=2)
    write_nifti(tmp_path / "x.nii", 0)
    data = bytearray((tmp_path / "x.nii").read_bytes())
    data[80:92], data[252:256] = bytes(12), bytes(4)
    (tmp_path / "x.nii").write_bytes(data)
    assert "states no spacing" in message(read_volume, tmp_path / "x.nii", spacing=2)
    write_nifti(tmp_path / "y.nii", 0)
    assert "it would have the shape" in message(read_volume, tmp_path / "y.nii", spacing=0.001)


@pytest.mark.parametrize("spacing", [0, -1, "2", [1, 2], [1, 2, 0], True, float("nan"), float("inf"), {}])
def test_a_spacing_that_is_none(tmp_path, spacing):
    write_nifti(tmp_path / "x.nii", 0)
    with pytest.raises(InputError, match="must be one number above 0, or three for D, H and W, in mm"):
        read_volume(tmp_path / "x.nii", spacing=spacing)


def test_options_reach_the_reader_from_a_manifest_and_are_checked_before_it_reads(tmp_path):
    for n in range(2):
        write_series(tmp_path / f"ct{n}", n)
    (tmp_path / "m.csv").write_text("sample_id,scan,label\n1,ct0,0\n2,ct1,1\n")
    data = Manifest(tmp_path / "m.csv", {"ct": {"column": "scan", "kind": "volume", "spacing": [3, 4, 1.5]}})
    assert data[1].inputs["ct"].shape == (5, 24, 40)
    with pytest.raises(InputError, match=r"^data\.modalities\.ct\.spacing=0: must be one number above 0"):
        Manifest(tmp_path / "m.csv", {"ct": {"column": "scan", "kind": "volume", "spacing": 0}})


@pytest.mark.parametrize(("shape", "kind"), [((4, 4, 4, 3), "4 axes (4, 4, 4, 3)"), ((4, 4), "2 axes (4, 4)")])
def test_nifti_of_another_number_of_axes_is_refused(tmp_path, shape, kind):
    write_nifti(tmp_path / "x.nii", 0, RNG.normal(size=shape).astype(np.float32))
    assert f"cannot be read as a volume: it has {kind}, expected three" in message(read_volume, tmp_path / "x.nii")


def test_a_fourth_axis_of_one_volume_is_none(tmp_path):
    volume = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    write_nifti(tmp_path / "x.nii", 0, volume[..., None])
    np.testing.assert_array_equal(read_volume(tmp_path / "x.nii"), volume.transpose(2, 1, 0))


def test_complex_numbers_are_refused(tmp_path):
    write_nifti(tmp_path / "x.nii", 0, np.full((4, 4, 4), 1j, np.complex64))
    assert "its values are complex64, expected one real number a voxel" in message(read_volume, tmp_path / "x.nii")
