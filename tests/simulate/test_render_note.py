"""A note says what its findings are, where it says so, and nothing else depends on them."""

import re
from pathlib import Path

import numpy as np
import pytest

from mmdx.simulate import note_words
from mmdx.simulate.draws import generator
from mmdx.simulate.note import render_note
from mmdx.simulate.visit import Visits

SAMPLES = 300
STATEMENTS = r"dyspnoea|SOB on exertion|SOBOE|exertional breathlessness|venous|JVD|vein|oedema|crackles|crepitations"
SYMPTOMS = r"palpitations|palps|dizziness|lightheadedness|presyncope|orthopnoea|lying flat|supine"
SEVERITY = {1: r"\b(Minimal|Trace)\b", 2: r"\bMild\b", 3: r"\bModerate\b", 4: r"\b(Severe|Marked)\b"}
CERTAINTY = {1: r"\b(unlikely|doubtful)\b", 2: r"\bpossible\b", 3: r"\b(probable|likely)\b", 4: r"\b(definite|clear)\b"}
DEGREES = {1: r"\b(Vague|Slight)\b", 2: r"\b(Noticeable|Nagging)\b", 3: r"\b(Troublesome|Strong)\b", 4: r"\b(Intense|Unbearable)\b"}
CLASSES = {"I": 0, "I to II": 1, "II": 2, "III": 3, "IV": 4}
SIDES = r"\b(left|right|Lt|Rt|L|R)\b"


def visit_of(i, visits):
    return visits[i]._replace(person=i, site=i % 3)


@pytest.fixture(scope="module")
def visits():
    return Visits(0, SAMPLES, 3, [1, 1, 1, 2], 13)


@pytest.fixture(scope="module")
def notes(visits):
    rng = generator(5)
    findings = np.where(rng.random((SAMPLES, 3)) < 0.25, np.nan, rng.standard_normal((SAMPLES, 3)))
    return [(f, render_note(f, visit_of(i, visits), generator(6, i), with_truth=True)) for i, f in enumerate(findings)]


def counted(scale, note, flags=0):
    return sum(grade * len(re.findall(words, note, flags)) for grade, words in scale.items())


def severity(note):
    (nyha,) = re.findall(r"(?:NYHA|NYHA class|Functional class) (I to II|IV|I{1,3})\b", note)
    return counted(SEVERITY, note) + CLASSES[nyha]


def test_five_graded_statements_are_the_first_finding(notes):
    for (finding, _, _), (note, truth) in notes:
        limited = re.search(r"History limited|Limited history|Poor historian", note)
        assert bool(limited) == np.isnan(finding)
        if np.isnan(finding):
            assert truth["grades"] is None and not re.search(rf"NYHA|{STATEMENTS}", note) and counted(SEVERITY, note) == 0
        else:
            assert severity(note) == sum(truth["grades"]) == np.clip(round((finding + 3.6) / 0.36), 0, 20)
            assert len(re.findall(STATEMENTS, note)) >= 4


def test_three_uncertain_statements_are_the_second_finding(notes):
    for (_, finding, _), (note, truth) in notes:
        assert bool(re.search(SYMPTOMS, note, re.I)) != np.isnan(finding)
        assert counted(CERTAINTY, note, re.I) == (0 if np.isnan(finding) else sum(truth["certainties"]))
        if not np.isnan(finding):
            assert sum(truth["certainties"]) == np.clip(round((finding + 3.6) / 0.6), 0, 12)
            assert len(re.findall(SYMPTOMS, note, re.I)) == 3


def test_the_side_of_the_discomfort_is_the_sign_of_the_third_finding(notes):
    for (_, _, finding), (note, truth) in notes:
        sides = [side[0] for side in re.findall(SIDES, note, re.I)]
        if np.isnan(finding):
            assert sides == [] and "discomfort" not in note.lower() and truth["side"] is truth["side_grade"] is None
        else:
            assert [s.lower() for s in sides] == ["l" if finding >= 0 else "r"]
            assert counted(DEGREES, note, re.I) == truth["side_grade"] == np.searchsorted([0.7, 1.4, 2.1], abs(finding)) + 1


def test_sums_of_grades_follow_the_findings(notes):
    for number, name in enumerate(("grades", "certainties")):
        pairs = np.array([(f[number], sum(r.truth[name])) for f, r in notes if r.truth[name] is not None])
        assert np.corrcoef(pairs.T)[0, 1] > 0.98


