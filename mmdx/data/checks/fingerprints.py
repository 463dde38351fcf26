"""Fingerprints: nearly the same sound, image or text gives nearly the same code."""

from __future__ import annotations

import re
from math import gcd
from types import ModuleType

import numpy as np
from PIL import Image

from mmdx.errors import InputError

SOUND_RATE = 2000
FRAME, HOP, LAG = 800, 40, 5
"""Samples in a frame (0.4 s), between frames (20 ms), and frames between those compared (0.1 s)."""
BANDS = np.geomspace(30, 900, 34)
"""Edges in Hz of 33 bands, where heart, lung and voice all have sound, and which every usual rate can hold."""
QUIET = 1e-7
"""A frame below this share of the loudest one's energy has no bits of its own."""
LONGEST = 120
"""Seconds of a sound that are fingerprinted."""
HASH_SIZE, SMALL = 16, 16
PERMUTATIONS, SCHEME = 128, "affine32"
SHINGLE = 3


def need(package: str, what: str) -> ModuleType:
    """An optional package.

    Raises:
        InputError: where it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(f"checking {what} for near duplicates needs {package}: pip install 'mmdx[checks]'") from None


def sound_codes(samples: np.ndarray, rate: int) -> np.ndarray:
    """Code of each 20 ms of a sound: 32 bits, [n] uint32; 0 where it is quiet.

    After Haitsma and Kalker 2002 (ISMIR, section 4.2): bit m says whether the difference of energy between bands m and m + 1 grew since a
    tenth of a second before. Gain, format, rate and a cut at either end change few bits. Frames, hop and bands are our own: they suit 2 kHz.
    """
    from scipy.fft import rfft

    samples = samples[: LONGEST * rate]
    if rate != SOUND_RATE:
        from scipy.signal import resample_poly

        common = gcd(rate, SOUND_RATE)
        samples = resample_poly(samples, SOUND_RATE // common, rate // common)
    if len(samples) < FRAME + LAG * HOP:
        return np.zeros(0, np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), FRAME)[::HOP]
    spectrum = np.abs(rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)) ** 2
    edges = np.round(BANDS * FRAME / SOUND_RATE).astype(int)
    energy = np.add.reduceat(spectrum, edges, axis=1)[:, :-1] / np.diff(edges)  # [n, 33]
    slope = energy[:, :-1] - energy[:, 1:]
    bits = slope[LAG:] > slope[:-LAG]
    codes = np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)
    loud = energy.sum(axis=1)
    return np.where((loud[LAG:] > QUIET * loud.max()) & (loud[:-LAG] > QUIET * loud.max()), codes, np.uint32(0))


def image_code(image: np.ndarray) -> np.ndarray:
    """Code of an image or a volume, [288] uint8: 32 bytes are imagehash's perceptual hash ``phash`` of 16 x 16 coefficients, the rest is the
    image at 16 x 16 pixels.

    Values are stretched so that window and bit depth do not count; a volume is its mean over slices.
    """
    imagehash = need("imagehash", "images")
    grey = image.astype(np.float32)
    if image.ndim == 3:
        grey = grey.mean(axis=2 if image.shape[2] == 3 else 0)
    low, high = np.percentile(grey[::4, ::4] if grey.size > 4096 else grey, [1, 99])
    if high <= low:
        low, high = grey.min(), grey.max()
    picture = Image.fromarray((np.clip((grey - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8))
    bits = np.packbits(imagehash.phash(picture, hash_size=HASH_SIZE).hash.ravel())
    return np.concatenate([bits, np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BILINEAR)).ravel()])


def words_of(text: str) -> list[str]:
    """Words in small letters, as two texts are compared by."""
    return re.findall(r"\w+", text.lower())


def text_code(words: list[str]) -> np.ndarray:
    """MinHash (Broder 1997) of a text's triples of words, [128] uint32."""
    datasketch = need("datasketch", "text")
    signature = datasketch.MinHash(num_perm=PERMUTATIONS, seed=1, scheme=SCHEME)
    signature.update_batch([" ".join(words[i : i + SHINGLE]).encode() for i in range(max(1, len(words) - SHINGLE + 1))])
    return np.asarray(signature.hashvalues, np.uint32)
