"""A CSV or Parquet file as cells: every one a stripped string or missing, nothing guessed, in Arrow's memory and not in Python objects."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmdx.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
"""Cells that count as empty."""

STRINGS = pd.StringDtype("pyarrow", na_value=np.nan)
"""Type of every column of cells: a million of them are one buffer, which loader workers share."""


def open_table(path: str | Path, key: str) -> pd.DataFrame:
    """A CSV (.csv, .tsv) or Parquet (.parquet, .pq) file with every cell a stripped string or missing, columns of type ``STRINGS``.

    Nothing is guessed: ids keep their leading zeros, and "NA" and the like are empty (``MISSING``). The index is the row,
    counted from 1 without the header; wholly empty rows are left out and the others keep their number.

    Args:
        path: the file.
        key: the config key that named it, for the messages.

    Raises:
        InputError: where the file is missing, empty, not text in UTF-8, ragged, or has a column twice.
    """
    import pyarrow as pa

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{key}={path}: a folder. Give a CSV or Parquet file.")
    if not path.is_file():
        raise InputError(f"{key}={path}: no such file. Give a CSV or Parquet file.")
    names, columns = _parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else _csv(path)
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"{path.name}: column '{twice[0]}' is there more than once. Rename one of them.")
    table = pa.Table.from_arrays([_cells(column, f"{path.name}: column '{name}'") for name, column in zip(names, columns, strict=True)], names=names)
    release()
    frame = table.to_pandas(types_mapper={pa.large_string(): STRINGS}.get).set_axis(pd.RangeIndex(1, len(table) + 1), axis=0)
    filled = np.zeros(len(frame), dtype=bool)
    for name in frame.columns:
        filled |= frame[name].notna().to_numpy()
    if not filled.all():
        frame = frame[filled]
    if frame.empty:
        raise InputError(f"{path.name}: there is no row below the header. Give at least one row for each class.")
    return frame


def read_table(path: str | Path, key: str) -> pd.DataFrame:
    """As ``open_table``, with Python strings and None, for tables that are gone through row by row."""
    return as_objects(open_table(path, key))


def as_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Cells as Python strings and None."""
    return pd.DataFrame({name: frame[name].astype(object).where(frame[name].notna(), None) for name in frame.columns}, index=frame.index)


def release() -> None:
    """Give back what Arrow has freed; it would keep it for later."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def numbers_of(cells: pd.Series) -> np.ndarray | None:
    """Cells [n] as numbers, NaN where there is none; None where any cell is not a number, or all are missing."""
    import pyarrow as pa

    there = cells.notna()
    head = pd.to_numeric(cells[there].iloc[:100], errors="coerce")
    if head.empty or head.isna().any():
        return None
    try:
        return np.asarray(pa.array(cells.astype(STRINGS)).cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:  # it knows fewer ways to write a number
        values = pd.to_numeric(cells, errors="coerce")
        return values.to_numpy(dtype=float, na_value=np.nan) if values.notna().equals(there) else None


def _cells(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """One column of any type as strings: as pandas writes it to CSV, but numbers that are all whole without a point.

    Raises:
        InputError: where its type has no such form.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(_strings(column, name))
    column = pc.if_else(pc.is_in(column, value_set=pa.array(MISSING, pa.large_string())), pa.scalar(None, pa.large_string()), column)
    if pc.all(pc.ends_with(column, ".0")).as_py() and pc.all(pc.match_substring_regex(column, r"^-?[0-9]+[.]0$")).as_py():
        column = pc.replace_substring(column, ".0", "")  # whole numbers with gaps come as floats; an id 17 must not become 17.0
    return column


def _strings(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = column.type, pa.types
    if types.is_dictionary(kind):
        return _strings(column.cast(kind.value_type), name)
    if types.is_float16(kind):
        return _strings(column.cast(pa.float32()), name)
    if types.is_floating(kind):
        text = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column).cast(pa.large_string())
        point, nothing = (pa.scalar(part, pa.large_string()) for part in (".0", ""))
        return pc.if_else(pc.match_substring_regex(text, "^-?[0-9]+$"), pc.binary_join_element_wise(text, point, nothing), text)
    if types.is_integer(kind) or types.is_large_string(kind) or types.is_string(kind) or types.is_null(kind):
        return column.cast(pa.large_string())
    if types.is_nested(kind) and not ((types.is_list(kind) or types.is_large_list(kind)) and _is_text(kind.value_type)):
        raise InputError(f"{name} has the type {kind}, expected text, numbers, dates, or lists of text. Write each part to a column of its own.")
    if types.is_nested(kind):  # a bag
        joined = [None if bag is None else ";".join(part for part in bag if part) for bag in column.to_pylist()]
    elif types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        raise InputError(f"{name} holds bytes, expected text. Write them as text, or as files that the column names.")
    else:
        values = column.to_pandas()
        dates = types.is_timestamp(kind) and (values.dropna() == values.dropna().dt.normalize()).all()
        joined = [None if pd.isna(v) else v.strftime("%Y-%m-%d") if dates else str(v) for v in values]
    return pa.chunked_array([pa.array(joined, pa.large_string())])


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parquet(path: Path) -> tuple[list[str], Iterator[Any]]:
    """Names of the columns, and the columns one after the other, so that no more than one is in memory twice."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def reason(error: Exception) -> InputError:
        return InputError(f"{path.name}: not a Parquet file that can be read ({str(error).splitlines()[0]}).")

    def columns() -> Iterator[Any]:
        for name in names:
            try:
                yield file.read(columns=[name], use_threads=False).column(0)
            except (OSError, pa.ArrowException) as error:
                raise reason(error) from None

    try:
        file = pq.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise reason(error) from None
    names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]  # pandas' own numbering
    return [name.strip() for name in names], columns()


def _check_widths(path: Path, separator: str, width: int) -> None:
    """Refuse a row with fewer cells than the header, which pandas would fill up."""
    with contextlib.suppress(csv.Error), path.open(encoding="utf-8-sig", newline="") as file:  # a cell too long for it is none to count
        for number, row in enumerate(csv.reader(file, delimiter=separator)):
            if row and len(row) != width:
                where = f"row {number}" if number else "the header"
                raise InputError(f"{path.name}: {where} has {len(row)} cells, others have {width}. Give every row as many cells as the header.")


def _csv(path: Path) -> tuple[list[str], list[Any]]:
    import pyarrow as pa

    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    options: Any = dict(sep=separator, dtype=STRINGS, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig")
    try:  # the header is read as a row: pandas would otherwise take a row that is one cell too long for one with an index
        frame = pd.read_csv(path, header=None, **options)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path.name}: the file is empty. Give a header and one row a sample.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path.name}: the file is not text in UTF-8. Save it as UTF-8.") from None
    except pd.errors.ParserError as error:
        reason = str(error).rsplit("error: ", 1)[-1].strip()
        raise InputError(f"{path.name}: {reason}. Put text that holds '{separator}' or a line break in double quotes.") from None
    _check_widths(path, separator, frame.shape[1])
    header = [str(name).strip() for name in frame.iloc[0].fillna("")]
    if header.count("") > 1:
        raise InputError(f"{path.name}: the header has {header.count('')} empty names. Remove the empty columns.")
    return header, [pa.Table.from_pandas(frame.iloc[1:, [i]], preserve_index=False).column(0) for i in range(frame.shape[1])]
