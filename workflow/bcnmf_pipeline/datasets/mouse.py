"""Proteins in the cortex of trisomic and control mice (Higuera et al. 2015)."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from xlrd import XLRDError
from xlrd.compdoc import CompDocError

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, Member, existing, listed, members_of, opened_zip

_SOURCE = {
    "description": (
        "77 proteins in the nuclear fraction of the cortex of 72 mice, Ts65Dn (trisomic) or "
        "control, 15 technical replicates each"
    ),
    "citation": (
        "Higuera, Gardiner and Cios 2015, PLoS ONE 10(6):e0129126, "
        "doi:10.1371/journal.pone.0129126; UCI Machine Learning Repository 342, "
        "doi:10.24432/C50S3Z"
    ),
    "licence": "CC BY 4.0",
}
TABLE = "Data_Cortex_Nuclear"
N_MICE, N_REPLICATES, N_PROTEINS = 72, 15, 77
_ABOUT_MICE = ("Genotype", "Treatment", "Behavior", "class")
# The table takes 1 to 2 MB in any format.
_LARGEST = 64 * 2**20
# How files begin; the second is a zip without entries.
_ZIP, _XLS = (b"PK\x03\x04", b"PK\x05\x06"), b"\xd0\xcf\x11\xe0"
# What xlrd raises on damaged files, as found by cutting and overwriting many.
_XLS_FAULTS = (XLRDError, CompDocError, struct.error, AssertionError, LookupError, ValueError)


def read_mouse(path: str | Path) -> ad.AnnData:
    """Read the mouse protein table as UCI or others hand it out.

    A missing value is replaced by the mean of its protein over all rows, as in the paper.

    Parameters
    ----------
    path : path
        UCI's zip with Data_Cortex_Nuclear.xls (or .csv) in it, that .xls, or the table as .csv.
        What it is is told by the contents, not by the name.

    Returns
    -------
    AnnData
        X: float32, 1080 x 77, proteins as the source names them (``DYRK1A_N``).
        obs: `MouseID` (also the names of the rows), `mouse`, `replicate` (from 1), `Genotype`
        (Control, Ts65Dn), `Treatment` (Memantine, Saline), `Behavior` (C/S, S/C), `class`.
        var: `n_missing`, values that were missing. uns: `n_missing` in all, `source`.

    Raises
    ------
    InputError
        A file that is missing, damaged, or something else; a zip without exactly one such table;
        rows, proteins or columns other than expected; a cell that is not a number; a protein
        without any value.

    Notes
    -----
    One value of the source is negative (RRP1_N of 365_14, a mouse under memantine). It is kept as
    it is: no published comparison uses that mouse, and a study that selects it is refused by name.

    References
    ----------
    .. [1] Higuera, Gardiner and Cios, "Self-organizing feature maps identify proteins critical to
       learning in a mouse model of Down syndrome", PLoS ONE 10(6):e0129126, 2015.
    """
    path = existing(path, "the mouse protein table, .zip, .xls, .csv")
    table = _read_table(path)
    proteins = [str(name) for name in table.columns if str(name).endswith("_N")]
    _check_shape(table, proteins, path)
    obs = _mice(table, path)
    values = _numbers(table[proteins], obs.index, path)
    missing = values.isna().sum()
    values = values.fillna(values.mean())
    return ad.AnnData(
        values.to_numpy(dtype=np.float32),
        obs=obs,
        var=pd.DataFrame({"n_missing": missing.to_numpy()}, index=proteins),
        uns={"n_missing": int(missing.sum()), "source": _SOURCE | _imputed(int(missing.sum()))},
    )


def _imputed(n_missing: int) -> dict[str, str]:
    text = f"; {n_missing} missing values are set to the mean of their protein"
    return {"description": _SOURCE["description"] + text}


def _read_table(path: Path) -> pd.DataFrame:
    if path.stat().st_size > _LARGEST:
        raise InputError(
            f"{path}: {path.stat().st_size} bytes; the mouse protein table has 1 to 2 MB: {AGAIN}"
        )
    content, name = path.read_bytes(), str(path)
    if content.startswith(_ZIP):
        with opened_zip(io.BytesIO(content), path) as archive:
            member = _member(members_of(archive, path), path)
            content, name = member.content(_LARGEST), member.place
    if content.startswith(_XLS):
        return _read_xls(content, name)
    return _read_csv(content, name)


def _member(members: Sequence[Member], path: Path) -> Member:
    wanted = {f"{TABLE}{suffix}".lower() for suffix in (".xls", ".csv")}
    found = [one for one in members if one.parts[-1:] and one.parts[-1].lower() in wanted]
    if len(found) != 1:
        raise InputError(
            f"{path}: the zip holds {len(found)} files {TABLE}.xls or .csv, expected one; "
            f"found: {listed([one.name for one in found or members])}. Put the right one in the "
            "place of the zip"
        )
    (member,) = found
    if {"..", "/"} & set(member.parts):
        raise InputError(
            f"{path}: {member.name} leads out of the zip, which no honest archive does; {AGAIN}"
        )
    if member.encrypted:
        raise InputError(
            f"{path}: {member.name} is encrypted; put the table itself in the place of the zip"
        )
    return member


def _read_xls(content: bytes, name: str) -> pd.DataFrame:
    try:
        return pd.read_excel(io.BytesIO(content), engine="xlrd")
    except _XLS_FAULTS as error:
        raise InputError(f"{name}: not a readable .xls file ({error}); {AGAIN}") from error


def _read_csv(content: bytes, name: str) -> pd.DataFrame:
    if not content.strip():
        raise InputError(f"{name}: the file is empty; {AGAIN}")
    if content.lstrip()[:1] == b"<":
        raise InputError(f"{name}: a web page, not the mouse protein table; {AGAIN}")
    try:
        return pd.read_csv(io.BytesIO(content), encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{name}: neither a zip nor an .xls nor a comma-separated table ({error}); {AGAIN}"
        ) from error


def _check_shape(table: pd.DataFrame, proteins: list[str], path: Path) -> None:
    missing = [name for name in ("MouseID", *_ABOUT_MICE) if name not in table.columns]
    if missing:
        shown = ", ".join(map(str, table.columns[:10]))
        raise InputError(
            f"{path}: no column {', '.join(missing)}; found {table.shape[1]} columns: {shown}"
            f"{', ...' if table.shape[1] > 10 else ''}; {AGAIN}"
        )
    if len(proteins) != N_PROTEINS:
        raise InputError(
            f"{path}: {len(proteins)} columns end in _N, expected {N_PROTEINS} proteins: "
            f"the file is damaged, or the source has changed; {AGAIN}"
        )
    if len(table) != N_MICE * N_REPLICATES:
        raise InputError(
            f"{path}: {len(table)} rows, expected {N_MICE * N_REPLICATES} ({N_MICE} mice x "
            f"{N_REPLICATES} replicates): the file is cut short, or the source has changed; "
            f"{AGAIN}"
        )


def _mice(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the columns about the mice, with mouse and replicate out of MouseID."""
    about = table[["MouseID", *_ABOUT_MICE]]
    for name in about:
        if about[name].isna().any():
            line = int(np.flatnonzero(about[name].isna())[0]) + 2
            raise InputError(f"{path}, column {name}: nothing in line {line}; {AGAIN}")
    about = about.astype(str).set_axis(pd.Index(about["MouseID"].astype(str).to_numpy()))
    mouse, replicate = _parts_of_ids(about["MouseID"], path)
    columns = {"MouseID": about["MouseID"], "mouse": pd.Categorical(mouse), "replicate": replicate}
    columns |= {name: pd.Categorical(about[name]) for name in _ABOUT_MICE}
    return pd.DataFrame(columns, index=about.index)


