"""One text: its encoding, damage by a wrong one, what may identify a person, and its fingerprint."""

from __future__ import annotations

import codecs
import hashlib
import re
from pathlib import Path

from mmdx.data.checks.facts import Facts, hexadecimal
from mmdx.data.checks.fingerprints import text_code, words_of
from mmdx.data.checks.personal import patterns_in

WORDS = 20
"""A shorter text that is there twice says the same, and is no copy: notes such as "chest pain" repeat."""
MANGLED = re.compile("\ufffd|[\u00c2\u00c3][\u0080-\u00bf\u0192\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|\u00e2\u20ac")
"""What UTF-8 looks like when it was read as Latin-1 or Windows-1252, and the sign for what could not be decoded."""
CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\x80-\x9f]")
MARKS = ((codecs.BOM_UTF8, "UTF-8 with a byte order mark"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))


def examine_text(text: str, name: str, facts: Facts) -> None:
    """Note what a text is like."""
    facts.kind = "text"
    words = words_of(text)
    facts.measures["words"] = float(len(words))
    if len(words) >= WORDS:
        facts.content = hashlib.blake2b(" ".join(words).encode(), digest_size=16).hexdigest()
        facts.fingerprint = hexadecimal(text_code(words))
    if MANGLED.search(text):
        facts.warn("encoding", f"{name} has characters that come of a wrong encoding: it was written in one and read in another before")
    elif CONTROL.search(text):
        facts.warn("encoding", f"{name} has control characters: it was written in another encoding, or is no text")
    facts.personal += patterns_in(text)


def examine_text_file(path: Path, encoding: str, facts: Facts) -> None:
    """Note the encoding of a text file that could be read in the stated one."""
    data = path.read_bytes()
    marked = next((name for mark, name in MARKS if data.startswith(mark)), None)
    facts.properties["encoding"] = marked or "without a byte order mark"
    if not data.isascii() and codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig") and _is_utf8(data):
        facts.warn("encoding", f"text file '{path.name}' is UTF-8, and is read as {encoding}")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeError:
        return False
    return True
