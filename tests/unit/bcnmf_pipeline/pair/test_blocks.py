"""Pairs of files, block by block: the same as in memory, and no more held than is needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from awkward_data import h5ad, tenx_h5
from bcnmf.errors import InputError
from bcnmf_pipeline.pair import blocks
from bcnmf_pipeline.pair.blocks import blocks_of, by_rows, stacked
from bcnmf_pipeline.pair.pairing import make_pair, pair_record, write_pair
from bcnmf_pipeline.pair.sides import Side
from bcnmf_pipeline.pair.source import load
from bcnmf_pipeline.pair.variable import top_features
from pairs import FORMATS, ROW, WHERE, N, counts_of, own

ROOT = Path(__file__).parents[4]
RANGES = (np.array([0, 1, 5, 6, 7, 40, 118]), np.arange(N))


def uneven(features=300, seed=5):
    """Return counts of genes as uneven as in tissue, some of which are nowhere found."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.4, 2.0, features) * rng.gamma(2.0, 0.5, (N, features))
    counts = rng.poisson(rates).astype(np.float32)
    counts[:, 0] += 1
    return counts


def parts(values):
    sparse = sp.issparse(values)
    return [values.data, values.indices, values.indptr] if sparse else [values]


def same(one, other):
    """Whether two sides are the same to the last bit, and in type."""
    tables = one.obs.equals(other.obs) and one.var.equals(other.var)
    pairs = [(one.X, other.X), *((one.layers[name], other.layers[name]) for name in one.layers)]
    arrays = [both for left, right in pairs for both in zip(parts(left), parts(right), strict=True)]
    return (
        tables
        and set(one.layers) == set(other.layers)
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
    )


# --- blocks of rows ---


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore")
def test_blocks_are_the_rows_that_were_asked_for(tmp_path, monkeypatch, place, kind, size):
    monkeypatch.setattr(blocks, "_BLOCK", size)
    counts = counts_of()
    data = own(FORMATS[kind](counts))
    given = nullcontext(data)
    if place != "memory":
        path = tmp_path / f"mine.{place}"
        (data.write_h5ad if place == "h5ad" else data.write_zarr)(path)
        given = load(path, "")
    with given as data:
        found_of = {len(rows): list(blocks_of(by_rows(data.X), rows)) for rows in RANGES}
    for rows in RANGES:
        found = found_of[len(rows)]
        assert len(found) >= (1 if size > 10**5 else 2)
        if kind == "dense":
            np.testing.assert_array_equal(np.vstack(found), counts[rows])
            continue
        assert all(one.format == "csr" for one in found)
        np.testing.assert_array_equal(sp.vstack(found).toarray(), counts[rows])
        features, stored = counts.shape[1], int((counts[rows] > 0).sum())
        whole = stacked(iter(found), len(rows), features, stored, "mine")
        np.testing.assert_array_equal(whole.toarray(), counts[rows])
        assert whole.indices.dtype == whole.indptr.dtype == np.int32


def test_a_file_that_changes_is_not_taken_for_what_it_was():
    one = sp.csr_matrix(counts_of())
    for stored in (one.nnz - 1, one.nnz + 1):
        with pytest.raises(InputError, match=r"mine: the values changed while they were read; wai"):
            stacked(iter([one[:50], one[50:]]), N, one.shape[1], stored, "mine")


def test_what_cannot_be_read_names_the_file(tmp_path):
    path = tmp_path / "mine.h5ad"
    own(sp.csr_matrix(counts_of())).write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(raw)
    with (
        load(path, "") as data,
        pytest.raises(InputError, match=r"mine\.h5ad: its matrix cannot be read \(.*; copy it"),
    ):
        make_pair(data, ROW, WHERE)


# --- pairs ---


