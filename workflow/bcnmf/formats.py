"""What a file of data is, told by its content, and for what cannot be read how to convert it."""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bcnmf.checks import import_extra
from bcnmf.delimited import encoding_of
from bcnmf.errors import InputError
from bcnmf.files import reading

READABLE = (
    ".h5ad, .h5mu with one modality, .zarr, .loom, the .h5 or the folder of 10x Genomics "
    "(matrix.mtx, features.tsv, barcodes.tsv), or a table of samples x features (.csv, .tsv, "
    ".parquet)"
)
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
# A name may follow what GEO puts before it: GSM123_patient_matrix.mtx.gz.
MATRIX = re.compile(r"(?P<prefix>.*)matrix\.mtx(\.gz)?", re.IGNORECASE)

_HEAD = 1 << 16
_UNPACK: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open,
}  # fmt: skip
_IN_R = (
    'in R: zellkonverter::writeH5AD(readRDS("{name}"), "{stem}.h5ad") for a SingleCellExperiment; '
    'zellkonverter::writeH5AD(Seurat::as.SingleCellExperiment(readRDS("{name}")), "{stem}.h5ad") '
    'for a Seurat object; write.csv(t(as.matrix(readRDS("{name}"))), "{stem}.csv") for a matrix of '
    "genes x samples"
)


class _Foreign(NamedTuple):
    """What begins like this is of a kind that is not read."""

    begins: tuple[bytes, ...]
    what: str
    remedy: str


_AGAIN = "copy or download it again"
_FOREIGN = (
    _Foreign((b"X\n\x00\x00\x00", b"A\n2\n", b"A\n3\n"), "an R object (.rds)", _IN_R),
    _Foreign(
        (b"RDX", b"RDA"), "an R workspace (.RData)",
        'in R: load("{name}"), then zellkonverter::writeH5AD(<the object>, "{stem}.h5ad") '
        "(Seurat::as.SingleCellExperiment(<the object>) first for Seurat)",
    ),
    _Foreign(
        (b"\xd0\xcf\x11\xe0",), "an old Excel workbook (.xls)",
        "in Excel save the sheet as CSV UTF-8 (samples in rows)",
    ),
    _Foreign(
        (b"\x93NUMPY",), "a numpy array, which names neither samples nor features",
        'in Python: anndata.AnnData(numpy.load("{name}"), obs=samples, var=features)'
        '.write_h5ad("{stem}.h5ad")',
    ),
    _Foreign(
        (b"ARROW1", b"FEA1"), "a Feather table",
        'in Python: pandas.read_feather("{name}").to_parquet("{stem}.parquet")',
    ),
    _Foreign(
        (b"MATLAB 5.0",), "a MATLAB file",
        'in Python: scipy.io.loadmat("{name}") gives its arrays; '
        'anndata.AnnData(values, obs=samples, var=features).write_h5ad("{stem}.h5ad")',
    ),
    _Foreign(
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle",
        'in Python: pandas.read_pickle("{name}").write_h5ad("{stem}.h5ad") for an AnnData, '
        '.to_parquet("{stem}.parquet") for a table',
    ),
    _Foreign(
        (b"version https://git-lfs",), "the pointer of Git LFS, not the data it stands for",
        "run `git lfs pull` in the repository that it comes from",
    ),
    _Foreign(
        (b"!Series", b"^DATABASE", b"^SERIES", b"^SAMPLE", b"^PLATFORM"),
        "a GEO series record (series matrix or SOFT)",
        "take the count files among the series' supplementary files, or in Python: "
        'pandas.read_csv("{name}", sep="\\t", comment="!", index_col=0).T.to_csv("{stem}.csv")',
    ),
    _Foreign((b"@", b"BAM\x01", b">"), "sequence reads", "count them first, as by STAR or salmon"),
    _Foreign((b"PK\x05\x06",), "an empty .zip archive", _AGAIN),
)  # fmt: skip


def kind_of(path: str | os.PathLike[str]) -> str:
    """Return what a file or folder of data is, whatever it is called.

    Returns
    -------
    str
        "h5ad", "h5mu", "zarr", "loom", "10x_h5", "10x_mtx", "table" (text) or "parquet".

    Raises
    ------
    InputError
        It is missing, damaged or something else: says what it is, and how to convert it.
    """
    path = Path(path).expanduser()
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        there = path.exists()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not there:
        raise InputError(f"{path}: {_missing(path)}")
    if not path.is_file():
        raise InputError(f"{path}: is a pipe or a device; write what it gives to a file first")
    raw = _head(path)
    if not raw.strip(b"\x00 \r\n\t"):
        raise _refused(path, "it is empty" if not raw else "it holds zeros alone", _AGAIN)
    if raw.startswith(b"\x89HDF\r\n\x1a\n"):
        return _kind_of_hdf5(path)
    if raw.startswith(b"PK\x03\x04"):
        raise _refused(path, *_zip(path))
    if raw.startswith(b"PAR1"):
        return "parquet"
    with unpacked(path) as stream:
        return _kind_of_text(path, stream.read(_HEAD))


