"""Data as people have them: each function returns or is what writes some into a folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
from anndata.io import write_elem

N, FEATURES = 60, 12


def counts(n=N, features=FEATURES):
    found = np.random.default_rng(0).poisson(2.0, (n, features)).astype(np.float32)
    found[:, 0] += 1
    return found


def table(n=N):
    number = np.arange(n)
    return pd.DataFrame(
        {
            "arm": np.where(number % 2 == 0, "drug", "vehicle"),
            "kind": np.where(number // 2 % 2 == 0, "a", "b"),
            "donor": [f"d{i // 2 % 3}" for i in number],
        },
        index=[f"cell{i}" for i in number],
    )


def cells(matrix=None, obs=None, **columns):
    var = pd.DataFrame(index=[f"G{i}" for i in range(FEATURES)])
    obs = (table() if obs is None else obs).assign(**columns)
    return ad.AnnData(sp.csr_matrix(counts() if matrix is None else matrix), obs=obs, var=var)


def frame(matrix=None):
    names = [f"G{i}" for i in range(FEATURES)]
    return pd.DataFrame(counts() if matrix is None else matrix, index=table().index, columns=names)


# --- what people have: each writes into a folder and returns the path ---------


def h5ad(data=None, name="mine.h5ad"):
    def make(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (cells() if data is None else data).write_h5ad(path)
        return path

    return make


def content(name, raw):
    def make(folder):
        (folder / name).write_bytes(raw)
        return folder / name

    return make


def text_table(name, values=None, obs="obs.csv", **options):
    def make(folder):
        (frame() if values is None else values).to_csv(folder / name, **options)
        if obs:
            table().to_csv(folder / f"{name.partition('.')[0]}.{obs}")
        return folder / name

    return make


def parquet(folder):
    frame().to_parquet(folder / "mine.parquet")
    table().to_parquet(folder / "mine.obs.parquet")
    return folder / "mine.parquet"


def parquet_without_names(folder):
    frame().reset_index(drop=True).to_parquet(folder / "mine.parquet")
    return folder / "mine.parquet"


def tenx_folder(features="features.tsv.gz", prefix="", name="filtered feature matrix"):
    """Make what Cell Ranger or GEO hands out, with an antibody among the genes."""

    def make(folder):
        folder = folder / name
        folder.mkdir(exist_ok=True)
        packed = ".gz" if features.endswith(".gz") else ""
        matrix = folder / f"{prefix}matrix.mtx{packed}"
        stream = io.BytesIO()
        scipy.io.mmwrite(stream, sp.coo_matrix(counts().T.astype(int)))
        matrix.write_bytes(gzip.compress(stream.getvalue()) if packed else stream.getvalue())
        names = [f"G{i}" for i in range(FEATURES)]
        genes = pd.DataFrame({"id": [f"ENSG{i:011}" for i in range(FEATURES)], "name": names})
        if "features" in features:
            genes["type"] = ["Gene Expression"] * (FEATURES - 1) + ["Antibody Capture"]
        genes.to_csv(folder / f"{prefix}{features}", sep="\t", header=False, index=False)
        barcodes = folder / f"{prefix}barcodes.tsv{packed}"
        table().index.to_frame().to_csv(barcodes, sep="\t", header=False, index=False)
        table().to_csv(folder / "obs.csv")
        return folder

    return make


def several_samples(folder):
    for prefix in ("GSM1_a_", "GSM2_b_"):
        tenx_folder(prefix=prefix)(folder)
    return folder / "filtered feature matrix"


def tenx_h5(folder):
    path = folder / "filtered_feature_bc_matrix.h5"
    by_cell = sp.csr_matrix(counts())
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["data"], group["indices"] = by_cell.data.astype("i4"), by_cell.indices
        group["indptr"], group["shape"] = by_cell.indptr, np.array([FEATURES, N])
        group["barcodes"] = table().index.to_numpy("S")
        names = [f"G{i}" for i in range(FEATURES)]
        texts = {"id": names, "name": names, "genome": ["GRCh38"] * FEATURES}
        texts["feature_type"] = ["Gene Expression"] * FEATURES
        for key, value in texts.items():
            group[f"features/{key}"] = np.array(value, dtype="S")
    table().to_csv(folder / "filtered_feature_bc_matrix.obs.csv")
    return path


def h5mu(*names):
    def make(folder):
        path = folder / "mine.h5mu"
        with h5py.File(path, "w") as file:
            for name in names:
                data = cells()
                data.obs = data.obs[["arm"]]
                write_elem(file.require_group("mod"), name, data)
            write_elem(file, "obs", table().rename(columns={"arm": f"{names[0]}:arm"}))
        return path

    return make


def zarr(folder):
    cells().write_zarr(folder / "mine.zarr")
    return folder / "mine.zarr"


def hdf5(name, *groups):
    def make(folder):
        with h5py.File(folder / name, "w") as file:
            for group in groups:
                file.create_group(group)
        return folder / name

    return make


def archive(name, *members):
    def make(folder):
        with zipfile.ZipFile(folder / name, "w") as file:
            for member in members:
                file.writestr(member, "x")
        return folder / name

    return make


def tar(folder):
    with tarfile.open(folder / "mine.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("matrix.mtx")
        file.addfile(member, io.BytesIO())
    return folder / "mine.tar.gz"


def cut_short(make):
    def cut(folder):
        path = make(folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return cut


def saved_folder(folder):
    for name in ("se.rds", "assays.h5"):
        (folder / "se").mkdir(exist_ok=True)
        (folder / "se" / name).write_bytes(b"x")
    return folder / "se"


def parent(make):
    return lambda folder: make(folder).parent


def misspelt(folder):
    h5ad(name="cells.h5ad")(folder)
    return folder / "Cell.h5ad"


def in_home(folder):
    h5ad(name="in home.h5ad")(folder)
    return Path("~/in home.h5ad")


# --- what is in them -----------------------------------------------------------


def with_columns(**columns):
    return h5ad(cells(**columns))


def renamed(**names):
    return h5ad(cells(obs=table().rename(columns=names)))


def scaled():
    data = cells()
    data.layers["counts"] = data.X.copy()
    data.raw = data.copy()
    data.X = data.X.toarray() - 2.0
    return data


def identifiers():
    data = cells()
    data.var["feature_name"] = ["TP53", "TP53", *data.var_names[2:]]
    data.var_names = [f"ENSG{i:011}" for i in range(FEATURES)]
    return data


def repeated_genes():
    data = cells()
    data.var_names = ["G0", "G0", *data.var_names[2:]]
    return data


def repeated_cells():
    data = cells()
    data.obs_names = ["cell0", "x", "cell0", *data.obs_names[3:]]
    return data


def unused_levels():
    arm = pd.Categorical(table()["arm"], categories=["drug", "vehicle", "wash"])
    return cells(arm=arm)


def nullable():
    return cells(
        treated=pd.array(table()["arm"] == "drug", dtype="boolean"),
        dose=pd.array(np.where(table()["arm"] == "drug", 10, 0), dtype="Int64"),
    )
