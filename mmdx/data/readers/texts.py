"""Text files in a stated encoding."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from mmdx.data.readers.common import InputFile, check_file
from mmdx.data.tables import NOWHERE, Place
from mmdx.errors import InputError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and the encoding that a file with one is in; that of UTF-32 begins with that of UTF-16."""
MARKED = ("utf-16", "utf-32")
"""Encodings whose byte order only the mark tells; Python takes this machine's where there is none, which decodes to other characters."""


def check_encoding(encoding: Any, key: str = "encoding") -> str:
    """Python's name of an encoding of text.

    Raises:
        InputError: where there is none.
    """
    try:
        "".encode(str(encoding))
        return codecs.lookup(str(encoding)).name
    except LookupError:
        raise InputError(f"{key}={encoding}: no such text encoding; the usual ones are utf-8, latin-1, cp1252 and utf-16.") from None


def read_text(path: str | Path, place: Place = NOWHERE, encoding: str = "utf-8") -> str:
    """A text file, stripped, without its byte order mark.

    Raises:
        SampleError: where the file is missing, empty or not text in the encoding: bytes that it does not have, the byte order mark of another
            one, none where UTF-16 or UTF-32 needs it, zero bytes.
        InputError: where there is no such encoding.
    """
    check_file(path, "text", place)
    name = check_encoding(encoding)
    file = InputFile(Path(path), "text", place)
    with file.path.open("rb") as opened:
        begin = opened.read(4)
    mark = next((marked for sign, marked in MARKS if begin.startswith(sign)), None)
    if mark is not None and not name.startswith(mark):
        raise file.fault(f"is not text in {encoding}: it begins with the mark of {mark}")
    if mark is None and name in MARKED:
        raise file.fault(f"is not text in {encoding}: it has no byte order mark; state {name}-le or {name}-be if it is in one of these")
    try:
        text = file.path.read_text(encoding=encoding).lstrip("\ufeff").strip()
    except UnicodeError:
        raise file.fault(f"is not text in {encoding}") from None
    if "\0" in text:
        raise file.fault(f"is not text in {encoding}: it has zero bytes")
    if not text:
        raise file.fault("has no text")
    return text
