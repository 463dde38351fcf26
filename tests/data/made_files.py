"""Good files of every format, small and made from a seed, for the tests that damage them, and some that are not good any more."""

import csv
import io
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from scipy.ndimage import gaussian_filter

from mmdx.data.tables import Place
from mmdx.errors import SampleError

_WORDS = (
    "heart lung normal clear effusion small large left right base apex cough fever pain chest breath patient follow rib aorta wide thin "
    "dense nodule mass airway vessel stable new old mild severe acute chronic tube line tip seen noted compared prior film view upright"
)
WORDS = _WORDS.split()


def message(read, path, **options):
    """The sentence by which a reader refuses a path, checked for what each must have."""
    with pytest.raises(SampleError) as caught:
        read(path, Place("manifest.csv", 17, "s17", str(path.parent)), **options)
    assert (caught.value.sample_id, caught.value.row) == ("s17", 17) and caught.value.file.startswith(path.name)
    text = str(caught.value)
    assert text.startswith("manifest.csv, row 17: ") and "\n" not in text
    assert text.endswith("Remove the row, or set data.on_error=quarantine to go on without it.")
    return text


def picture(seed, shape=(96, 80)):
    """A pattern of coarse and fine detail, in 0 to 1."""
    rng = np.random.default_rng(seed)
    values = sum(width * gaussian_filter(rng.normal(size=shape), width * min(shape) / 80) for width in (1, 2, 4, 8))
    return (values - values.min()) / (values.max() - values.min())


