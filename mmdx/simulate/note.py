"""Clinical notes, written before the diagnosis: five graded statements among what else a note says."""

from __future__ import annotations

import numpy as np

from mmdx.simulate.visit import Visit, site_style

LOWEST, STEP, GRADES, STATEMENTS = -3.6, 0.36, 5, 5
"""The finding is written in 21 steps of 0.36 from -3.6 on: the sum of five grades, each 0 to 4."""
STYLE = 1

SEVERITY = (("No", "No evidence of"), ("Minimal", "Trace"), ("Mild",), ("Moderate",), ("Severe", "Marked"))
NYHA = ("I", "I-II", "II", "III", "IV")
SIGNS = {
    "dyspnoea": ("dyspnoea on exertion", "SOB on exertion", "exertional breathlessness"),
    "venous": ("jugular venous distension", "JVD", "neck vein distension"),
    "oedema": ("ankle oedema", "pedal oedema", "pitting oedema of both legs"),
    "crackles": ("basal crackles", "bibasal crepitations", "crackles at both bases"),
}
ASIDES = {
    "history": (
        "Denies chest pain.",
        "Denies CP or palpitations.",
        "Sleeps well.",
        "Cough for two weeks, productive.",
        "Appetite normal.",
        "Denies fever.",
        "Lives with family, walks unaided.",
        "Reports fatigue at work.",
        "Weight stable.",
    ),
    "past": (
        "Hypertension.",
        "HTN, on treatment.",
        "T2DM.",
        "COPD, ex-smoker.",
        "Never smoked.",
        "Osteoarthritis of the knee.",
        "Appendicectomy in childhood.",
        "Gout.",
    ),
    "family": (
        "Mother had heart failure.",
        "Father died of MI at 60.",
        "Brother with valve disease.",
        "FHx unremarkable.",
        "No known heart disease in the family.",
    ),
    "examination": (
        "Abdomen soft, not tender.",
        "Abdo NAD.",
        "Alert and oriented.",
        "Skin warm and dry.",
        "Afebrile.",
        "BMI 27.",
    ),
    "plan": ("Echocardiogram requested.", "Plan: echo, review in clinic.", "Bloods and CXR sent.", "Review with results."),
}
HEADERS = (
    ("HISTORY:", "PAST MEDICAL HISTORY:", "FAMILY HISTORY:", "EXAMINATION:", "PLAN:"),
    ("Hx:", "PMH:", "FHx:", "O/E:", "Plan:"),
    ("Presenting complaint -", "Background -", "Family -", "On examination -", "Next -"),
)


def render_note(finding: float, visit: Visit, rng: np.random.Generator) -> str:
    """A note of five sections.

    New York Heart Association class, dyspnoea, distension of the jugular veins, oedema and crackles each have a grade from 0 (denied) to 4;
    the sum of the grades is ``round((z + 3.6) / 0.36)``, cut to 0 to 20, spread over the five by chance. Synonyms, abbreviations, order
    and asides that have nothing to do with the diagnosis vary, family history and negated complaints among them; typing errors fall on
    the asides only.
    """
    nyha, *grades = _grades(finding, rng)
    dyspnoea, *signs = (_statement(names, grade, rng) for names, grade in zip(SIGNS.values(), grades, strict=True))
    history = [_functional_class(nyha, rng), dyspnoea, *_asides("history", 3, rng)]
    examination = [*signs, _vital_signs(visit, rng), *_asides("examination", 2, rng)]
    headers = HEADERS[int((site_style(visit.site, STYLE, 1)[0] + 1) / 2 * len(HEADERS))]
    bodies = [
        [_person(visit, rng), *_shuffled(history, rng)],
        _asides("past", 2, rng),
        _asides("family", 1, rng),
        _shuffled(examination, rng),
        _asides("plan", 1, rng),
    ]
    return "\n".join(f"{header} {' '.join(body)}" for header, body in zip(headers, bodies, strict=True))


def _grades(finding: float, rng: np.random.Generator) -> list[int]:
    """Five grades near each other, whose sum states the finding."""
    total = int(np.clip(round((finding - LOWEST) / STEP), 0, STATEMENTS * (GRADES - 1)))
    grades = np.full(STATEMENTS, total // STATEMENTS)
    grades[rng.permutation(STATEMENTS)[: total % STATEMENTS]] += 1
    give, take = rng.permutation(STATEMENTS)[:2]
    if rng.random() < 0.5 and grades[give] > 0 and grades[take] < GRADES - 1:
        grades[give] -= 1
        grades[take] += 1
    return [int(grade) for grade in grades]


def _statement(names: tuple[str, ...], grade: int, rng: np.random.Generator) -> str:
    return f"{_pick(SEVERITY[grade], rng)} {_pick(names, rng)}."


def _functional_class(grade: int, rng: np.random.Generator) -> str:
    return _pick(("NYHA {}.", "NYHA class {}.", "Functional class {} (NYHA)."), rng).format(NYHA[grade])


def _person(visit: Visit, rng: np.random.Generator) -> str:
    woman = visit.sex == "F"
    long = f"{visit.age} year old {'woman' if woman else 'man'}, referred for assessment."
    return _pick((long, f"{visit.age}{visit.sex}, referred.", f"{visit.age} yo {'female' if woman else 'male'} seen in clinic."), rng)


def _vital_signs(visit: Visit, rng: np.random.Generator) -> str:
    return _pick(("HR {}, BP {}/80.", "Pulse {} regular, BP {} systolic."), rng).format(round(visit.heart_rate), visit.systolic_pressure)


def _asides(section: str, most: int, rng: np.random.Generator) -> list[str]:
    pool = ASIDES[section]
    count = int(rng.integers(1, most + 1))
    return [_typed(pool[i], rng) for i in rng.permutation(len(pool))[:count]]


def _typed(sentence: str, rng: np.random.Generator) -> str:
    """The sentence, in one of twelve with two letters swapped."""
    at = int(rng.integers(1, len(sentence) - 2))
    if rng.random() > 1 / 12 or not sentence[at : at + 2].isalpha():
        return sentence
    return sentence[:at] + sentence[at + 1] + sentence[at] + sentence[at + 2 :]


def _shuffled(sentences: list[str], rng: np.random.Generator) -> list[str]:
    return [sentences[i] for i in rng.permutation(len(sentences))]


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
