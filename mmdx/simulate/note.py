"""Clinical notes, written before the diagnosis: graded, uncertain and one-sided statements among what else a note says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmdx.simulate import note_words as words
from mmdx.simulate.draws import generator
from mmdx.simulate.rendering import Rendering, shown
from mmdx.simulate.visit import PERSON_STREAM, Visit, site_style

LOWEST, HIGHEST_GRADE = -3.6, 4
SEVERITY_STEP, CERTAINTY_STEP, DEGREE_STEP = 0.36, 0.6, 0.7
STYLE = 1
PARTS, DRAWS = 8, 40
"""Parts of a note that draw numbers, and the most that one of them draws."""


class Sentence(NamedTuple):
    """A sentence, and the finding and grade (or side) that it states, if it states one."""

    text: str
    finding: str | None = None
    grade: int | str | None = None


def render_note(findings: Sequence[float], visit: Visit, rng: np.random.Generator, with_truth: bool = False) -> Rendering:
    """A note of five sections.

    - finding 0: New York Heart Association class, dyspnoea, distension of the jugular veins, oedema and crackles each have a grade from 0
      (none) to 4; the sum of the grades is ``round((z + 3.6) / 0.36)``, cut to 0 to 20. Not shown: a sentence says that the history is
      limited, and none of the five is stated.
    - finding 1: palpitations, dizziness and orthopnoea each have a certainty from 0 (denied) to 4 (definite); the sum is
      ``round((z + 3.6) / 0.6)``, cut to 0 to 12. Not shown: none of them is mentioned.
    - finding 2: chest discomfort, on the left for z >= 0 and else on the right, in a degree 1 to 4, for abs(z) up to 0.7, 1.4, 2.1 and above.
      Not shown: the note names no side.

    Sums are spread over the statements by chance. Synonyms, abbreviations, order and asides that have nothing to do with the diagnosis vary,
    heart disease of relatives, negated and uncertain complaints among them; typing errors fall on the asides only. Past and family history are
    the same text at each visit of a person. A finding changes its own statements and nothing else.

    Returns:
        raw: the note. truth: ``grades`` (of the five statements in the order above), ``certainties`` (of the three), ``side``, ``side_grade``,
        each None where it isn't shown, and ``spans``, a list of {"finding", "grade", "start", "stop"} of each statement, in the order of the
        note: ``note[start:stop]`` is the statement; the grade of the discomfort is its side.
    """
    parts = [iter(row) for row in rng.random((PARTS, DRAWS)).tolist()]  # each has its own, so that no finding moves the draws of another part
    copied = iter(generator(PERSON_STREAM, visit.person).random(DRAWS).tolist())
    severity, certainty, side = (shown(finding) for finding in findings)
    graded, grades = _graded(severity, parts[0])
    symptoms, certainties = _symptoms(certainty, parts[1])
    discomfort = _discomfort(side, parts[2])
    asides = {section: _asides(section, most, parts[3]) for section, most in (("history", 3), ("examination", 2), ("plan", 1))}
    carried = {section: [Sentence(_pick(words.CARRIED, copied)), *_asides(section, most, copied)] for section, most in (("past", 3), ("family", 1))}
    history = _shuffled([*graded[:2], *symptoms, *discomfort, *asides["history"]], parts[4])
    examination = _shuffled([*graded[2:], _vital_signs(visit, parts[5]), *asides["examination"]], parts[6])
    bodies = [[_referral(visit, parts[7]), *history], carried["past"], carried["family"], examination, asides["plan"]]
    habit = float(site_style(visit._replace(devices=0.0), STYLE, 1)[0])  # of writing: no device
    headers = words.HEADERS[min(int((habit + 1) / 2 * len(words.HEADERS)), len(words.HEADERS) - 1)]
    note, spans = _written(headers, bodies)
    if not with_truth:
        return Rendering(note, {})
    degree = None if side is None else _degree(side)
    truth = {"grades": grades, "certainties": certainties, "side": discomfort[0].grade, "side_grade": degree, "spans": spans}
    return Rendering(note, truth)


def _graded(finding: float | None, chance: Iterator[float]) -> tuple[list[Sentence], list[int] | None]:
    """Functional class, dyspnoea and the three signs, or that the history is limited."""
    if finding is None:
        return [Sentence(_pick(words.LIMITED, chance)), *[Sentence("")] * len(words.SIGNS)], None
    nyha, *others = grades = _spread(finding, SEVERITY_STEP, 1 + len(words.SIGNS), chance)
    functional = Sentence(_pick(words.FUNCTIONAL_CLASS, chance).format(words.CLASSES[nyha]), "functional class", nyha)
    signs = [
        Sentence(f"{_pick(words.SEVERITY[grade], chance)} {_pick(names, chance)}.", finding, grade)
        for (finding, names), grade in zip(words.SIGNS.items(), others, strict=True)
    ]
    return [functional, *signs], grades


def _symptoms(finding: float | None, chance: Iterator[float]) -> tuple[list[Sentence], list[int] | None]:
    if finding is None:
        return [Sentence("")] * len(words.SYMPTOMS), None
    certainties = _spread(finding, CERTAINTY_STEP, len(words.SYMPTOMS), chance)
    sentences = []
    for (name, names), grade in zip(words.SYMPTOMS.items(), certainties, strict=True):
        sentences.append(Sentence(_capital(_pick(words.CERTAINTY[grade], chance).format(_pick(names, chance))), name, grade))
    return sentences, certainties


def _discomfort(finding: float | None, chance: Iterator[float]) -> list[Sentence]:
    if finding is None:
        return [Sentence("")]
    side = "left" if finding >= 0 else "right"
    form, degree = _pick(words.DISCOMFORT, chance), _pick(words.DEGREE[_degree(finding) - 1], chance)
    full, short = words.SIDES[side]
    return [Sentence(_capital(form.format(degree=degree, side=full, short=short)), "chest discomfort", side)]


def _degree(finding: float) -> int:
    return 1 + min(int(abs(finding) / DEGREE_STEP), len(words.DEGREE) - 1)


def _spread(finding: float, step: float, statements: int, chance: Iterator[float]) -> list[int]:
    """Grades near each other, whose sum states the finding."""
    total = min(max(round((finding - LOWEST) / step), 0), statements * HIGHEST_GRADE)
    order = _order(statements, chance)
    grades = [total // statements + (order[i] < total % statements) for i in range(statements)]
    give, take = _order(statements, chance)[:2]
    if next(chance) < 0.5 and grades[give] > 0 and grades[take] < HIGHEST_GRADE:
        grades[give] -= 1
        grades[take] += 1
    return grades


def _referral(visit: Visit, chance: Iterator[float]) -> Sentence:
    person, gender = ("woman", "female") if visit.sex == "F" else ("man", "male")
    return Sentence(_pick(words.REFERRAL, chance).format(age=visit.age, sex=visit.sex, person=person, gender=gender))


def _vital_signs(visit: Visit, chance: Iterator[float]) -> Sentence:
    pressure = visit.systolic_pressure
    return Sentence(_pick(words.VITAL_SIGNS, chance).format(rate=round(visit.heart_rate), pressure=pressure, diastolic=round(0.6 * pressure)))


def _asides(section: str, most: int, chance: Iterator[float]) -> list[Sentence]:
    pool = words.ASIDES[section]
    count = 1 + int(next(chance) * most)
    return [Sentence(_typed(_pick(pool[i], chance), chance)) for i in _order(len(pool), chance)[:count]]


def _typed(sentence: str, chance: Iterator[float]) -> str:
    """The sentence, in one of twelve with two letters swapped."""
    at, rare = 1 + int(next(chance) * (len(sentence) - 3)), next(chance) < 1 / 12
    if not rare or not sentence[at : at + 2].isalpha():
        return sentence
    return sentence[:at] + sentence[at + 1] + sentence[at] + sentence[at + 2 :]


def _shuffled(sentences: list[Sentence], chance: Iterator[float]) -> list[Sentence]:
    return [sentences[i] for i in _order(len(sentences), chance)]


def _order(length: int, chance: Iterator[float]) -> list[int]:
    """A permutation of 0 to length - 1."""
    keys = [next(chance) for _ in range(length)]
    return sorted(range(length), key=keys.__getitem__)


def _pick(options: Sequence[str], chance: Iterator[float]) -> str:
    return options[int(next(chance) * len(options))]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _written(headers: Iterable[str], bodies: Iterable[list[Sentence]]) -> tuple[str, list[dict[str, Any]]]:
    """The note, and the span of each statement in it; sentences without a text are left out."""
    note, spans = "", []
    for header, body in zip(headers, bodies, strict=True):
        note += ("\n" if note else "") + header
        for sentence in body:
            if sentence.text:
                start = len(note) + 1
                note += " " + sentence.text
                if sentence.finding is not None:
                    spans.append({"finding": sentence.finding, "grade": sentence.grade, "start": start, "stop": len(note)})
    return note, spans
