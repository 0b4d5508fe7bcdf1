"""Counts in Matrix Market files: read in one stream, what is not wanted dropped on the way."""

import gzip
import io
import tracemalloc

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import InputError
from bcnmf_pipeline.datasets import matrix_market
from bcnmf_pipeline.datasets.matrix_market import read_counts
from miniatures import matrix_market as text_of


def drawn(n=30, genes=20, seed=0):
    return sp.random(
        n, genes, 0.3, format="csr", random_state=seed, data_rvs=lambda k: np.arange(1, k + 1)
    ).astype(int)


def read(content, **options):
    return read_counts(io.BytesIO(content), "file.mtx", **options)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 1000), st.booleans())
def test_what_scipy_wrote_is_read_as_it_was(n, genes, seed, kept_only):
    values = drawn(n, genes, seed)
    stream = io.BytesIO()
    scipy.io.mmwrite(stream, values.T.tocsr(), field="integer", symmetry="general")
    rng = np.random.default_rng(seed)
    samples, features = (rng.random(size) < 0.5 for size in (n, genes))
    if not kept_only:
        samples[:], features[:] = True, True
    found = read(stream.getvalue(), samples=samples, features=features)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), values.toarray()[samples][:, features])
    assert found.has_canonical_format


def test_blocks_do_not_matter(monkeypatch):
    values = drawn()
    monkeypatch.setattr(matrix_market, "_BLOCK", 64)
    calls = []
    found = read(text_of(values), progress=lambda *at: calls.append(at))
    np.testing.assert_array_equal(found.toarray(), values.toarray())
    assert calls[-1] == (values.nnz, values.nnz)
    assert len(calls) > 5


def test_tabs_and_a_last_line_without_an_end_are_read():
    values = drawn()
    content = text_of(values).replace(b" ", b"\t").rstrip(b"\n")
    content = content.replace(b"%%MatrixMarket\tmatrix\t", b"%%MatrixMarket matrix ")
    np.testing.assert_array_equal(read(content).toarray(), values.toarray())


def test_memory_is_that_of_what_is_kept(monkeypatch):
    monkeypatch.setattr(matrix_market, "_BLOCK", 1 << 18)
    values = drawn(20_000, 50)
    content = gzip.compress(text_of(values), 1)
    samples = np.zeros(20_000, bool)
    samples[::10] = True
    tracemalloc.start()
    with gzip.open(io.BytesIO(content)) as stream:
        found = read_counts(stream, "file", samples=samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (2000, 50)
    # Beside a block of text and its table, which do not grow with the file.
    assert peak < 8 * (found.data.nbytes + found.indices.nbytes) + 8 * matrix_market._BLOCK


GOOD = text_of(drawn())
BAD = [
    (b"", "expected a Matrix Market file"),
    (b"gene,cell\n", "begins with b'gene,cell"),
    (GOOD.replace(b"coordinate", b"array"), "expected a Matrix Market file"),
    (GOOD.replace(b"general", b"symmetric"), "is symmetric; expected a general"),
    (GOOD.replace(b"20 30 180", b"20 30"), "expected rows, columns and entries"),
    (GOOD.replace(b"20 30 180", b"20 30 181"), "holds 180 entries, its header states 181"),
    (GOOD.replace(b"20 30 180", b"20 29 180"), "column 30, of 20 x 29"),
    (GOOD + b"1 1 x\n", "not 'row column count'"),
    (GOOD + b"0 1 3\n", "row 0, column 1"),
    (GOOD + b"1 1 -3\n", "1 entries are no counts, for instance -3"),
    (GOOD + b"1 1 0.5\n", "for instance 0.5.*not normalised"),
    (GOOD + b"1 1 nan\n", "are no counts"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_files_that_are_no_counts_are_refused(content, message):
    with pytest.raises(InputError, match=f"file.mtx.*{message}"):
        read(content)


def test_a_repeated_entry_is_refused():
    content = b"%%MatrixMarket matrix coordinate integer general\n3 2 3\n1 1 4\n2 2 1\n1 1 2\n"
    with pytest.raises(InputError, match="1 entries stand more than once"):
        read(content)


def test_tables_of_another_size_are_refused():
    with pytest.raises(InputError, match="has 30 columns, but the table beside it names 29"):
        read(GOOD, samples=np.ones(29, bool))


def test_a_stream_that_was_cut_short_is_refused():
    packed = gzip.compress(GOOD)[:-30]
    with gzip.open(io.BytesIO(packed)) as stream, pytest.raises(InputError, match="cut short"):
        read_counts(stream, "file.mtx.gz")


HEAD = b"%%MatrixMarket matrix coordinate integer general\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace(b"integer", b"complex"), "expected a Matrix Market file"),
        (HEAD + b"2 2 2\n1 1 3 9\n2 2 1 9\n", "more than 'row column count'"),
        (HEAD + b"2 2 2\n1 1 3\n2 2 1 9\n", "not 'row column count'"),
        (HEAD + b"2 2 2\n1 1\n2 2\n", "are no counts, for instance nan"),
        (HEAD + b"2 2 1\n1 1 3\n2 2 1\n", "more entries than the 1 that its header states"),
        (HEAD + b"2 -2 1\n1 1 3\n", "which no matrix of counts has"),
        (HEAD + b"9999999999 2 1\n1 1 3\n", "which no matrix of counts has"),
        (HEAD + b"2 2 5\n1 1 3\n", "2 x 2 with 5 entries, which no matrix"),
    ],
)
def test_sizes_and_lines_that_cannot_be_are_refused(content, message):
    with pytest.raises(InputError, match=f"file.mtx.*{message}"):
        read(content)


def test_a_file_without_ends_of_lines_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(matrix_market, "_BLOCK", 1 << 12)
    with pytest.raises(InputError, match="a line of more than 65536 bytes"):
        read(HEAD + b"2 2 1\n" + b"1" * 10**6)


def test_entries_in_any_order_are_read(monkeypatch):
    values = drawn()
    lines = text_of(values).splitlines(keepends=True)
    shuffled = np.random.default_rng(0).permutation(lines[3:]).tolist()
    for block in (1 << 20, 64):
        monkeypatch.setattr(matrix_market, "_BLOCK", block)
        found = read(b"".join(lines[:3] + shuffled))
        np.testing.assert_array_equal(found.toarray(), values.toarray())
        assert found.has_canonical_format
        half = np.arange(30) % 2 == 0
        found = read(b"".join(lines[:3] + shuffled), samples=half)
        np.testing.assert_array_equal(found.toarray(), values.toarray()[half])


def test_more_entries_than_there_is_room_for_are_refused():
    with pytest.raises(InputError, match=r"states 100000000000000 entries.*no room"):
        read(HEAD + b"10000000 10000000 100000000000000\n1 1 1\n")


def test_more_entries_than_places_are_refused():
    content = HEAD + b"3 2 3\n1 1 4\n1 1 1\n1 1 2\n"
    with pytest.raises(InputError, match="2 entries stand more than once"):
        read(content, samples=np.array([True, False]), features=np.arange(3) == 0)


def test_a_file_without_entries_is_a_matrix_without_counts():
    assert read(HEAD + b"3 2 0\n").shape == (2, 3)
    assert read(HEAD + b"3 2 0\n \n", samples=np.array([True, False])).shape == (1, 3)
