"""What the readers of single-cell studies share."""

import io

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bcnmf import InputError
from bcnmf_pipeline.datasets.single_cell import (
    EntriesRead,
    cell_sizes,
    median_counts,
    read_columns,
    table_pieces,
    unique_names,
)

COLUMNS = {"b": ["second", "B"], "a": ["A"]}


def read(content, columns=COLUMNS):
    return read_columns(io.BytesIO(content), "table.csv", columns)


def test_columns_are_found_by_any_of_their_names_and_stay_text():
    table = read(b'\xef\xbb\xbfA,other,B\n01,x,"p, q"\nNA,y,\n')
    assert list(table) == ["b", "a"]
    assert table["a"].tolist() == ["01", "NA"]
    assert table["b"].tolist() == ["p, q", ""]
    tabs = read(b"A\tB\tsecond\r\n1\t2\t3\r\n")
    assert tabs["b"].tolist() == ["3"]
    assert read(b"A,B\n").empty
    assert read(b"A,B\n1,2\n3\n")["b"].tolist() == ["2", ""]


def test_a_table_comes_in_pieces():
    content = b"A,B\n" + b"".join(b"%d,x\n" % i for i in range(10))
    pieces = list(table_pieces(io.BytesIO(content), "table.csv", COLUMNS, rows=4))
    assert [len(piece) for piece in pieces] == [4, 4, 2]
    assert pd.concat(pieces)["a"].tolist() == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>moved</html>", "a web page, not a table"),
        (b"A,C\n1,2\n", "no column second or B; found 2 columns: A, C"),
        (b"A,B\n\xff\xfe\xff,2\n", "damaged, cut short or no table"),
        (b'A,B\n1,"2\n', "damaged, cut short or no table"),
    ],
)
def test_other_tables_are_refused(content, message):
    with pytest.raises(InputError, match=f"table.csv: {message}"):
        read(content)


def test_repeated_symbols_are_told_apart():
    symbols, ids = pd.Series(["A", "B", "A"]), pd.Series(["E1", "E2", "E3"])
    names, repeated = unique_names(symbols, ids)
    assert names.tolist() == ["A_E1", "B", "A_E3"]
    assert repeated == 1
    assert unique_names(symbols)[0].tolist() == ["A", "B", "A-1"]
    assert unique_names(symbols[:2])[1] == 0
    assert unique_names(symbols, pd.Series(["E", "E2", "E"]))[0].is_unique


def test_sizes_of_cells():
    counts = sp.csr_matrix(np.array([[1, 0, 2], [0, 0, 0], [0, 5, 0]], np.float32))
    sizes = cell_sizes(counts)
    assert sizes["n_counts"].tolist() == [3, 0, 5]
    assert sizes["n_genes"].tolist() == [2, 0, 1]
    assert median_counts(counts) == 3
    assert median_counts(counts[:0]) == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_how_far_it_is_read_is_said_now_and_then():
    times = iter([0.0, 0.0, 1.0, 20.0, 21.0])
    log = io.StringIO()
    told = EntriesRead("matrix", log, lambda: next(times))
    for done in (10, 20, 50, 100):
        told(done, 100)
    assert log.getvalue().splitlines() == [
        "matrix: 10 of 100 entries  0 s, 0 s to go",
        "matrix: 50 of 100 entries  20 s, 20 s to go",
        "matrix: 100 of 100 entries  21 s",
    ]
    screen = Terminal()
    told = EntriesRead("matrix", screen, lambda: 0.0)
    told(1, 2)
    told(2, 2)
    assert screen.getvalue().startswith("\rmatrix: 1 of 2 entries")
    assert screen.getvalue().count("\n") == 1
    assert screen.getvalue().endswith("\n")