def test_spans_are_the_statements(notes):
    names = {"functional class": "grades", "dyspnoea": "grades", "venous distension": "grades", "oedema": "grades", "crackles": "grades"}
    names |= {"palpitations": "certainties", "dizziness": "certainties", "orthopnoea": "certainties"}
    for _, (note, truth) in notes:
        stated = {"grades": {}, "certainties": {}}
        for span in truth["spans"]:
            text = note[span["start"] : span["stop"]]
            assert text[0].isupper() and text.count(".") == 1 and text.endswith(".")
            if span["finding"] == "chest discomfort":
                assert span["grade"] == truth["side"] and text.lower().count("discomfort") == 1
                continue
            stated[names[span["finding"]]][span["finding"]] = span["grade"]
            scale = severity if span["finding"] == "functional class" else lambda t: counted(SEVERITY, t) + counted(CERTAINTY, t, re.I)
            assert scale(text) == span["grade"]
        for kind, said in stated.items():
            assert [said[n] for n in names if n in said] == (truth[kind] or [])
        starts = [s["start"] for s in truth["spans"]]
        assert starts == sorted(starts)
        assert len(starts) == sum(len(truth[k] or []) for k in stated) + (truth["side"] is not None)


def without_statements(rendering):
    note = rendering.raw
    for span in reversed(rendering.truth["spans"]):
        note = note[: span["start"]] + note[span["stop"] :]
    return " ".join(re.sub(r"(History limited|Limited history|Poor historian).*?(not assessed|not recorded)\.", "", note).split())


def statements(rendering, names):
    return [rendering.raw[s["start"] : s["stop"]] for s in rendering.truth["spans"] if s["finding"] in names]


def test_a_finding_changes_its_own_statements_only(notes, visits):
    signs = ("functional class", "dyspnoea", "venous distension", "oedema", "crackles")
    own = [signs, ("palpitations", "dizziness", "orthopnoea"), ("chest discomfort",)]
    for i, (findings, before) in enumerate(notes[:60]):
        for number in range(3):
            for value in (np.nan, -1.5, 9.0):
                changed = findings.copy()
                changed[number] = value
                after = render_note(changed, visit_of(i, visits), generator(6, i), with_truth=True)
                assert without_statements(after) == without_statements(before)
                others = [name for n, names in enumerate(own) for name in names if n != number]
                assert statements(after, others) == statements(before, others)


def test_past_and_family_history_are_copied_from_visit_to_visit(visits):
    def copied(i, person):
        return render_note((0.3, np.nan, -1.0), visits[i]._replace(person=person, site=0), generator(9, i)).raw.split("\n")[1:3]

    assert copied(0, 3) == copied(1, 3) == copied(2, 3)
    assert copied(0, 3)[0] != copied(0, 4)[0]
    assert len({tuple(copied(0, person)) for person in range(200)}) > 180


def test_typing_errors_are_copied_too_and_fall_on_no_statement(notes):
    text = "\n".join(r.raw for _, r in notes)
    known = set(re.findall(r"[a-z]+", re.sub(r'"""[\s\S]*?"""', "", Path(note_words.__file__).read_text()).lower()))
    odd = {w for w in re.findall(r"[A-Za-z]{3,}", text) if w.lower() not in known} - {"woman", "man", "male", "female"}
    assert 10 < len(odd) < 400
    stated = " ".join(r.raw[s["start"] : s["stop"]] for _, r in notes for s in r.truth["spans"])
    assert not odd & set(re.findall(r"[A-Za-z]{3,}", stated))


def test_notes_have_five_sections_name_the_patient_and_are_the_same_without_truth(notes, visits):
    for i, (findings, (note, _)) in enumerate(notes):
        bare = render_note(findings, visit_of(i, visits), generator(6, i))
        assert bare.raw == note and bare.truth == {}
        assert note.count("\n") == 4 and str(visits[i].age) in note.split("\n")[0]
        assert str(visits[i].systolic_pressure) in note.split("\n")[3]
    assert len({note.split("\n")[1].split(" ")[0] for _, (note, _) in notes}) > 1, "hospitals write their own headings"


@pytest.mark.parametrize("finding", [-9.0, 9.0])
def test_extreme_findings_are_stated_at_the_end_of_the_scale(finding, visits):
    truth = render_note((finding,) * 3, visits[0], generator(1), with_truth=True).truth
    end = 4 if finding > 0 else 0
    assert truth["grades"] == [end] * 5 and truth["certainties"] == [end] * 3 and truth["side_grade"] == 4
