"""What the readers of single-cell studies share: tables, names of genes, sizes, a progress line."""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TextIO

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.utils import make_index_unique

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.datasets.archives import AGAIN, STREAM_FAULTS, listed
from bcnmf_pipeline.record.tables import write_table

_SECONDS_ON_TERMINAL, _SECONDS_IN_LOG = 0.2, 10.0
# What pandas raises on files that are no tables, beside the faults of packed streams.
_TABLE_FAULTS = (*STREAM_FAULTS, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError)


def table_pieces(
    stream: IO[bytes], place: str, columns: Mapping[str, Sequence[str]], rows: int = 2**18
) -> Iterator[pd.DataFrame]:
    """Yield a table with separators, comma or tab, as text, some rows at a time.

    Parameters
    ----------
    stream : binary file
        Unpacked; the first line names the columns.
    place : str
        File and member, for errors.
    columns : mapping
        Name of a column here -> the names that it may have in the file, in order of preference. No
        other column is read; a row with too few fields has "" in the others.
    rows : int
        Rows of a piece.

    Raises
    ------
    InputError
        A column is missing, or the stream is damaged or no table.
    """
    try:
        head = stream.readline(2**20)
        names = _names(head, place)
        chosen = {}
        for name, known in columns.items():
            found = [one for one in known if one in names]
            if not found:
                raise InputError(
                    f"{place}: no column {' or '.join(known)}; found {len(names)} columns: "
                    f"{listed(names)}; {AGAIN}"
                )
            chosen[names.index(found[0])] = name
        pieces = pd.read_csv(
            stream, sep=_separator(head), header=None, usecols=sorted(chosen), dtype=str,
            keep_default_na=False, chunksize=rows, encoding="utf-8",
        )  # fmt: skip
        for piece in pieces:
            yield piece.rename(columns=chosen)[list(columns)]
    except pd.errors.EmptyDataError:
        return  # no row below the names of the columns
    except InputError:
        raise
    except (*_TABLE_FAULTS, ValueError) as error:
        raise InputError(f"{place}: damaged, cut short or no table ({error}); {AGAIN}") from error


def read_columns(
    stream: IO[bytes], place: str, columns: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return some columns of a table as text; see `table_pieces`."""
    pieces = list(table_pieces(stream, place, columns))
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=list(columns))


def unique_names(symbols: pd.Series, ids: pd.Series | None = None) -> tuple[pd.Index, int]:
    """Return names of genes that are unique, and how many symbols stood more than once.

    A repeated symbol is told apart by its Ensembl id (``TBCE_ENSG00000116957``), or by a number
    (``TBCE-1``) where there is none.
    """
    repeated = symbols.duplicated(keep=False)
    names = pd.Index(symbols.to_numpy(dtype=object))
    if ids is not None:
        names = pd.Index(np.where(repeated, symbols + "_" + ids, symbols).astype(object))
    if not names.is_unique:
        names = make_index_unique(names)
    return names, int(symbols[repeated].nunique())


def cell_sizes(counts: sp.csr_matrix) -> dict[str, np.ndarray]:
    """Return `n_counts` and `n_genes` of each cell of a matrix without stored zeros."""
    return {
        "n_counts": np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel(),
        "n_genes": np.diff(counts.indptr),
    }


def median_counts(counts: sp.csr_matrix) -> float:
    """Return the median of the cells' totals, 0 without cells."""
    return float(np.median(cell_sizes(counts)["n_counts"])) if counts.shape[0] else 0.0


def write_dataset(
    data: ad.AnnData,
    notes: Iterable[str],
    rows: str,
    path: str | Path,
    qc: str | Path,
) -> None:
    """Write a study's counts and its table of quality, and warn of what is not as published.

    Parameters
    ----------
    data : AnnData
        With ``uns["qc"]``, and ``uns["warnings"]`` where the reader has some.
    notes : iterable of str
        What differs from the published data.
    rows : str
        What a row of the table of quality is.
    path, qc : path
        The .h5ad and the .tsv.
    """
    for text in [*data.uns.pop("warnings", []), *notes]:
        warnings.warn(str(text), UserWarning, stacklevel=2)
    write_table(data.uns.pop("qc").rename_axis(rows).reset_index(), qc)
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


class EntriesRead:
    """Say how far a matrix is read: one line rewritten on a terminal, now and then one in a log.

    Parameters
    ----------
    label : str
        What is read.
    stream : file, optional
        Where to print; standard error if not given.
    clock : callable
        Seconds, from any origin.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._started = clock()
        self._printed = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Print a line if it is time, or the last one.

        Parameters
        ----------
        done, total : int
            Entries read, and entries in all.
        """
        now = self._clock()
        pause = _SECONDS_ON_TERMINAL if self._terminal else _SECONDS_IN_LOG
        if done < total and now - self._printed < pause:
            return
        self._printed = now
        seconds = now - self._started
        line = f"{self._label}: {done:,} of {total:,} entries  {seconds:.0f} s"
        if 0 < done < total:
            line += f", {seconds * (total / done - 1):.0f} s to go"
        line = f"\r{line:<78}" if self._terminal else f"{line}\n"
        self._stream.write(line + ("\n" if self._terminal and done >= total else ""))
        self._stream.flush()


def _separator(head: bytes) -> str:
    return "\t" if head.count(b"\t") > head.count(b",") else ","


def _names(head: bytes, place: str) -> list[str]:
    if not head.strip():
        raise InputError(f"{place}: the file is empty; {AGAIN}")
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{place}: a web page, not a table; {AGAIN}")
    read = pd.read_csv(io.BytesIO(head), sep=_separator(head), header=None, dtype=str,
                       keep_default_na=False, encoding="utf-8-sig")  # fmt: skip
    return [name.strip() for name in read.iloc[0]]
