"""Patterns of personal data in text: Presidio's recognisers where they are installed, else a few expressions of our own."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|(?-i:May|MAY)|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)\.?"
)
DAY = r"(?:0?[1-9]|[12]\d|3[01])"
PATTERNS: dict[str, re.Pattern[str]] = {
    "e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE),
    "phone number": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)|\d{1,4})(?:[ .-]?\d{2,4}){2,4}|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-])"
        r"|\b(?:tel|phone|mobile|fax)\b[.: ]*(?:no\.? ?|number )?(?=[\d(+])[\d ()/.+-]{6,}\d",
        re.IGNORECASE,
    ),
    "record number": re.compile(
        r"\b(?:MRN|medical record|record (?:number|no)|hospital (?:number|no)|patient (?:id|number|no)|case (?:number|no)|accession|NHS)"
        r"(?: (?:number|no))?[.:# ]*(?=[A-Z-]{0,4}\d)[A-Z]{0,4}-?\d[\d -]{3,}\d",
        re.IGNORECASE,
    ),
    "social security number": re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
    "date": re.compile(
        rf"\b(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.]{DAY}\b"
        rf"|\b{DAY}[-/.](?:0?[1-9]|1[0-2])[-/.](?:19|20)\d\d\b|\b(?:0?[1-9]|1[0-2])[-/]{DAY}[-/](?:(?:19|20)\d\d|\d\d)\b"
        rf"|\b{MONTH} {DAY}(?:st|nd|rd|th)?\b(?:,? (?:19|20)\d\d\b)?(?! ?(?:mg|ml|kg|cm|mm|%))"
        rf"|\b{DAY}(?:st|nd|rd|th)?(?: of)? {MONTH}(?=\W|$)(?:,? ?(?:19|20)\d\d\b)?",
        re.IGNORECASE,
    ),
}
"""Our own expressions. A year or a month alone is no day, and is not told."""

PRESIDIO = {
    "PhoneRecognizer": "phone number",
    "DateRecognizer": "date",
    "UsSsnRecognizer": "social security number",
    "NhsRecognizer": "record number",
}
"""Recogniser of Presidio and the pattern it stands for. Its recogniser of e-mail addresses is left out: it downloads a list of domains."""
SURE = 0.35
"""Presidio's score from which on a match counts; its patterns without a word of context start there."""


def patterns_in(text: str) -> list[str]:
    """Names of the patterns that a text matches, in the order of ``PATTERNS``; what matched is told to no one."""
    found = {name for name, matches in recognisers() if matches(text)}
    return [name for name in PATTERNS if name in found]


@cache
def recognisers() -> list[tuple[str, Callable[[str], bool]]]:
    """Name and test of each pattern. Record numbers and dates in words are always our own: Presidio has none, or none without a model."""
    return [(name, _searcher(pattern)) for name, pattern in PATTERNS.items()] + _presidio()


def _searcher(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.search(text) is not None


def _presidio() -> list[tuple[str, Callable[[str], bool]]]:
    try:
        from presidio_analyzer import predefined_recognizers
    except ImportError:
        return []
    made: list[tuple[str, Callable[[str], bool]]] = []
    for class_name, name in PRESIDIO.items():
        made.append((name, _matcher(getattr(predefined_recognizers, class_name)())))
    return made


def _matcher(recogniser: Any) -> Callable[[str], bool]:
    return lambda text: any(hit.score >= SURE for hit in recogniser.analyze(text, recogniser.supported_entities, None) or [])


def who_looks() -> str:
    """Which recognisers are at work, for the user."""
    return "mmdx's own patterns and Presidio's" if len(recognisers()) > len(PATTERNS) else "mmdx's own patterns (presidio-analyzer is not installed)"
