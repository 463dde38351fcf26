"""The words of the clinical notes.

Each grade above 0 of each scale, and each side, has words (or a pair of words) of its own, of two letters or more, which stand nowhere else in
a note: so a model that counts words can read it.
"""

from __future__ import annotations

SEVERITY = (("No", "No evidence of"), ("Minimal", "Trace"), ("Mild",), ("Moderate",), ("Severe", "Marked"))
CLASSES = ("I", "I to II", "II", "III", "IV")
FUNCTIONAL_CLASS = ("NYHA {}.", "NYHA class {}.", "Functional class {} (NYHA).")
SIGNS = {
    "dyspnoea": ("dyspnoea on exertion", "SOB on exertion", "exertional breathlessness", "SOBOE"),
    "venous distension": ("jugular venous distension", "JVD", "neck vein distension"),
    "oedema": ("ankle oedema", "pedal oedema", "pitting oedema of the legs"),
    "crackles": ("basal crackles", "bibasal crepitations", "crackles at the bases"),
}
LIMITED = (
    "History limited: patient unable to give a history of breathlessness; volume status not assessed.",
    "Limited history, taken from relatives; exercise tolerance and volume status not recorded.",
    "Poor historian: exercise tolerance could not be established, volume status not assessed.",
)

CERTAINTY = (
    ("Denies {}.", "Negative for {}."),
    ("{} unlikely.", "Doubtful {}."),
    ("Possible {}.", "{} possible."),
    ("Probable {}.", "{} likely."),
    ("Definite {}.", "Clear history of {}."),
)
SYMPTOMS = {
    "palpitations": ("palpitations on effort", "exertional palpitations", "palps on climbing stairs"),
    "dizziness": ("dizziness on effort", "exertional lightheadedness", "presyncope on climbing stairs"),
    "orthopnoea": ("orthopnoea", "breathlessness lying flat", "SOB when supine"),
}

DEGREE = (("vague", "slight"), ("noticeable", "nagging"), ("troublesome", "strong"), ("intense", "unbearable"))
SIDES = {"left": ("left", "Lt"), "right": ("right", "Rt")}
"""A side in full, and abbreviated."""
DISCOMFORT = (
    "{degree} {side}-sided chest discomfort.",
    "{degree} {short}-sided chest discomfort.",
    "discomfort in the chest on the {side}, {degree}.",
)
"""Degree and side stand next to each other, so that a pair of words tells both."""

ASIDES = {
    "history": (
        ("Denies fever.", "Denies fevers or sweats."),
        ("Cough for two weeks, productive.", "Productive cough x 2/52."),
        ("Appetite normal.", "Eating and drinking as usual."),
        ("Lives with family.", "Lives alone, independent in ADLs."),
        ("Reports fatigue at work.", "Tired at the end of the day."),
        ("? viral URTI last month.", "?reflux, taking antacids."),
        ("Not sure whether vaccinated this year.",),
    ),
    "past": (
        ("Hypertension.", "HTN, on treatment."),
        ("T2DM.", "Type 2 diabetes, diet controlled."),
        ("COPD, ex-smoker.", "Never smoked."),
        ("Osteoarthritis of the knee.", "OA knees."),
        ("Appendicectomy in childhood.", "Appendix out as a child."),
        ("Gout.", "Gout, on allopurinol."),
        ("Hypothyroidism, on thyroxine.",),
        ("Penicillin allergy (rash).", "NKDA."),
    ),
    "family": (
        ("Mother had heart failure.", "Mother on treatment for CHF."),
        ("Father died of MI at 60.", "Father had an MI, stented."),
        ("Brother with valve disease.", "Sister had a valve replaced."),
        ("Unremarkable.", "Nil of note."),
        ("Heart disease not known in the family.", "None relevant."),
    ),
    "examination": (
        ("Abdomen soft, not tender.", "Abdo NAD."),
        ("Alert and oriented.", "A&O x3."),
        ("Skin warm and dry.", "Well perfused."),
        ("Afebrile.", "Temp 36.8."),
        ("BMI 27.", "Looks well nourished."),
    ),
    "plan": (
        ("Echocardiogram requested.", "Echo, then review in clinic."),
        ("Bloods and CXR sent.", "Await bloods and CXR."),
        ("Review with results.", "F/U with results."),
    ),
}
"""Sentences that show no finding; those in one pair of brackets say the same or exclude each other, and a note has one of them at most."""
REFERRAL = (
    "{age} year old {person}, referred for assessment.",
    "{age}{sex}, referred.",
    "{age} yo {gender} seen in clinic.",
)
VITAL_SIGNS = ("HR {rate}, BP {pressure}/{diastolic}.", "Pulse {rate} regular, BP {pressure} systolic.", "Obs: P {rate}, SBP {pressure}.")
CARRIED = ("", "(from previous note)", "(copied forward)")
HEADERS = (
    ("HISTORY:", "PAST MEDICAL HISTORY:", "FAMILY HISTORY:", "EXAMINATION:", "PLAN:"),
    ("Hx:", "PMH:", "FHx:", "O/E:", "Plan:"),
    ("Presenting complaint -", "Background -", "Family -", "On examination -", "Next -"),
)
