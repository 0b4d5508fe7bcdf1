"""Files that a library fails on: one line names study, file and remedy, before any job."""

from __future__ import annotations

import re
from functools import partial

import h5py
import numpy as np
import pytest
from anndata.io import write_elem

from awkward_data import FEATURES, N, cells, frame, h5ad, tenx_folder, tenx_h5, zarr
from bcnmf.errors import InputError
from bcnmf.files import read_h5ad, reading
from bcnmf_pipeline.pair.own_data import look
from bcnmf_pipeline.pair.pairing import make_pair
from bcnmf_pipeline.pair.source import load

WHERE = "mine.tsv, study mine"
ROW = {
    "study": "mine", "target": "arm=drug", "background": "arm=vehicle", "label": "kind", "unit": "",
    "values": "", "layer": "",
}  # fmt: skip


def edited(change, data=None):
    """Return what writes an .h5ad and changes it."""

    def make(folder):
        path = h5ad(data)(folder)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return make


def attribute(name, key="encoding-type", value="future"):
    return edited(lambda file: file[name].attrs.__setitem__(key, value))


def without(*names, data=None):
    return edited(lambda file: [file.__delitem__(name) for name in names], data)


def instead(name, value):
    def change(file):
        del file[name]
        if value is not None and not isinstance(value, h5py.SoftLink | h5py.Empty):
            write_elem(file, name, value)
        else:
            file[name] = value

    return edited(change)


def numbers(name, change):
    """Return what changes the numbers of a sparse matrix."""

    def edit(file):
        found = file[f"X/{name}"][:]
        del file[f"X/{name}"]
        file[f"X/{name}"] = change(found)

    return edit


def first(value):
    return lambda found: np.concatenate([[value], found[1:]])


def in_layer_alone():
    data = cells()
    data.layers["counts"] = data.X.copy()
    data.X = None
    return data


def by_column():
    data = cells()
    data.X = data.X.tocsc()
    return data


def garbled(folder):
    """Write an .h5ad whose packed values are spoilt."""
    path = folder / "mine.h5ad"
    cells().write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(raw)
    return path


def link_to_nothing(folder):
    (folder / "mine.h5ad").symlink_to(folder / "gone.h5ad")
    return folder / "mine.h5ad"


def no_features(folder):
    path = tenx_h5(folder)
    with h5py.File(path, "r+") as file:
        del file["matrix/features"]
    return path


def with_junk(folder):
    path = zarr(folder)
    for chunk in (path / "X").rglob("[0-9]*"):
        if chunk.is_file():
            chunk.write_bytes(b"junk")
    return path


def matrix_of(text):
    def make(folder):
        path = tenx_folder("features.tsv")(folder)
        (path / "matrix.mtx").write_text(text)
        return path

    return make


