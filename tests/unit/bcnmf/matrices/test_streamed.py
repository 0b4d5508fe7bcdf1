"""Data read block by block: the same passes and fits, bounded memory, clear refusals."""

import os
import subprocess
import sys
import threading
import tracemalloc
import weakref

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import InputError
from bcnmf.matrices import sources, uploads
from bcnmf.matrices import streamed as streaming
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.csr_device import DeviceSparseMatrix
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.sources import is_on_disk
from bcnmf.matrices.streamed import StreamedMatrix, default_batch_size, streamed
from bcnmf.solvers import multiplicative as mu
from bcnmf.solvers import safeguarded, staged
from bcnmf.solvers.starts import random_factors

CPU = torch.device("cpu")
N, M, FEATURES, K = 43, 29, 12, 3
ROUNDING = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Keep torch from waiting for busy cores at every product of tiny blocks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def counts(n, seed, features=FEATURES):
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.8, (n, features)).astype(float)
    x[:, 0] += 1
    x[3] = 0  # an empty row
    return x


def written(path, x, backed="r", **options):
    """Write X as h5ad and open it again, backed."""
    names = pd.Index([f"{i}" for i in range(x.shape[0])])
    features = pd.Index([f"f{i}" for i in range(x.shape[1])])
    data = ad.AnnData(x, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=features))
    data.write_h5ad(path, **options)
    return ad.read_h5ad(path, backed=backed)


def in_blocks(x, batch_size, dtype=torch.float64):
    return streamed(x, "target", dtype, CPU, batch_size)


def factors(n, dtype, seed=0):
    components, usage, _ = random_factors(n, 0, FEATURES, K, seed, dtype, CPU)
    return components, usage


def passes(data, components, usage):
    """Return what every pass over the data gives."""
    gram = components @ components.T
    found = {"times": data.times(components), "transposed": data.transposed_times(usage)}
    for name, arguments in {
        "multiplicative_pass": (components, gram), "exact_pass": (components, gram),
    }.items():  # fmt: skip
        moved = usage.clone()
        rest = (1e-10,) if name == "multiplicative_pass" else ()
        moments = getattr(data, name)(*arguments, moved, *rest)
        found |= {f"{name} {key}": value for key, value in vars(moments).items()}
        found[f"{name} usage"] = moved
    moved = usage.clone()
    for turn in ("first", "second"):
        loss, numerator = data.poisson_pass(components, moved, 0.5)
        found |= {f"{turn} loss": loss, f"{turn} numerator": numerator}
    found["poisson usage"] = moved
    found["poisson loss"] = data.poisson_loss(components, usage)
    moved = usage.clone()
    data.poisson_usage(components, moved, 20, 0.0)
    found["solved"] = moved
    found["total"], found["norm"] = torch.tensor(data.total), torch.tensor(data.squared_norm)
    return found


def assert_same_passes(data, whole, dtype, n=N):
    components, usage = factors(n, dtype)
    expected = passes(whole, components, usage)
    for name, value in passes(data, components, usage).items():
        assert value.dtype == expected[name].dtype, name
        assert value.device == expected[name].device, name
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(
            value, expected[name], rtol=0, atol=ROUNDING[dtype] * scale, msg=name
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csc_matrix, torch.as_tensor])
@pytest.mark.parametrize("batch_size", [1, 7, N, N + 9])
def test_every_pass_is_that_of_the_data_in_memory(container, dtype, batch_size):
    x = container(counts(N, 0))
    data = in_blocks(x, batch_size, dtype)
    assert isinstance(data, StreamedMatrix) == (batch_size < N)
    assert data.shape == (N, FEATURES)
    assert_same_passes(data, as_matrix(x, "target", dtype, CPU), dtype)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(4, 30),
    batch_size=st.integers(1, 31),
    sparse=st.booleans(),
)
def test_any_cut_gives_the_same(seed, n, batch_size, sparse):
    x = counts(n, seed)
    x = sp.csr_matrix(x) if sparse else x
    whole = as_matrix(x, "target", torch.float64, CPU)
    assert_same_passes(in_blocks(x, batch_size), whole, torch.float64, n)