@pytest.mark.filterwarnings("ignore:.* by columns")
@pytest.mark.parametrize("n_top", ["", "40"])
@pytest.mark.parametrize("values", ["counts", "log", "raw"])
@pytest.mark.parametrize("kind", FORMATS)
def test_pairs_of_files_are_those_of_memory(tmp_path, monkeypatch, kind, values, n_top):
    matrix = {"counts": uneven(), "log": np.log1p(uneven()), "raw": 1.5 * uneven()}[values]
    matrix[[4, 9]] = 0
    data, row = own(FORMATS[kind](matrix)), ROW | {"values": values, "n_top_features": n_top}
    data.write_h5ad(tmp_path / "mine.h5ad", compression="gzip")
    for scaled_over in ("kept", "all"):
        expected = make_pair(data, row, WHERE, scaled_over)
        for size in (500, 2**17):
            monkeypatch.setattr(blocks, "_BLOCK", size)
            paths = [tmp_path / "target.h5ad", tmp_path / "background.h5ad"]
            with load(tmp_path / "mine.h5ad", "") as found:
                record = write_pair(found, row, WHERE, scaled_over, paths)
            for path, side in zip(paths, expected, strict=True):
                assert same(ad.read_h5ad(path), side)
            assert record == pair_record(expected[0]) == pair_record(ad.read_h5ad(paths[0]))


@pytest.mark.parametrize("layer", ["counts", "raw"])
def test_layers_stay_on_disk_too(tmp_path, layer):
    data = own(sp.csr_matrix(np.log1p(counts_of())))
    data.layers["counts"] = sp.csr_matrix(counts_of())
    data.raw = ad.AnnData(data.layers["counts"], obs=data.obs, var=data.var)
    data.write_h5ad(tmp_path / "mine.h5ad")
    row = ROW | {"layer": layer}
    with load(tmp_path / "mine.h5ad", layer) as found:
        assert hasattr(found.layers[layer], "group")
        assert all(map(same, make_pair(found, row, WHERE), make_pair(data, row, WHERE)))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (h5ad(own(sp.csc_matrix(counts_of()))), r"a matrix that is stored by columns \(CSC\)"),
        (tenx_h5, r"a file of this kind \(10x_h5\)"),
    ],
    ids=["csc", "10x"],
)
def test_what_cannot_stay_on_disk_is_said(tmp_path, make, what):
    path = make(tmp_path)
    said = pytest.warns(UserWarning, match=rf"{path.name}: {what} is read into memory whole")
    with said, load(path, "") as data:
        assert data.n_obs
    own(sp.csr_matrix(counts_of())).write_h5ad(tmp_path / "rows.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with load(tmp_path / "rows.h5ad", "") as data:
            assert data.n_obs == N


# --- highly variable features ---


@pytest.mark.parametrize("size", [300, 10**7])
@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("values", ["counts", "log", "raw"])
def test_dispersions_are_those_of_scanpy_on_one_thread(monkeypatch, values, kind, size):
    numba, scanpy = pytest.importorskip("numba"), pytest.importorskip("scanpy")
    monkeypatch.setattr(blocks, "_BLOCK", size)
    counts = uneven()
    matrix = {"counts": counts, "log": np.log1p(counts), "raw": np.float32(1.5) * counts}[values]
    features = np.flatnonzero(counts.any(axis=0))
    order = np.r_[0:N:2, 1:N:2]
    sides = [Side(FORMATS[kind](matrix), "side", np.arange(N) % 2 == half, "") for half in (0, 1)]
    chosen, found = top_features(sides, features, 40, values)
    if values == "counts":
        per = (1e4 / counts.sum(axis=1, dtype=np.float64)).astype(np.float32)
        matrix = np.log1p(counts * per[:, None])
    elif values == "raw":
        matrix = np.log1p(matrix)
    stacked_sides = ad.AnnData(FORMATS[kind](matrix[order][:, features]))
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        table = scanpy.pp.highly_variable_genes(stacked_sides, flavor="seurat", inplace=False)
    finally:
        numba.set_num_threads(threads)
    expected = table["dispersions_norm"].fillna(-np.inf).to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(chosen, np.argsort(-expected, kind="stable")[:40])


# --- memory ---


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of a process")
def test_the_peak_is_less_than_one_and_a_half_of_what_is_selected(tmp_path):
    """At 96 MB in 12 million values; in memory four times as much was held."""
    script = ROOT / "benchmarks" / "pairing_memory.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        str(script),
        "--cells",
        "16000",
        "--genes",
        "5000",
        "--share",
        "0.15",
    ]
    done = subprocess.run(
        [*command, "--top", "", "--folder", str(tmp_path)],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    selected, ratio = re.search(
        r"\| (\d+) \| \d+ \| ([\d.]+) \| \d+ \|$", done.stdout.strip()
    ).groups()
    assert int(selected) > 80
    assert float(ratio) < 1.5
