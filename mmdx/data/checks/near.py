"""Pairs of nearly the same content, found by fingerprint without comparing each with each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from mmdx.data.checks.facts import Facts, codes_of
from mmdx.data.checks.fingerprints import PERMUTATIONS, SCHEME, need

IMAGE_BITS, IMAGE_BANDS, BAND_BITS = 31, 16, 16
"""Images may be nearly the same where at most so many of 256 bits differ: then one of 16 bands differs in one bit at most."""
IMAGE_LIKENESS = 0.985
"""And are where the small images, standardised, still correlate so much once what all images of the cohort have in common is taken away."""
HASH_BYTES, FEWEST = 32, 4
"""Bytes of the perceptual hash; images from which on their mean is what they have in common."""
AT_ONCE = 2_000_000
"""Pairs of images that are compared at once, which bounds the memory."""
TEXT_SHARE = 0.85
"""Texts are nearly the same where they share so many of their triples of words (Jaccard)."""
SOUND_ERRORS, SOUND_FRAMES, SOUND_SEEDS, COMMON = 0.25, 150, 3, 60
"""Sounds are nearly the same where over at least so many frames (3 s) at most this share of bits differs. Compared are those with as many equal
codes at one distance in time; a code that is there more often than ``COMMON`` tells nothing."""
MARKS = 22
"""Bits of the table in which codes that repeat are marked."""


def near_pairs(facts: Sequence[Facts]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose fingerprints are nearly the same, the smaller first, each once, in order."""
    found: set[tuple[int, int]] = set()
    for kind, search in (("image", _images), ("text", _texts), ("audio", _sounds)):
        chosen = [number for number, one in enumerate(facts) if one.kind == kind and one.fingerprint]
        if len(chosen) > 1:
            found |= {(chosen[a], chosen[b]) for a, b in search([facts[number].fingerprint for number in chosen])}
    yield from sorted(found)


def _images(prints: Sequence[str]) -> set[tuple[int, int]]:
    codes = np.stack([codes_of(text, np.uint8) for text in prints])  # [n, 288]
    small = codes[:, HASH_BYTES:].astype(np.float32)
    small = (small - small.mean(axis=1, keepdims=True)) / np.maximum(small.std(axis=1, keepdims=True), 1e-6)
    if len(small) >= FEWEST:
        small -= small.mean(axis=0)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6)
    close = close_codes(np.ascontiguousarray(codes[:, :HASH_BYTES]).view(np.uint64))
    return {(a, b) for a, b in close if float(small[a] @ small[b]) >= IMAGE_LIKENESS}


def close_codes(codes: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of rows of codes, [n, 4] uint64, that differ in at most ``IMAGE_BITS`` bits, the smaller position first."""
    found: set[tuple[int, int]] = set()
    for band in codes.view(np.uint16).T:  # [n]
        order = np.argsort(band, kind="stable")
        for flip in (0, *(1 << bit for bit in range(BAND_BITS))):
            for a, b in _matches(band[order], np.uint16(flip)):
                one, other = order[a], order[b]
                close = np.bitwise_count(codes[one] ^ codes[other]).sum(axis=1) <= IMAGE_BITS
                found |= {(min(i, j), max(i, j)) for i, j in zip(one[close].tolist(), other[close].tolist(), strict=True)}
    return found


def _matches(values: np.ndarray, flip: np.uint16) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of positions in sorted values that are equal but for the flipped bit, each pair once, a bounded number at a time."""
    own = np.arange(len(values))
    asked = own if flip == 0 else own[values & flip == 0]
    start = np.searchsorted(values, values[asked] ^ flip, side="left") if flip else own + 1
    counts = np.maximum(np.searchsorted(values, values[asked] ^ flip, side="right") - start, 0)
    for part in np.split(np.arange(len(asked)), np.flatnonzero(np.diff(np.cumsum(counts) // AT_ONCE)) + 1):
        number = counts[part]
        if number.sum():
            offset = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
            yield np.repeat(asked[part], number), np.repeat(start[part], number) + offset


def _texts(prints: Sequence[str]) -> set[tuple[int, int]]:
    datasketch = need("datasketch", "text")
    index = datasketch.MinHashLSH(threshold=TEXT_SHARE - 0.05, num_perm=PERMUTATIONS)
    found: set[tuple[int, int]] = set()
    signatures = [datasketch.LeanMinHash(seed=1, hashvalues=codes_of(text, np.uint32), scheme=SCHEME) for text in prints]
    for number, signature in enumerate(signatures):
        found |= {(other, number) for other in index.query(signature) if signature.jaccard(signatures[other]) >= TEXT_SHARE}
        index.insert(number, signature)
    return found


def _sounds(prints: Sequence[str]) -> set[tuple[int, int]]:
    codes = [codes_of(text, np.uint32) for text in prints]
    seeds: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for a, b, shift in _equal_codes(codes):
        seeds[a, b][shift] += 1
    found = set()
    for (a, b), shifts in seeds.items():
        for shift, _ in shifts.most_common(3):
            near = sum(shifts[shift + d] for d in (-1, 0, 1))
            if near >= SOUND_SEEDS and _share_of_errors(codes[a], codes[b], shift) <= SOUND_ERRORS:
                found.add((a, b))
                break
    return found


def _equal_codes(codes: Sequence[np.ndarray]) -> Iterator[tuple[int, int, int]]:
    """Of each code that two sounds share the sounds and the distance in time, in frames."""
    everything = np.concatenate(codes)
    here = _repeated(everything)
    here = here[np.argsort(everything[here], kind="stable")]
    starts = np.cumsum([0, *map(len, codes)])
    sound = np.searchsorted(starts, here, side="right") - 1
    time = here - starts[sound]
    first = np.flatnonzero(np.diff(everything[here], prepend=np.uint32(0)) != 0)  # zeros are not among them
    lengths = np.diff(np.append(first, len(here)))
    run = np.repeat(np.where(lengths <= COMMON, np.arange(len(first)), -1), lengths)
    for apart in range(1, COMMON):
        i = np.flatnonzero((run[apart:] == run[:-apart]) & (run[apart:] >= 0))
        if len(i) == 0:
            break
        i = i[sound[i] != sound[i + apart]]
        yield from zip(sound[i].tolist(), sound[i + apart].tolist(), (time[i + apart] - time[i]).tolist(), strict=True)


def _repeated(values: np.ndarray) -> np.ndarray:
    """Positions, in order, of the values that may be there more than once, all that are among them; never of 0."""
    ordered = np.sort(values)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    marked = np.zeros(1 << MARKS, bool)  # many times as fast as a look-up of each value, or as sorting positions
    marked[_mark(twice)] = True
    return np.flatnonzero(marked[_mark(values)] & (values != 0))


def _mark(values: np.ndarray) -> np.ndarray:
    return np.asarray((values * np.uint32(2654435761)) >> np.uint32(32 - MARKS))  # Knuth's multiplicative hash


def _share_of_errors(a: np.ndarray, b: np.ndarray, shift: int) -> float:
    """Share of bits that differ between ``a[t]`` and ``b[t + shift]`` where both are told; 1 where the overlap is too short."""
    start, stop = max(0, -shift), min(len(a), len(b) - shift)
    if stop - start < SOUND_FRAMES:
        return 1.0
    one, other = a[start:stop], b[start + shift : stop + shift]
    told = (one != 0) & (other != 0)
    if told.sum() < SOUND_FRAMES:
        return 1.0
    return float(np.bitwise_count(one[told] ^ other[told]).mean() / 32)