def test_blocks_on_an_accelerator_are_stored_for_it(monkeypatch):
    """Torch's sparse products exist on the CPU, too, and stand in for those of a GPU here."""
    x, dtype = sp.csr_matrix(counts(N, 0)), torch.float64

    def block(values, dtype, device, threads=None):
        return DeviceSparseMatrix(values, dtype, device)

    monkeypatch.setattr(streaming, "matrix_of", block)
    assert_same_passes(in_blocks(x, 8), DeviceSparseMatrix(x, dtype, CPU), dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("reserved", [0.25, 2.0], ids=["all stay", "none stays"])
def test_a_gpu_gets_one_block_after_the_other(monkeypatch, container, reserved):
    monkeypatch.setattr(uploads, "_RESERVED_SHARE", reserved)
    x, gpu = container(counts(N, 0)), torch.device("cuda")
    data = streamed(x, "target", torch.float64, gpu, 8)
    components, usage = (part.to(gpu) for part in factors(N, torch.float64))
    whole = as_matrix(x, "target", torch.float64, gpu)
    expected = passes(whole, components, usage)
    for name, value in passes(data, components, usage).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6, msg=name)
    stay = [key for key in range(0, N, 8) if data._uploads.kept(key) is not None]
    assert stay == (list(range(0, N, 8)) if reserved < 1 else [])


@pytest.fixture
def start():
    return random_factors(N, M, FEATURES, K, 1, torch.float64, CPU)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 3.0])
@pytest.mark.parametrize(
    "fit", [safeguarded.fit_squared_error, mu.fit_squared_error, mu.fit_poisson]
)
def test_fits_are_those_of_the_data_in_memory(container, alpha, fit, start):
    x, y = container(counts(N, 1)), container(counts(M, 2))
    alpha = min(alpha, 0.4) if fit is mu.fit_poisson else alpha
    # Steps that learn from those before them magnify rounding, tenfold in two iterations.
    iterations = 10 if fit is safeguarded.fit_squared_error else 25
    whole, parts = (
        fit(
            *(make(side, "data", torch.float64, CPU) for side in (x, y)),
            start,
            alpha,
            iterations,
            0.0,
        )
        for make in (as_matrix, lambda *given: streamed(*given, 10))
    )
    np.testing.assert_allclose(parts.objective, whole.objective, rtol=1e-9)
    for name in ("components", "usage", "background_usage"):
        found, expected = getattr(parts, name), getattr(whole, name)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("seeded", [False, True])
def test_staged_fits_are_those_of_the_data_in_memory(container, loss, seeded):
    x, y = container(counts(N, 3)), container(counts(M, 4))
    how = staged.Settings(loss, max_iter=12, tol=0.0, n_init=2, seeded=seeded, refine=3)
    like = torch.empty(0, dtype=torch.float64)
    whole, parts = (
        staged.fit(
            *(make(side, "data", torch.float64, CPU) for side in (x, y)), 2, 2, how, like, null=0.0
        )
        for make in (as_matrix, lambda *given: streamed(*given, 10))
    )
    np.testing.assert_allclose(parts.objective, whole.objective, rtol=1e-8)
    torch.testing.assert_close(parts.components, whole.components, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("stored", "compression"), [(np.float32, "gzip"), (np.float64, None), (np.int64, None)]
)
def test_files_are_read_in_blocks(tmp_path, container, stored, compression):
    x = counts(N, 0).astype(stored)
    data = written(tmp_path / "x.h5ad", container(x), compression=compression)
    whole = as_matrix(x, "target", torch.float64, CPU)
    if container is sp.csr_matrix:
        whole = as_matrix(sp.csr_matrix(x), "target", torch.float64, CPU)
    for given_data in (data, data.X):
        assert is_on_disk(given_data)
        for batch_size in (8, 100, None):
            assert_same_passes(in_blocks(given_data, batch_size), whole, torch.float64)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(5, 31), slice(None)), (np.arange(N) % 3 > 0, slice(None)),
        (slice(None), slice(2, 9)), ([3, 4, 20, 40], [7, 1, 2]), ([2, 42], slice(0, 12, 5)),
        ([7], slice(None)),
    ],
)  # fmt: skip
def test_views_of_a_file_are_read_in_blocks(tmp_path, monkeypatch, container, rows, columns):
    x = counts(N, 0)
    view = written(tmp_path / "x.h5ad", container(x))[rows, columns]

    def refuse(*_args):
        raise AssertionError("the view was read whole")

    monkeypatch.setattr("anndata._core.anndata._subset", refuse)
    expected = x[rows][:, columns]
    assert is_on_disk(view)
    for batch_size in (1, 7, None):
        data = in_blocks(view, batch_size)
        assert data.shape == expected.shape
        np.testing.assert_allclose(data.times(torch.eye(expected.shape[1]).double()), expected)
        assert data.total == pytest.approx(expected.sum())


def test_views_out_of_order_are_refused(tmp_path):
    backed = written(tmp_path / "x.h5ad", sp.csr_matrix(counts(N, 0)))
    with pytest.raises(InputError, match=r"target: is a view .* not in the order of the file"):
        in_blocks(backed[[5, 2]], 2)
    with pytest.raises(InputError, match="target: is empty, 0 samples x 12 features"):
        in_blocks(backed[:0], 2)


