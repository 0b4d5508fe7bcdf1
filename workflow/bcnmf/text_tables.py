"""Tables of samples x features as text or Parquet, and the tables of samples that stand beside."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from bcnmf.checks import import_extra
from bcnmf.delimited import encoding_of, separator_of, stripped, undecoded
from bcnmf.errors import InputError, MissingExtra
from bcnmf.formats import MATRIX, TABLE_SUFFIXES, kind_of, stem_of, unpacked

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame, Series

# Where a table has no value: as R and pandas write it. Names are never taken for it.
MISSING = ("", "NA", "NaN", "nan")
# Numbers that are the same when they are written again: 01 stays text.
_NUMBER = r"[-+]?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?"
_SHOWN = 5
_EXPECTED = "expected a header with the names of features, and one row a sample, its name first"


def read_table(path: Path, kind: str, remarks: list[str]) -> AnnData:
    """Read a table ("table" or "parquet") of samples x features.

    Columns of text are annotation. Features x samples are turned where the table of samples beside
    says so. Remarks are appended.
    """
    pd = import_extra("pandas")
    table = _parquet(path) if kind == "parquet" else _numbers(path)
    samples = samples_table(path)
    if table.empty:
        raise InputError(
            f"{path}: has {len(table)} rows and {table.shape[1]} columns of values; {_EXPECTED}"
        )
    if samples is not None and _turned(table, samples):
        remarks.append(f"{path.name} has samples in columns: it was turned")
        table = table.T.infer_objects()
    numeric = np.array([one.kind in "iuf" for one in table.dtypes], dtype=bool)
    notes = table.loc[:, ~numeric]
    if not numeric.any():
        raise InputError(
            f"{path}: all {len(numeric)} columns hold text, for instance "
            f"{str(table.iloc[0, 0])!r} in {table.columns[0]!r}; {_EXPECTED}, and numbers"
        )
    if len(notes.columns):
        remarks.append(
            f"{len(notes.columns)} columns of {path.name} are not numbers and were taken as "
            f"annotation of samples ({_listed(notes.columns)})"
        )
    values = table.loc[:, numeric]
    with np.errstate(over="ignore"):
        matrix = values.to_numpy(np.float32)
    if np.isinf(matrix).any() or not matrix.any():  # beyond its range
        matrix = values.to_numpy(np.float64)
    data: AnnData = import_extra("anndata").AnnData(
        matrix,
        obs=notes.copy(),
        var=pd.DataFrame(index=values.columns.to_numpy(object)),
    )
    return data


def _turned(table: DataFrame, samples: DataFrame) -> bool:
    here, there = (samples.index.isin(names).any() for names in (table.index, table.columns))
    return bool(there and not here)


def samples_file(path: Path) -> Path | None:
    """Return the table of samples that stands beside data, or in their folder."""
    ends = [f"obs{end}{packed}" for end in TABLE_SUFFIXES for packed in ("", ".gz")]
    ends.append("obs.parquet")
    places = [path.with_name(f"{stem_of(path)}.{end}") for end in ends]
    if path.is_dir() or MATRIX.fullmatch(path.name):
        folder = path if path.is_dir() else path.parent
        places = [folder / end for end in ends] + places
    return next((one for one in places if one.is_file()), None)


def samples_table(path: Path) -> DataFrame | None:
    """Read the table of samples that stands beside data; None where there is none."""
    file = samples_file(path)
    if file is None:
        return None
    if kind_of(file) == "parquet":
        return _parquet(file)
    table = _named(text_rows(file)).map(stripped).rename(columns=stripped)
    if (twice := table.columns[table.columns.duplicated()]).size:
        raise InputError(f"{file}: the column {twice[0]!r} stands twice; drop or rename one")
    return table.apply(_as_numbers)


def text_rows(file: Path, sep: str | None = None) -> DataFrame:
    """Read a table as text; given `sep`, it has no names of columns."""
    header = [] if sep else _header(file)
    table: DataFrame = _read_csv(
        file, sep or _separator(file), len(header), dtype=str, keep_default_na=False
    )
    return table.set_axis(header, axis=1) if header else table


def import_reader(module: str, path: Path) -> Any:
    """Import what reads a format, with a message that names the file."""
    try:
        return import_extra(module)
    except MissingExtra as error:
        raise MissingExtra(
            f"{path}: reading it needs {module}, which is not installed: `pip install {module}` "
            "here, or write it as .h5ad where it is installed"
        ) from error


def _numbers(path: Path) -> DataFrame:
    """Read values: European tables have semicolons, and commas in numbers."""
    sep, header = _separator(path), _header(path)
    second = _lines(path)[1] if len(_lines(path)) > 1 else []
    comma = sep != "," and any(
        _is_number(cell.replace(",", ".")) and "," in cell for cell in second
    )
    table = _read_csv(
        path, sep, len(header), decimal="," if comma else ".", dtype={0: str},
        keep_default_na=False, na_values={at: list(MISSING) for at in range(1, len(header))},
    )  # fmt: skip
    return _named(table.set_axis(header, axis=1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_csv(path: Path, sep: str, n_columns: int, **options: Any) -> Any:
    """Read the lines below the header of `n_columns`; all lines where there is none."""
    try:
        with unpacked(path) as stream:
            return import_extra("pandas").read_csv(
                stream, sep=sep, header=0 if n_columns else None,
                names=range(n_columns) if n_columns else None, index_col=False,
                encoding=_encoding(path), low_memory=False, **options,
            )  # fmt: skip
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {_undecoded(path)}") from error
    except ValueError as error:
        raise InputError(
            f"{path}: is no table with {sep!r} between its cells ({str(error).strip()}); "
            f"{_EXPECTED}"
        ) from error


def _undecoded(path: Path) -> str:
    """Return where a file stops being text: pandas knows that of a part alone."""
    with unpacked(path) as stream:
        raw = stream.read()
    encoding = _encoding(path)
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return undecoded(raw, encoding, error)
    return f"is no {encoding.upper()} text"


def _header(path: Path) -> list[str]:
    """Return the names of the columns; R leaves out that of the names of rows."""
    lines = _lines(path)
    if not lines or max(map(len, lines)) < 2:
        raise InputError(
            f"{path}: has one column; {_EXPECTED}, with commas (.csv) or tabs (.tsv) between them"
        )
    header = lines[0]
    return ["", *header] if len(lines[-1]) == len(header) + 1 else header


def _lines(path: Path) -> list[list[str]]:
    """Return the cells of the first two lines."""
    with _text(path) as text:
        separator = separator_of(text.readline())
    # A table of cells has a long line.
    csv.field_size_limit(sys.maxsize)
    with _text(path) as text:
        return list(islice(csv.reader(text, delimiter=separator), 2))


def _separator(path: Path) -> str:
    with _text(path) as text:
        return separator_of(text.readline())


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Open the text of a file; what is no text shows when the whole is read."""
    encoding = _encoding(path)
    with (
        unpacked(path) as stream,
        io.TextIOWrapper(stream, encoding, errors="replace", newline=None) as text,
    ):
        yield text


