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
ALPHA = 0.05
"""Chance that a report calls any nuisance suspect where none has anything to do with the target."""


class Rule(NamedTuple):
    """From which AUROC on a thing of some role is suspect or a leak.

    Attributes:
        suspect: AUROC, and what the lower end of its 95 % interval has to pass; of a nuisance None: its p-value has to be below ``ALPHA``.
        leak: AUROC and lower end.
        advice: what to do about it.
    """

    suspect: tuple[float, float | None]
    leak: tuple[float, float]
    advice: str


NUISANCE: tuple[tuple[float, None], tuple[float, float]] = ((0.55, None), (0.9, 0.8))
RULES = {
    "prior": Rule((0.9, 0.85), (0.98, 0.95), "ask whether it was really known before the diagnosis, and drop it if not"),
    "report": Rule((0.65, 0.55), (0.8, 0.7), "drop it, or use only what was written before the diagnosis; masking names is rarely enough"),
    "acquisition": Rule(*NUISANCE, "drop it, balance it between classes, or report each of its values apart"),
    "site": Rule(*NUISANCE, "group by site (split=leave_one_site_out) and report AUROC within sites"),
    "absence": Rule(*NUISANCE, "report the rows that have everything apart; ask why it is missing"),
    "file": Rule(*NUISANCE, "bring all files to one form before training, and report classes by source"),
}
"""A nuisance that predicts at all is suspect. What is written with the diagnosis may be informative up to 0.65. Prior information may be
very informative, and is doubted only where it nearly is the answer."""
MASK = "mask the target's names: mmdx data leakage SOURCE --masks FILE, then train with data.masks=FILE"
"""The advice for a text that is in order without them."""


def is_nuisance(role: str) -> bool:
    """Whether a thing of this role should say nothing of the target at all."""
    return RULES[role].suspect[1] is None


def verdict(role: str, found: Interval, p: float | None = None) -> str:
    """``ok``, ``suspect`` or ``leak``; ``ok`` where nothing could be measured.

    Args:
        role: from ``ROLES``.
        found: the AUROC.
        p: of a nuisance, the p-value that it has nothing to do with the target, corrected for all that were asked.
    """
    rule = RULES[role]
    if found.value >= rule.leak[0] and found.low > rule.leak[1]:
        return LEAK
    value, low = rule.suspect
    sure = found.low > low if low is not None else p is not None and p < ALPHA
    return SUSPECT if found.value >= value and sure else OK
