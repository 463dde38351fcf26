"""What makes a data set ready for its loader once it is unpacked: checking its own sums, and Open-i's table from its XML."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from mmdx.data.fetch.unpack import ArchiveError, safe_path
from mmdx.errors import InputError


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

    Raises:
        ArchiveError: where a report is not XML, or there is none.
    """
    from mmdx.data.openi_reports import xml_tables

    try:
        reports, images = xml_tables(folder)
    except InputError as fault:
        raise ArchiveError(f"NLMCXR_reports.tgz: {fault}") from None
    reports.to_csv(folder / "indiana_reports.csv", index=False)
    images.to_csv(folder / "indiana_images.csv", index=False)


STEPS: dict[str, Callable[[Path], None]] = {"openi_table": openi_table}
"""What ``Entry.finish`` names."""
