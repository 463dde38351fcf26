"""A CSV or Parquet file as cells: every one a stripped string or missing, nothing guessed, in Arrow's memory and not in Python objects."""

from __future__ import annotations

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
    if not path.is_file():
        raise InputError(f"{key}={path}: no such file. Give a CSV or Parquet file.")
    names, columns = _parquet(path) if path.suffix in {".parquet", ".pq"} else _csv(path)
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InputError(f"{path.name}: column '{twice[0]}' is there more than once. Rename one of them.")
    table = pa.Table.from_arrays([_cells(column) for column in columns], names=names)
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


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One column of any type as strings, whole numbers without a point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):  # whole numbers with gaps come as floats; an id 17 must not become 17.0
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        if pc.all(pc.or_(pc.less(pc.abs(column), 2**53), False)).as_py() and pc.all(pc.equal(pc.floor(column), column)).as_py():
            column = column.cast(pa.int64())
        column = column.cast(pa.large_string())
    elif pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_null(kind):
        column = column.cast(pa.large_string())
    else:
        column = pa.chunked_array([pa.array([None if v is None or v != v else str(v) for v in column.to_pandas()], pa.large_string())])
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(column, value_set=pa.array(MISSING, pa.large_string())), pa.scalar(None, pa.large_string()), column)


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


def _csv(path: Path) -> tuple[list[str], list[Any]]:
    import pyarrow as pa

    separator = "\t" if path.suffix == ".tsv" else ","
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
    header = ["" if pd.isna(name) else str(name).strip() for name in frame.iloc[0]]
    return header, [pa.Table.from_pandas(frame.iloc[1:, [i]], preserve_index=False).column(0) for i in range(frame.shape[1])]