def test_columns_on_disk_are_refused_with_the_remedy(tmp_path):
    backed = written(tmp_path / "x.h5ad", sp.csc_matrix(counts(N, 0)))
    for data in (backed, backed.X, backed[:5]):
        assert is_on_disk(data)
        with pytest.raises(InputError, match=r"target: .*CSC.*adata\.X = adata\.X\.tocsr\(\)"):
            in_blocks(data, 7)


def test_rows_that_repeat_a_feature_are_added_up(tmp_path):
    path = tmp_path / "x.h5ad"
    x = sp.csr_matrix(counts(N, 0))
    written(path, x).file.close()
    with h5py.File(path, "r+") as file:
        index = file["X/indices"][:]
        for a, b in zip(x.indptr, x.indptr[1:], strict=False):
            if b - a > 1:
                index[a:b] = index[a:b][::-1]  # no longer sorted
                index[a] = index[a + 1]  # twice
        file["X/indices"][:] = index
    expected = sp.csr_matrix((x.data, index, x.indptr), shape=x.shape)
    data = in_blocks(ad.read_h5ad(path, backed="r"), 6)
    whole = as_matrix(expected, "target", torch.float64, CPU)
    assert_same_passes(data, whole, torch.float64)


def test_a_file_without_data_is_named(tmp_path):
    path = tmp_path / "x.h5ad"
    ad.AnnData(obs=pd.DataFrame(index=["a", "b"])).write_h5ad(path)
    with pytest.raises(InputError, match="target: X of the backed AnnData cannot be read"):
        in_blocks(ad.read_h5ad(path, backed="r"), 1)


def test_what_is_on_disk():
    x = counts(N, 0)
    for data in (x, sp.csr_matrix(x), sp.csr_array(x), torch.as_tensor(x), ad.AnnData(x)):
        assert not is_on_disk(data)


def test_importing_does_not_need_the_readers_of_files():
    script = (
        "import sys, bcnmf.matrices.streamed\n"
        "sys.exit('anndata' in sys.modules or 'h5py' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def corrupted(x, value, rows):
    x = x.copy()
    x[rows, 0] = value
    return x


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("value", "rows", "count"),
    [(np.nan, [N - 1], 1), (np.inf, [1, N - 2, N - 1], 3), (-2.5, [N - 1], 1), (-1, [0, N - 1], 2)],
)
def test_bad_values_are_found_first_and_counted(tmp_path, on_disk, container, value, rows, count):
    x = container(corrupted(counts(N, 0), value, rows))
    with pytest.raises(InputError) as expected:
        as_matrix(x, "target", torch.float64, CPU)
    data = written(tmp_path / "x.h5ad", x) if on_disk else x
    with pytest.raises(InputError, match=f"target: {count} ") as found:
        in_blocks(data, 7)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("batch_size", [0, -3, 2.0, 2.5, "7", True, np.float64(4)])
def test_bad_batch_sizes_are_refused(batch_size):
    with pytest.raises(InputError, match=r"batch_size=.* is not allowed; .* at least 1, or None"):
        in_blocks(counts(N, 0), batch_size)


def test_numpy_batch_sizes_are_integers():
    assert isinstance(in_blocks(counts(N, 0), np.int64(5)), StreamedMatrix)


def test_other_data_are_refused_as_in_memory(tmp_path):
    for data in (counts(N, 0)[:0], counts(N, 0)[:, :0]):
        with pytest.raises(InputError, match="target: is empty"):
            in_blocks(data, 7)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["line"], file["text"] = np.ones(5), np.full((9, 2), b"a")
        with pytest.raises(InputError, match=r"target: has 1 dimensions, shape \(5,\)"):
            in_blocks(file["line"], 7)
        with pytest.raises(InputError, match=r"target.*: holds \|?S1 values; expected numbers"):
            in_blocks(file["text"], 7)
    with pytest.raises(InputError, match=r"target: sparse data cannot be used on MPS"):
        streamed(sp.csr_matrix(counts(N, 0)), "target", torch.float32, torch.device("mps"), 7)


