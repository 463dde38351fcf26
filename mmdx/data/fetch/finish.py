"""What makes a data set ready for its loader once it is unpacked: checking its own sums, and Open-i's table from its XML."""

from __future__ import annotations

import csv
import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from mmdx.data.fetch.unpack import ArchiveError, safe_path

SECTIONS = ("indication", "comparison", "findings", "impression")
COLUMNS = ("uid", "MeSH", "Problems", "image", *SECTIONS)


def check_sums(folder: Path, name: str) -> int:
    """Check every file that a list of SHA-256 sums (lines of ``HEX  PATH``) names.

    Args:
        folder: the data set.
        name: path of the list in it.

    Returns:
        Number of files checked.

    Raises:
        ArchiveError: where the list or a file is missing, or a sum is wrong.
    """
    if not (folder / name).is_file():
        raise ArchiveError(f"{name}: the list of SHA-256 sums is not in the archive. Run the same command again.")
    count = 0
    for line in (folder / name).read_text(encoding="utf-8").splitlines():
        wanted, _, path = line.strip().partition(" ")
        relative = safe_path(path.strip().lstrip("*"), name)
        if not path or relative.name == name:
            continue
        file = folder / relative
        if not file.is_file():
            raise ArchiveError(f"{relative}: {name} lists it, but it is not in the archive. Run the same command again.")
        with file.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != wanted.lower():
            raise ArchiveError(f"{relative}: its SHA-256 is {found}, {name} says {wanted}. Run the same command again.")
        count += 1
    return count


def openi_table(folder: Path) -> None:
    """Write ``indiana_reports.csv`` and ``indiana_images.csv`` from Open-i's XML, one file a report.

    ``MeSH`` holds the terms under ``major``, ``Problems`` the part of each before its first slash (so it is in the table that is in
    wide use, whose 3,851 rows all follow that rule). Reports without an image are left out, as there.

    Raises:
        ArchiveError: where a report is not XML, or there is none.
    """
    reports: list[dict[str, str]] = []
    images: list[dict[str, str]] = []
    for path in sorted((folder / "ecgen-radiology").glob("*.xml"), key=lambda file: (len(file.stem), file.stem)):
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as fault:
            raise ArchiveError(f"{path.name}: not XML ({fault}). Run the same command again.") from None
        uid = _attribute(root, "uId", "id").removeprefix("CXR") or path.stem
        shown = [image.get("id", "") for image in root.iter("parentImage")]
        if not shown:
            continue
        images += [{"uid": uid, "filename": f"{image}.png"} for image in shown]
        reports.append(_report(root, uid))
    if not reports:
        raise ArchiveError("NLMCXR_reports.tgz: there is no report with an image in it; the layout has changed upstream.")
    _write(folder / "indiana_reports.csv", COLUMNS, reports)
    _write(folder / "indiana_images.csv", ("uid", "filename"), images)


def _report(root: ElementTree.Element, uid: str) -> dict[str, str]:
    terms = [(term.text or "").strip() for mesh in root.iter("MeSH") for term in mesh.iter("major")]
    texts = {(text.get("Label") or "").lower(): " ".join((text.text or "").split()) for text in root.iter("AbstractText")}
    row = {"uid": uid, "MeSH": ";".join(terms), "Problems": ";".join(term.split("/")[0] for term in terms)}
    return {**row, "image": (root.findtext(".//Article/ArticleTitle") or "").strip(), **{name: texts.get(name, "") for name in SECTIONS}}


def _attribute(root: ElementTree.Element, tag: str, name: str) -> str:
    found = root.find(f".//{tag}")
    return "" if found is None else found.get(name, "")


def _write(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


STEPS: dict[str, Callable[[Path], None]] = {"openi_table": openi_table}
"""What ``Entry.finish`` names."""