def _encoding(path: Path) -> str:
    with unpacked(path) as stream:
        return encoding_of(stream.read(4))


def _named(table: DataFrame) -> DataFrame:
    """Take the names of samples from the first column.

    Rows and columns without a name and a value, as spreadsheet programs write them, are left out.
    """
    nameless = table[_empty(table.iloc[:, 0])]
    table = table.drop(index=nameless.index[_empty(nameless).all(axis=1)])
    kept = [
        at == 0 or bool(name) or not _empty(table.iloc[:, at]).all()
        for at, name in enumerate(table.columns)
    ]
    table = table.loc[:, kept]
    return _as_text(table.iloc[:, 1:].set_axis(table.iloc[:, 0], axis=0))


def _empty(cells: Any) -> Any:
    return cells.isna() | cells.isin(MISSING)


def _as_text(table: DataFrame) -> DataFrame:
    table.index = table.index.astype(str).rename(None)
    table.columns = table.columns.astype(str).rename(None)
    return table


def _parquet(path: Path) -> DataFrame:
    import_reader("pyarrow", path)
    pd = import_extra("pandas")
    table = pd.read_parquet(path)
    if not isinstance(table.index, pd.RangeIndex):
        return _as_text(table)
    if not table.shape[1] or pd.api.types.is_float_dtype(table.iloc[:, 0]):
        raise InputError(
            f"{path}: names no samples; keep them as its index or first column, in Python: "
            'table.set_index("<column of names>").to_parquet(...)'
        )
    return _named(table)


def _as_numbers(column: Series) -> Series:
    """Return a column of text as numbers where that loses nothing."""
    column = column.mask(column.isin(MISSING))
    found = column.dropna()
    plain = len(found) > 0 and bool(found.str.fullmatch(_NUMBER).all())
    return import_extra("pandas").to_numeric(column) if plain else column


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(repr(str(one)) for one in names[:_SHOWN]) + (
        ", ..." if len(names) > _SHOWN else ""
    )