def test_the_default_block_is_about_a_quarter_gigabyte():
    assert default_batch_size(2000 * 8) * 2000 * 8 == pytest.approx(2**28, rel=1e-3)
    assert default_batch_size(10**12) == 1
    assert default_batch_size(0) > 1


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("change", ["shorten", "touch", "close", "remove"])
def test_a_file_that_changes_meanwhile_is_named(tmp_path, container, change):
    path = tmp_path / "x.h5ad"
    backed = written(path, container(counts(N, 0)))
    data = in_blocks(backed, 7)
    components, _ = factors(N, torch.float64)
    data.times(components)
    if change == "shorten":
        os.truncate(path, path.stat().st_size // 2)
    elif change == "touch":
        os.utime(path, ns=(0, 0))
    elif change == "close":
        backed.file.close()
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"target \(.*x\.h5ad\): .*(changed|cannot be read)"):
        data.times(components)


def test_impossible_indices_are_refused(tmp_path):
    path = tmp_path / "x.h5ad"
    written(path, sp.csr_matrix(counts(N, 0))).file.close()
    with h5py.File(path, "r+") as file:
        file["X/indices"][-1] = 10**6
    with pytest.raises(InputError, match=r"target \(.*x\.h5ad\): rows 42 to 42 cannot be read"):
        in_blocks(ad.read_h5ad(path, backed="r"), 7)


def reading_threads():
    return [one for one in threading.enumerate() if one.name.startswith("bcnmf-read")]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["reading", "computing"])
def test_no_thread_is_left_after_an_exception(monkeypatch, error, where):
    data = in_blocks(sp.csr_matrix(counts(N, 0)), 7)
    components, usage = factors(N, torch.float64)
    seen = []

    def fail(_self, *_args, **_kwargs):
        seen.append(len(reading_threads()))
        raise error

    owner, name = (sources.InMemory, "read") if where == "reading" else (
        CompiledSparseMatrix, "exact_pass"
    )  # fmt: skip
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(error) as kept:  # its traceback lives on
        data.exact_pass(components, components @ components.T, usage)
    assert seen == [1]
    assert reading_threads() == []
    assert kept.value is not None


def test_two_blocks_at_most_are_in_memory_and_the_next_is_read_meanwhile(monkeypatch):
    data = in_blocks(sp.csr_matrix(counts(N, 0)), 4)
    components, usage = factors(N, torch.float64)
    arrays, most, readers = [], [], set()
    read = sources.InMemory.read

    def watched(self, piece):
        values = read(self, piece)
        arrays.append(weakref.ref(values.data))
        most.append(sum(array() is not None for array in arrays))
        readers.add(threading.current_thread().name)
        return values

    monkeypatch.setattr(sources.InMemory, "read", watched)
    data.exact_pass(components, components @ components.T, usage)
    assert len(most) == 11
    assert max(most) <= 2
    assert all(name.startswith("bcnmf-read") for name in readers)


def random_file(path, n, features=2000, per_row=200):
    """Write a random CSR as h5ad would have it, row block by row block."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "csr_matrix", "0.1.0"
        group.attrs["shape"] = (n, features)
        group["indptr"] = np.arange(n + 1, dtype=np.int64) * per_row
        group.create_dataset("data", (n * per_row,), np.float32)
        group.create_dataset("indices", (n * per_row,), np.int32)
        for start in range(0, n, 1000):
            part = slice(start * per_row, (start + 1000) * per_row)
            first = rng.integers(0, features // per_row, (1000, per_row), dtype=np.int32)
            index = first + np.arange(0, features, features // per_row, dtype=np.int32)
            group["indices"][part] = index.ravel()
            group["data"][part] = rng.random(1000 * per_row, dtype=np.float32)
    return h5py.File(path, "r")


def peak_of_passes(path, n, batch_size):
    """Return the most bytes that numpy held in all kinds of passes."""
    with random_file(path, n) as file:
        components, usage, _ = random_factors(n, 0, 2000, K, 0, torch.float32, CPU)
        tracemalloc.start()
        backed = ad.io.sparse_dataset(file["X"])
        data = streamed(backed, "target", torch.float32, CPU, batch_size)
        for _ in range(2):
            data.exact_pass(components, components @ components.T, usage)
            data.multiplicative_pass(components, components @ components.T, usage, 1e-10)
            data.poisson_pass(components, usage, 1.0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_rows(tmp_path):
    batch_size = 500
    block = batch_size * 200 * 8
    peak_of_passes(tmp_path / "compiled.h5", 1000, batch_size)  # compiling takes memory, too
    small = peak_of_passes(tmp_path / "small.h5", 4000, batch_size)
    large = peak_of_passes(tmp_path / "large.h5", 16000, batch_size)
    # Two blocks and copies of one, as reading and computing happen to meet; and the row pointer,
    # once to stay and twice for a moment. The data grow by 24 blocks.
    assert large - small < 2 * block + 12000 * 8 * 3
    assert large < 6 * block
    assert large < 0.25 * 16000 * 200 * 8