def sound(seed, rate=2000, seconds=6):
    """Noise in many bands of wandering loudness, in -0.8 to 0.8."""
    rng = np.random.default_rng(seed)
    count = rate * seconds
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequencies = np.fft.rfftfreq(count, 1 / rate)
    edges = np.geomspace(20, 950, 25)
    total = np.zeros(count)
    for low, high in pairwise(edges):
        band = np.fft.irfft(spectrum * ((frequencies >= low) & (frequencies < high)), count)
        total += band * np.abs(np.interp(np.arange(count), np.arange(0, count + rate, rate // 4), rng.normal(size=4 * seconds + 4))) / low
    return 0.8 * total / np.abs(total).max()


def note(seed, words=45):
    """Words in no order."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, words)) + "."


def write_png(path, seed):
    Image.fromarray((picture(seed) * 250).astype(np.uint8)).save(path)


def write_png16(path, seed):
    Image.fromarray((picture(seed) * 60000).astype(np.uint16)).save(path)


def write_jpeg(path, seed):
    Image.fromarray((picture(seed) * 250).astype(np.uint8)).save(path, quality=95)


def write_wav(path, seed):
    soundfile.write(path, sound(seed), 2000)


def write_flac(path, seed):
    soundfile.write(path, sound(seed), 2000)


def write_ogg(path, seed):
    soundfile.write(path, sound(seed, 8000), 8000)


def write_text(path, seed):
    path.write_text(note(seed) + "\n")


def write_mp3(path, seed):
    soundfile.write(path, sound(seed, 16000), 16000)


def write_record(path, seed, signal=None, rate=400, names=("I", "II"), units=("mV", "mV"), **options):
    """A WFDB record: header and data file."""
    import wfdb

    if "d_signal" not in options:
        signal = np.stack([sound(seed, rate, 8), sound(seed + 100, rate, 8)], axis=1) if signal is None else signal
        options["d_signal"] = np.round(signal * 1000)
    options = {"fmt": ["16"] * len(names), "adc_gain": [1000.0] * len(names), "baseline": [0] * len(names), **options}
    options["d_signal"] = options["d_signal"].astype(int)
    wfdb.wrsamp(path.stem, fs=rate, units=[*units], sig_name=[*names], write_dir=str(path.parent), **options)


def frames(seed, count=4):
    """A volume [D, H, W] of 12 bits."""
    return np.stack([picture(seed * 100 + z, (48, 40)) * 4000 for z in range(count)]).astype(np.uint16)


def write_frames(path, seed, **attributes):
    write_dicom(path, seed, frames(seed), **attributes)


def write_rle(path, seed, pixels=None, **attributes):
    write_dicom(path, seed, pixels, compress=rle, **attributes)


def write_jpeg_dicom(path, seed):
    write_dicom(path, seed, (picture(seed) * 250).astype(np.uint8), compress=by_pillow("JPEGBaseline8Bit", "JPEG", quality=95))


def write_jpeg2000(path, seed):
    write_dicom(path, seed, compress=by_pillow("JPEG2000Lossless", "JPEG2000", irreversible=False, no_jp2=True))


def rle(data, pixels):
    """Compress a pydicom data set by runs."""
    from pydicom.uid import RLELossless

    data.compress(RLELossless, pixels, encoding_plugin="pydicom", generate_instance_uid=False)


def by_pillow(syntax, form, **options):
    """Compress a pydicom data set by what Pillow writes."""

    def compress(data, pixels):
        import pydicom

        coded = []
        for frame in pixels.reshape(-1, *pixels.shape[-2:]):
            Image.fromarray(frame).save(buffer := io.BytesIO(), form, **options)
            coded.append(buffer.getvalue())
        data.PixelData = pydicom.encaps.encapsulate(coded)
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)

    return compress


def write_series(folder, seed, count=5, step=3.0, uid=None, **attributes):
    """A folder with one slice a file, named in another order than they lie."""
    folder.mkdir()
    for z, plane in enumerate(frames(seed, count)):
        where = {"ImagePositionPatient": [0, 0, z * step], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2, 1.5]}
        tags = {"SeriesInstanceUID": uid or f"1.2.{seed}", "Modality": "CT", **where, **attributes}
        write_dicom(folder / f"{(z * 3) % count}.dcm", seed * 100 + z, plane, **tags)


def write_dicom(path, seed, pixels=None, compress=None, **attributes):
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = pydicom.uid.ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = f"1.2.3.{seed}"
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, "DX"
    data.PatientName, data.PatientID, data.PatientBirthDate = "", "", ""
    pixels = (picture(seed) * 4000).astype(np.uint16) if pixels is None else pixels
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = (8, 8, 7) if pixels.dtype == np.uint8 else (16, 12, 11)
    data.PixelData = pixels.tobytes()
    if compress:
        compress(data, pixels)
    for name, value in attributes.items():
        setattr(data, name, value)
    data.save_as(path)


def write_nifti(path, seed, volume=None, affine=None, coded=True):
    import nibabel

    volume = np.stack([picture(seed * 100 + z, (24, 20)) for z in range(8)], axis=2).astype(np.float32) if volume is None else volume
    affine = np.eye(4) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(volume, affine if coded else None), path)


def without_pixels(bad, good):
    """A DICOM file whose pixels are gone."""
    import pydicom

    data = pydicom.dcmread(good)
    del data.PixelData
    data.save_as(bad)


def grainy(bad, good):
    """A DICOM file once more, darker and with noise."""
    import pydicom

    data = pydicom.dcmread(good)
    noise = np.random.default_rng(0).integers(0, 20, data.pixel_array.shape)
    write_dicom(bad, 9, (data.pixel_array * 0.9 + noise).astype(np.uint16))


def holed(value):
    """A volume with one odd value."""
    block = np.stack([picture(z, (24, 20)) for z in range(8)], axis=2).astype(np.float32)
    block[3, 4, 5] = value
    return block


WRITERS = {
    "png": write_png,
    "jpg": write_jpeg,
    "tif": write_png,
    "dcm": write_dicom,
    "frames.dcm": write_frames,
    "rle.dcm": write_rle,
    "jpeg.dcm": write_jpeg_dicom,
    "j2k.dcm": write_jpeg2000,
    "nii": write_nifti,
    "nii.gz": write_nifti,
    "wav": write_wav,
    "flac": write_flac,
    "ogg": write_ogg,
    "mp3": write_mp3,
    "hea": write_record,
    "txt": write_text,
}
"""Writer by suffix."""


def good_rows(suffix, count=6):
    """Rows that name one file each: four in training, two in test, a patient a row, labels in turn."""
    return [
        {"sample_id": f"s{i}", "patient_id": f"p{i}", "split": "train" if i < 4 else "test", "file": f"g{i}.{suffix}", "label": str(i % 2)}
        for i in range(count)
    ]


def good_table(count=8):
    """Rows with text, age and dates in the table itself."""
    return [
        {
            "sample_id": f"s{i}",
            "patient_id": f"p{i}",
            "split": "train" if i < 5 else "test",
            "note": note(i),
            "age": str(40 + i),
            "crp": f"{i + 0.5}",
            "birth_date": f"19{50 + i}-02-03",
            "study_date": f"2015-0{i + 1}-17",
            "label": str(i % 2),
        }
        for i in range(count)
    ]


def write_table(path, rows, encoding="utf-8"):
    """A manifest as CSV or Parquet, by its suffix."""
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
        return path
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
