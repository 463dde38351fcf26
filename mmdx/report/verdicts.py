"""What the model said of one sample, with all modalities and with each alone, and how far off, sure and divided it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit, logit

from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import number

Row = Mapping[str, Any]
"""One row of the predictions."""
EDGE = 1e-6
SIDES = ("negative", "positive")


@dataclass(frozen=True)
class Answer:
    """What one set of modalities said of one outcome.

    Attributes:
        who: "all together", or the modality.
        says: the answer in words.
        right: None where there is no right or wrong.
        prob: of the positive or of the class called; None where it is no probability.
        threshold: None where none decides.
        outcome: the label, of several.
        value: what is told instead of a probability.
    """

    who: str
    says: str
    right: bool | None = None
    prob: float | None = None
    threshold: float | None = None
    outcome: str = ""
    value: str = ""


@dataclass(frozen=True)
class Verdict:
    """All answers on one sample.

    Attributes:
        target: in words.
        outcome: "true positive", "false negative", ..., "right", "wrong", or "".
        error: how far the answer is from the target; 0 is best.
        confidence: 0.5 or 1 / K to 1; None where there are no probabilities.
        disagreement: how far single modalities differ, 0 to 1; None with fewer than two.
    """

    target: str
    outcome: str
    error: float
    confidence: float | None
    disagreement: float | None
    answers: list[Answer] = field(default_factory=list)


def verdict_of(run: RunFolder, rows: Mapping[str, Row]) -> Verdict:
    """The verdict on one sample.

    Args:
        run: the run.
        rows: of each subset its one row, the full set among them.
    """
    full = rows[run.full]
    singles = {m: rows[m] for m in run.modalities if m in rows and m != run.full}
    if run.kind == "binary":
        return _binary(run, full, singles)
    if run.kind == "multilabel":
        return _labels(run, full, singles)
    if run.outputs:
        return _classes(run, full, singles)
    return _numbers(run, full, singles)


def _binary(run: RunFolder, full: Row, singles: Mapping[str, Row]) -> Verdict:
    target = int(full["target"])
    answers, shifted = [], []
    for who, row in {"all together": full, **singles}.items():
        prob, threshold = float(row["prob"]), run.threshold(row)
        called = int(prob >= threshold)
        answers.append(Answer(who, SIDES[called], called == target, prob, threshold))
        shifted.append(centred(prob, threshold))
    called = int(answers[0].prob >= answers[0].threshold)  # type: ignore[operator]
    outcome = f"{'true' if called == target else 'false'} {SIDES[called]}"
    spread = max(shifted[1:]) - min(shifted[1:]) if len(shifted) > 2 else None
    return Verdict(SIDES[target], outcome, abs(answers[0].prob - target), max(shifted[0], 1 - shifted[0]), spread, answers)  # type: ignore[operator]


def centred(prob: float, threshold: float) -> float:
    """The probability with its log odds moved so that the threshold lies at 0.5."""
    ends = np.clip([prob, threshold], EDGE, 1 - EDGE)
    return float(expit(logit(ends[0]) - logit(ends[1])))


def _classes(run: RunFolder, full: Row, singles: Mapping[str, Row]) -> Verdict:
    target = str(full["target"])
    answers, probabilities = [], []
    for who, row in {"all together": full, **singles}.items():
        prob = np.array([row[f"prob_{name}"] for name in run.outputs], dtype=np.float64)
        called = run.outputs[int(prob.argmax())]
        answers.append(Answer(who, called, called == target, float(prob.max())))
        probabilities.append(prob)
    pairs = [np.abs(a - b).sum() / 2 for k, a in enumerate(probabilities[1:]) for b in probabilities[2 + k :]]
    own = probabilities[0][run.outputs.index(target)] if target in run.outputs else 0.0
    outcome = "right" if answers[0].right else "wrong"
    return Verdict(target, outcome, 1 - float(own), answers[0].prob, float(max(pairs)) if pairs else None, answers)


def _labels(run: RunFolder, full: Row, singles: Mapping[str, Row]) -> Verdict:
    answers: list[Answer] = []
    errors, sure, spreads, positive = [], [], [], []
    for label in run.outputs:
        target = float(full[f"target_{label}"])
        known, shifted = not np.isnan(target), []
        for who, row in {"all together": full, **singles}.items():
            prob, threshold = float(row[f"prob_{label}"]), run.threshold(row, label)
            called = int(prob >= threshold)
            answers.append(Answer(who, SIDES[called], called == target if known else None, prob, threshold, label))
            shifted.append(centred(prob, threshold))
        if known:
            errors.append(abs(float(full[f"prob_{label}"]) - target))
            positive += [label] if target else []
        sure.append(max(shifted[0], 1 - shifted[0]))
        spreads += [max(shifted[1:]) - min(shifted[1:])] if len(shifted) > 2 else []
    wrong = [a for a in answers if a.who == "all together" and a.right is False]
    told = ", ".join(positive) or ("none" if errors else "not labelled")
    outcome = ("wrong" if wrong else "right") if errors else ""
    return Verdict(told, outcome, max(errors, default=0.0), min(sure), max(spreads) if spreads else None, answers)


def _numbers(run: RunFolder, full: Row, singles: Mapping[str, Row]) -> Verdict:
    column = "risk" if run.kind == "survival" else "prediction"
    answers = [Answer(who, "", value=f"{column} {number(float(row[column]), 3)}") for who, row in {"all together": full, **singles}.items()]
    if run.kind == "survival":
        happened = "event" if float(full["event"]) else "no event until"
        return Verdict(f"{happened} {'at ' if happened == 'event' else ''}{number(float(full['time']), 1)}", "", 0.0, None, None, answers)
    values = [float(row[column]) for row in singles.values()]
    target = float(full["target"])
    spread = max(values) - min(values) if len(values) > 1 else None
    return Verdict(number(target, 3), "", abs(float(full[column]) - target), None, spread, answers)
