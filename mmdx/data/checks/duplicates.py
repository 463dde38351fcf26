"""The same content twice, or nearly: within and across patients, splits and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mmdx.data.checks.cohort import Entry
from mmdx.data.checks.findings import ERROR, WARNING, Finding
from mmdx.data.checks.near import near_pairs
from mmdx.data.checks.reading import Reading

RELATIONS: tuple[tuple[str, Callable[[Entry, Entry], bool]], ...] = (
    ("duplicate_across_splits", lambda a, b: bool(a.split and b.split and a.split != b.split)),
    ("duplicate_across_patients", lambda a, b: bool(a.patient and b.patient and a.patient != b.patient)),
    ("duplicate_with_other_label", lambda a, b: bool(a.label and b.label and a.label != b.label)),
)
"""How two readings of the same content may stand to each other, the most serious first."""
COMPARED = 100
"""A reading is compared with at most so many earlier ones of the same content."""


def duplicates(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Findings on the readings of one modality.

    Each sound or image that repeats an earlier one names it, and the most serious relation to one. Texts are told once a group of
    equal and nearly equal ones, as reports are often made from templates.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for number, reading in enumerate(readings):
        if reading.facts.content:
            same[reading.facts.content].append(number)
    groups = [*same.values()]
    pairs = list(near_pairs([readings[group[0]].facts for group in groups]))
    if groups and readings[groups[0][0]].facts.kind == "text":
        yield from _texts(readings, groups, pairs)
    else:
        yield from _equal(readings, groups)
        yield from _alike(readings, groups, pairs)


def _equal(readings: Sequence[Reading], groups: Iterable[Sequence[int]]) -> Iterator[Finding]:
    for group in groups:
        for place, number in enumerate(group[1:], 1):
            later = readings[number]
            other, relation = _worst([readings[n] for n in group[: min(place, COMPARED)]], later)
            if other.entry != later.entry:  # a bag may name a file twice
                severity = WARNING if relation == "duplicate" else ERROR
                sentence = f"{later.modality} '{later.file}' is the same as {other.called}{_reason(relation, other, later)}"
                yield later.finding(relation, severity, sentence)


def _alike(readings: Sequence[Reading], groups: Sequence[Sequence[int]], pairs: Iterable[tuple[int, int]]) -> Iterator[Finding]:
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in pairs:
        for one in groups[a][:COMPARED]:
            for other in groups[b][:COMPARED]:
                near[max(one, other)].add(min(one, other))
    for number, earlier in sorted(near.items()):
        later = readings[number]
        like, relation = _worst([readings[n] for n in sorted(earlier)], later)
        if relation == "duplicate" and (like.entry.patient is not None or like.entry == later.entry):
            continue  # a patient's pictures of one day are alike, and may be
        sentence = f"{later.modality} '{later.file}' is nearly the same as {like.called}{_reason(relation, like, later)}"
        yield later.finding(f"near_{relation}", WARNING, sentence)


def _texts(readings: Sequence[Reading], groups: Sequence[Sequence[int]], pairs: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.array(pairs, dtype=int).reshape(-1, 2).T
    part = connected_components(coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(groups),) * 2), directed=False)[1]
    joined: dict[int, list[int]] = defaultdict(list)
    for group, number in zip(groups, part, strict=True):
        joined[int(number)] += group
    several = {int(number) for a, b in pairs for number in (part[a], part[b])}
    for number, members in joined.items():
        members = sorted(members)
        if (patients := _different([readings[n] for n in members])) < 2:
            continue  # a note beside each of a patient's pictures
        later = readings[members[1]]
        found = [_worst([readings[n] for n in members[: min(place, COMPARED)]], readings[member])[1] for place, member in enumerate(members[1:], 1)]
        relation = next((name for name, _ in RELATIONS if name in found), "duplicate")
        where = ", ".join(readings[n].row for n in members[:5]) + (f" and {len(members) - 5} more" if len(members) > 5 else "")
        who = f"{patients} patients" if later.entry.patient is not None else f"{patients} samples"
        alike = "nearly the same text" if number in several else "the same text"
        yield later.finding(("near_" if number in several else "") + relation, WARNING, f"{later.modality}: {alike} for {who}: {where}")


def _different(readings: Iterable[Reading]) -> int:
    return len({reading.entry.patient or (reading.entry.sample_id, reading.entry.row) for reading in readings})


def _worst(earlier: Sequence[Reading], later: Reading) -> tuple[Reading, str]:
    """The earlier reading that stands in the most serious relation to a later one, and that relation."""
    for relation, holds in RELATIONS:
        for other in earlier:
            if holds(other.entry, later.entry):
                return other, relation
    return earlier[0], "duplicate"


def _reason(relation: str, other: Reading, later: Reading) -> str:
    a, b = other.entry, later.entry
    if relation == "duplicate_across_splits":
        return f", and is in {b.split}, that one in {a.split}"
    labels = f"labelled {b.label}, that one {a.label}" if a.label != b.label else ""
    if relation == "duplicate_across_patients":
        return f", and is patient '{b.patient}', that one '{a.patient}'" + (f"; it is {labels}" if labels else "")
    return f", and is {labels}" if relation == "duplicate_with_other_label" else ""
