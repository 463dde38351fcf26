"""From an AUROC to a verdict, by what the thing is: thresholds fixed in advance, the same for every data set."""

from __future__ import annotations

from typing import NamedTuple

from mmdx.evaluation.intervals import Interval

ROLES = {
    "prior": "known before the diagnosis",
    "report": "written with the diagnosis or after it",
    "acquisition": "how and with what the sample was taken",
    "site": "where the sample is from",
    "absence": "that something is not there",
    "file": "the file before it is looked at",
}
OK, SUSPECT, LEAK = "ok", "suspect", "leak"


class Rule(NamedTuple):
    """From which AUROC on a thing of some role is suspect or a leak; the interval's lower end has to pass the second of each pair.

    Attributes:
        suspect, leak: (AUROC, lower end of its 95 % interval), both to be reached.
        advice: what to do about it.
    """

    suspect: tuple[float, float]
    leak: tuple[float, float]
    advice: str


NUISANCE = ((0.55, 0.5), (0.9, 0.8))
RULES = {
    "prior": Rule((0.9, 0.85), (0.98, 0.95), "ask whether it was really known before the diagnosis"),
    "report": Rule((0.65, 0.55), (0.8, 0.7), "leave it out, or use only what was written before the diagnosis; masking names is rarely enough"),
    "acquisition": Rule(*NUISANCE, "leave it out, balance it between classes, or report each of its values apart"),
    "site": Rule(*NUISANCE, "split by site (split=leave_one_site_out) and report AUROC within sites"),
    "absence": Rule(*NUISANCE, "report the rows that have everything apart; ask why it is missing"),
    "file": Rule(*NUISANCE, "bring all files to one form before training, and report classes by source"),
}
"""A nuisance that predicts at all is suspect. What is written with the diagnosis may be informative up to 0.65. Prior information may be
very informative, and is doubted only where it nearly is the answer."""


def verdict(role: str, found: Interval) -> str:
    """``ok``, ``suspect`` or ``leak``; ``ok`` where nothing could be measured."""
    rule = RULES[role]
    for words, (value, low) in ((LEAK, rule.leak), (SUSPECT, rule.suspect)):
        if found.value >= value and found.low > low:
            return words
    return OK