def _parts_of_ids(ids: pd.Series, path: Path) -> tuple[pd.Series, pd.Series]:
    """Return mouse and replicate of IDs such as J1291_3: 72 mice with 15 replicates each."""
    place = f"{path}, column MouseID"
    # The last underscore: names of mice may hold others.
    parts = ids.str.extract(r"^(.+)_([0-9]+)$")
    if parts.isna().any(axis=None):
        raise InputError(
            f"{place}: {ids[parts[0].isna()].iloc[0]!r}; expected <mouse>_<replicate>, as 309_1; "
            f"{AGAIN}"
        )
    if ids.duplicated().any():
        raise InputError(
            f"{place}: {ids[ids.duplicated()].iloc[0]!r} stands more than once; {AGAIN}"
        )
    sizes = parts[0].value_counts()
    if len(sizes) != N_MICE or (sizes != N_REPLICATES).any():
        raise InputError(
            f"{place}: {len(sizes)} mice with {sizes.min()} to {sizes.max()} rows, expected "
            f"{N_MICE} with {N_REPLICATES} each; {AGAIN}"
        )
    return parts[0], parts[1].astype(int)


def _numbers(table: pd.DataFrame, samples: pd.Index, path: Path) -> pd.DataFrame:
    """Return the proteins as numbers, missing ones as NaN."""
    values = table.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    unread = (values.isna() & table.notna()) | np.isinf(values)
    if unread.any(axis=None):
        row, column = np.argwhere(unread.to_numpy())[0]
        raise InputError(
            f"{path}, column {table.columns[column]}, MouseID {samples[row]}: "
            f"{str(table.iloc[row, column])!r} is not a finite number "
            f"({int(unread.sum().sum())} such cells); an empty cell is a missing value; {AGAIN}"
        )
    empty = values.columns[values.isna().all()]
    if len(empty):
        raise InputError(f"{path}, column {empty[0]}: no value at all; {AGAIN}")
    return values