def stem_of(path: Path) -> str:
    """Return the name of a file without what tells its format: cells.tsv.gz is cells."""
    name = re.sub(r"\.(gz|bz2|xz)$", "", path.name, flags=re.IGNORECASE)
    return name if path.is_dir() and not name.endswith(".zarr") else os.path.splitext(name)[0]


def _refused(path: Path, what: str, remedy: str) -> InputError:
    words = remedy.replace("{name}", path.name).replace("{stem}", stem_of(path))
    return InputError(f"{path}: {_named(path)}{what}; {words}")


def _named(path: Path) -> str:
    return f"not a readable {''.join(path.suffixes[-1:]) or 'data'} file: "


def _unreadable(path: Path, error: OSError) -> InputError:
    remedy = "check its rights" if isinstance(error, PermissionError) else "give another path"
    return InputError(f"{path}: cannot be read ({error.strerror}); {remedy}")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file of bytes, unpacked where it is packed, whatever its name."""
    head = _head(path)
    packed = (one for magic, one in _UNPACK.items() if head.startswith(magic))
    unpack: Callable[..., Any] = next(packed, open)
    try:
        with unpack(path, "rb") as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise _refused(path, f"packed, but damaged or cut short ({error})", _AGAIN) from error


def _kind_of_text(path: Path, head: bytes) -> str:
    for foreign in _FOREIGN:
        if head.startswith(foreign.begins):
            raise _refused(path, f"it is {foreign.what}", foreign.remedy)
    if head[257:262] == b"ustar":
        raise _refused(
            path, "it is a .tar archive", "unpack it (tar -xf '{name}') and name what is in it"
        )
    if head.startswith(b"\x89HDF"):
        raise _refused(path, "it is a packed HDF5 file", "unpack it (gunzip '{name}')")
    opening = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if opening.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"{")):
        title = re.search(rb"<title>\s*(.*?)\s*</title>", head, re.IGNORECASE | re.DOTALL)
        named = f" ({title[1].decode(errors='replace')!r})" if title else ""
        raise _refused(
            path, f"it is a web page or record{named} saved in place of the file",
            "download the file itself, not the page that links to it",
        )  # fmt: skip
    if opening.startswith(b"%%matrixmarket"):
        if MATRIX.fullmatch(path.name):
            companions_of(path)
            return "10x_mtx"
        raise _refused(
            path, "it is a Matrix Market file, which names neither samples nor features",
            "call it matrix.mtx(.gz), with barcodes.tsv and features.tsv in the same folder",
        )  # fmt: skip
    if b"\x00" in head and encoding_of(head) == "utf-8":
        raise _refused(path, f"it begins with the bytes {head[:8]!r}", f"expected {READABLE}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if not set(TABLE_SUFFIXES) & set(suffixes[-2:]):
        begins = head[:40].decode(errors="replace").splitlines()[:1]
        raise _refused(
            path, f"it is text that begins with {begins[0] if begins else ''!r}",
            "if it is a table of samples x features, call it {stem}.csv or {stem}.tsv",
        )  # fmt: skip
    return "table"


def _kind_of_hdf5(path: Path) -> str:
    h5py = import_extra("h5py")
    with (
        reading(path, _named(path) + "HDF5, but damaged or cut short", _AGAIN),
        h5py.File(path) as file,
    ):
        names = set(file)
        groups = {name for name in names if file.get(name, getclass=True) is h5py.Group}
        inner = {name for group in groups for name in file[group]}
    if "mod" in groups:
        return "h5mu"
    if {"row_attrs", "col_attrs", "matrix"} <= names:
        return "loom"
    if {"barcodes", "indptr"} <= inner:
        return "10x_h5"
    if {"cell.names", "meta.data"} & names or "assays" in groups:
        raise _refused(
            path, "it is a Seurat file (.h5seurat)",
            'in R: SeuratDisk::Convert("{name}", dest = "h5ad")',
        )  # fmt: skip
    if names & {"obs", "var", "X"} or path.suffix.lower() == ".h5ad":
        return "h5ad"
    if any(name.startswith("assay") for name in names):
        raise _refused(
            path, "it is the matrix of a SingleCellExperiment (HDF5Array), without its names",
            'in R: zellkonverter::writeH5AD(HDF5Array::loadHDF5SummarizedExperiment("<its folder>")'
            ', "{stem}.h5ad")',
        )  # fmt: skip
    raise _refused(
        path, f"HDF5 that holds {', '.join(sorted(names)) or 'nothing'}",
        'in Python: anndata.AnnData(values, obs=samples, var=features).write_h5ad("{stem}.h5ad")',
    )  # fmt: skip


def _zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        return f"a .zip archive, but damaged or cut short ({error})", _AGAIN
    if any(name.startswith("xl/") for name in names):
        return (
            "it is an Excel workbook",
            "in Excel save the sheet as CSV UTF-8 (samples in rows), or in Python: "
            'pandas.read_excel("{name}", index_col=0).to_csv("{stem}.csv")',
        )
    if names and all(name.endswith(".npy") for name in names):
        return (
            "it is an .npz of numpy arrays, which names neither samples nor features",
            'in Python: anndata.AnnData(scipy.sparse.load_npz("{name}"), obs=samples, var=features)'
            '.write_h5ad("{stem}.h5ad")',
        )
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"it is a .zip archive of {shown}", "unzip it, and name the file or folder in it"


def _kind_of_folder(path: Path) -> str:
    names = sorted(one.name for one in path.iterdir())
    if {".zgroup", "zarr.json", ".zattrs"} & set(names):
        return "zarr"
    if any(MATRIX.fullmatch(name) for name in names):
        companions_of(path)
        return "10x_mtx"
    if {"se.rds", "assays.h5"} <= set(names):
        raise _refused(
            path, "it is the folder of a SingleCellExperiment (HDF5Array)",
            'in R: zellkonverter::writeH5AD(HDF5Array::loadHDF5SummarizedExperiment("{name}"), '
            '"{name}.h5ad")',
        )  # fmt: skip
    inside = [name for name in names if name.endswith((".h5ad", ".h5", ".zarr", ".h5mu", ".loom"))]
    folders = [
        one.relative_to(path).parent.as_posix() for one in sorted(path.glob("*/*matrix.mtx*"))
    ]
    found = ", ".join((inside + folders)[:5])
    raise InputError(
        f"{path}: is a folder without matrix.mtx that is no .zarr either; "
        + (f"name one of what it holds: {found}" if found else f"expected {READABLE}")
    )


def companions_of(path: Path) -> tuple[Path, Path, Path]:
    """Return matrix, features and barcodes of a folder of 10x Genomics, or of a matrix in one.

    Raises
    ------
    InputError
        One of them is missing, or the folder holds several matrices.
    """
    folder = path if path.is_dir() else path.parent
    files = {one.name.lower(): one for one in sorted(folder.iterdir())}
    matrices = [path] if path.is_file() else [f for n, f in files.items() if MATRIX.fullmatch(n)]
    if len(matrices) > 1:
        listed = ", ".join(one.name for one in matrices[:5])
        raise InputError(f"{path}: holds {len(matrices)} matrices ({listed}); name one of them")
    match = MATRIX.fullmatch(matrices[0].name)
    prefix = match["prefix"].lower() if match else ""
    found = []
    for names in (("features", "genes"), ("barcodes", "cells")):
        wanted = [f"{prefix}{name}.tsv{end}" for name in names for end in ("", ".gz")]
        there = [files[name] for name in wanted if name in files]
        if not there:
            raise InputError(
                f"{folder}: has {matrices[0].name}, but no {wanted[0]} beside it (or "
                f"{', '.join(wanted[1:])}): the matrix alone names neither samples nor features; "
                "put the files of 10x Genomics into one folder"
            )
        found.append(there[0])
    return matrices[0], found[0], found[1]


def _missing(path: Path) -> str:
    """Say what is there in place of a file: a link, an address, a name that is near."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which is not there; copy that file, or link anew"
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(path)):
        return "is an address; download it first, and give the path of the file"
    return f"no such file{_beside(path)}"


def _beside(path: Path) -> str:
    """Say which name is near in the same folder, or what is expected."""
    folder = path.parent
    expected = f"; expected {READABLE}, its path from the working directory ({Path.cwd()})"
    if not folder.is_dir():
        return f", nor a folder {folder}{expected}"
    names = {one.name.lower(): one.name for one in folder.iterdir()}
    close = difflib.get_close_matches(path.name.lower(), list(names), n=1)
    return f" (did you mean {str(folder / names[close[0]])!r}?)" if close else expected