UPDATE = r"\); update anndata here, or write the file again with an older anndata"
AGAIN = "; copy it again if it is damaged, or write it again with AnnData.write_h5ad"
REFUSED = {
    "a column in a later encoding": (attribute("obs/arm"), f"'future'.* in obs/arm{UPDATE}"),
    "a later version": (
        attribute("obs/kind", "encoding-version", "9"), f"'9', is not known, in obs/kind{UPDATE}",
    ),
    "var in a later encoding": (attribute("var"), f"in var{UPDATE}"),
    "X in a later encoding": (attribute("X"), f"encoding type future.*{AGAIN}"),
    "X of nothing": (without("X"), "holds no X; expected an .h5ad file with a matrix X"),
    "counts in a layer alone": (h5ad(in_layer_alone()), "no X; name .* in column layer: counts"),
    "no obs": (without("obs"), "holds no obs; expected a file as AnnData writes it"),
    "a column is lost": (without("obs/arm"), rf"\(object 'arm' doesn't exist\){AGAIN}"),
    "indptr is lost": (without("X/indptr"), rf"\(object 'indptr' doesn't exist\){AGAIN}"),
    "a link into nothing": (instead("obs/arm", h5py.SoftLink("/gone")), f"not found.*{AGAIN}"),
    "X is one row": (instead("X", np.ones(5)), "X is no matrix, but 60 samples and 12 features"),
    "X is a number": (instead("X", 3.0), "X is no matrix"),
    "X is a table": (instead("X", frame()), "X is no matrix"),
    "X is nothing": (instead("X", h5py.Empty("f4")), "X is no matrix"),
    "X has other samples": (instead("X", np.ones((N - 3, FEATURES))), "X is 57 x 12, but 60 sam"),
    "X has other features": (instead("X", np.ones((N, 14))), "14, but .* 12 features are named"),
    "X is text": (instead("X", np.full((N, FEATURES), "1", object)), "holds text, for instance"),
    "X is complex": (instead("X", np.ones((N, FEATURES), complex)), "complex128 values; expected"),
    "X is zero": (instead("X", np.zeros((N, FEATURES))), r"all 30 .* the target of \S+ are zero"),
    "an index too large": (edited(numbers("indices", first(99))), "indices must be < 12"),
    "an index below zero": (edited(numbers("indices", first(-9))), "indices must be >= 0"),
    "an index too large, by columns": (
        edited(numbers("indices", first(999)), by_column()), f"IndexError: .*{AGAIN}",
    ),
    "too few pointers": (edited(numbers("indptr", lambda found: found[:-4])), AGAIN),
    "pointers beyond the end": (
        edited(numbers("indptr", lambda found: np.append(found[:-1], found[-1] + 99))), AGAIN,
    ),
    "obs is an array": (instead("obs", np.ones(N)), "not a readable .h5ad file .*in obs.*; copy"),
    "a column too short": (instead("obs/arm", np.ones(3)), f"the same length.*{AGAIN}"),
    "a column of pairs": (instead("obs/arm", np.ones((N, 2))), f"1-dimensional.*{AGAIN}"),
    "values that cannot be unpacked": (garbled, f"filter returned failure.*{AGAIN}"),
    "no sample": (h5ad(cells()[:0].copy()), "holds 0 samples x 12 features, so there is nothing"),
    "no feature": (h5ad(cells()[:, :0].copy()), "holds 60 samples x 0 features"),
    "a link to a file that is gone": (link_to_nothing, r"a link to .*gone\.h5ad, which is not th"),
    "an address": (lambda folder: "s3://bucket/mine.h5ad", "is an address; download it first"),
    "a device": (lambda folder: "/dev/null", "is a pipe or a device; write what it gives to a f"),
    "a name too long": (lambda folder: folder / ("x" * 300), "name too long.*; give another path"),
    "an .h5 of 10x without features": (no_features, "missing one or more .*; make it again, or"),
    "a .zarr of junk": (with_junk, "blosc.*; copy it again .* with AnnData.write_zarr"),
    "a matrix without a header": (matrix_of("1 1 3\n"), r"matrix\.mtx: not a .*Missing banner"),
    "a matrix cut short": (
        matrix_of("%%MatrixMarket matrix coordinate integer general\n12 60 9\n1 1 3\n1"),
        r"matrix\.mtx: not a readable Matrix Market file .*; copy or download it again",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", REFUSED)
def test_one_line_names_study_file_and_remedy(what, tmp_path):
    make, expected = REFUSED[what]
    path = make(tmp_path)
    with pytest.raises(InputError) as caught:
        look(path, ROW, WHERE)
    message = str(caught.value)
    assert message.startswith(WHERE)
    assert "\n" not in message
    assert not re.search("Unable to|Can't|synchronously|<class|Errno", message)
    assert re.search(expected, message), message
    assert re.search(r"mine|filtered|bucket|null|x{300}", message.removeprefix(WHERE))


def transposed(folder):
    path = tenx_folder("features.tsv")(folder)
    matrix = path / "matrix.mtx"
    lines = [line.split() for line in matrix.read_text().splitlines() if line[0] != "%"]
    text = "\n".join(" ".join([line[1], line[0], line[2]]) for line in lines)
    matrix.write_text(f"%%MatrixMarket matrix coordinate integer general\n{text}\n")
    return path


def wrongly_packed(folder):
    path = tenx_folder()(folder)
    (path / "matrix.mtx.gz").rename(path / "matrix.mtx")
    return path


def by_seurat(folder):
    """Write an .h5ad as SeuratDisk does: categories stand apart from their columns."""
    path = h5ad()(folder)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        obs.attrs["encoding-version"] = "0.1.0"
        for name in ("arm", "kind", "donor"):
            codes, categories = obs[f"{name}/codes"][:], obs[f"{name}/categories"][:]
            del obs[name]
            obs[name] = codes
            obs[f"__categories/{name}"] = categories
            obs[name].attrs["categories"] = obs[f"__categories/{name}"].ref
    return path


READ = {
    "parts that are not asked for, in a later encoding": (
        edited(lambda file: [file[name].attrs.__setitem__("encoding-type", "future")
                             for name in ("/", "uns", "obsm", "layers", "obs")]), "",
    ),
    "parts that are not asked for, of another size": (
        edited(lambda file: file["obsm"].__setitem__("X_pca", np.ones((3, 2)))), "",
    ),
    "a column that is not asked for, in a later encoding": (
        attribute("obs/donor"), "obs column 'donor': was left out",
    ),
    "a column that is not asked for is lost": (without("obs/donor"), "obs column 'donor': was "),
    "an .h5ad of SeuratDisk": (by_seurat, ""),
    "a matrix of samples x features": (transposed, ""),
    "a packed matrix that does not say so": (wrongly_packed, ""),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", READ)
def test_what_is_looked_at_is_what_is_paired(what, tmp_path):
    make, remark = READ[what]
    path = make(tmp_path)
    found = look(path, ROW, WHERE)
    row = ROW | {"values": found.values}
    with load(path, "") as data:
        target, background = make_pair(data, row, WHERE, scaled_over="all")
    assert (target.n_obs, background.n_obs) == (found.n_target, found.n_background) == (30, 30)
    warnings = " ".join(target.uns["pairing"]["warnings"])
    assert remark in warnings
    assert ("donor" in target.obs) is not bool(remark)


def test_the_cause_of_an_error_is_kept_and_a_refusal_passes(tmp_path):
    reads = partial(reading, "a.h5", "odd", "do this")
    with (
        pytest.raises(InputError, match=r"^a\.h5: odd \(RuntimeError\); do this$") as caught,
        reads(),
    ):
        raise RuntimeError
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(InputError, match=r"^as it was$"), reads():
        raise InputError("as it was")
    path = attribute("obs/arm")(tmp_path)
    with pytest.raises(InputError, match=UPDATE):
        read_h5ad(path)
