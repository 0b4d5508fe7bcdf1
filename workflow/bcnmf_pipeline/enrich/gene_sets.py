"""Collections of gene sets in GMT files, read strictly."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd

from bcnmf.delimited import read_text
from bcnmf.errors import InputError
from bcnmf.files import reading

_SHOWN = 60
_ENSEMBL = r"ENS[A-Z]*G\d{11}(?:\.\d+)?"
_NAME = (
    rf"^(?:(?P<ensembl_id>{_ENSEMBL})|(?P<before>.+)[_|:.-](?P<last>{_ENSEMBL})"
    rf"|(?P<first>{_ENSEMBL})[_|:-](?P<after>.+)|(?P<symbol>.+))$"
)


@dataclass(frozen=True)
class SetSizes:
    """Which sizes of gene sets are tested, counted after genes outside the universe were left out.

    Attributes
    ----------
    smallest, largest : int
        Both included.
    """

    smallest: int = 5
    largest: int = 500


def read_gmt(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Read gene sets: a line is name, description, gene, gene, ... with tabs between.

    Parameters
    ----------
    path : path
        A .gmt file: UTF-8, or UTF-16 with a mark.

    Returns
    -------
    dict of str to tuple of str
        Name of the set -> its genes, both in the order of the file.

    Raises
    ------
    InputError
        The file is missing, empty, no text or no GMT; a set without genes, with a gene twice, or
        whose name stands twice. The line is named.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; expected gene sets in GMT format")
    with reading(path, "cannot be read", "expected a file of gene sets in GMT format"):
        lines = read_text(path).split("\n")
    sets: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, genes = _parse(line, f"{path}, line {number}")
        if name in sets:
            raise InputError(
                f"{path}, line {number}: the set {name!r} stands twice; give each a name of its own"
            )
        sets[name] = genes
    if not sets:
        raise InputError(f"{path}: holds no gene set; expected GMT: name, description, genes")
    return sets


def _parse(line: str, where: str) -> tuple[str, tuple[str, ...]]:
    cells = [cell.strip() for cell in line.split("\t")]
    while len(cells) > 1 and not cells[-1]:  # some writers end lines with tabs
        cells.pop()
    if len(cells) < 3 or not cells[0]:
        html = " (it looks like a web page: download the file itself)" if "<" in line else ""
        raise InputError(
            f"{where}: {line[:_SHOWN]!r} has {len(cells)} cells{html}; expected name, description "
            "and at least one gene, with tabs between"
        )
    genes = cells[2:]
    if "" in genes:
        raise InputError(f"{where}, set {cells[0]!r}: an empty cell between genes; remove it")
    repeated = [gene for gene in genes if genes.count(gene) > 1] if _repeats(genes) else []
    if repeated:
        raise InputError(
            f"{where}, set {cells[0]!r}: the gene {repeated[0]!r} stands twice; name it once"
        )
    return cells[0], tuple(genes)


def _repeats(genes: list[str]) -> bool:
    return len(set(genes)) < len(genes)


def within(
    sets: Mapping[str, Sequence[str]],
    universe: Collection[str],
    sizes: SetSizes,
    where: str,
) -> dict[str, tuple[str, ...]]:
    """Return the sets without genes that were not tested, and of these the ones of usable size.

    Parameters
    ----------
    sets : mapping of str to genes
        As `read_gmt` gives them.
    universe : collection of str
        Genes that could have come out on top: all that the fit saw.
    sizes : SetSizes
        Which sizes are tested.
    where : str
        Name of the collection and the data, for the message.

    Raises
    ------
    InputError
        No gene of any set is in the universe, or no set is of usable size.
    """
    known = frozenset(universe)
    kept = {name: tuple(gene for gene in genes if gene in known) for name, genes in sets.items()}
    if not any(kept.values()):
        raise InputError(
            f"{where}: none of the {len(known)} genes is in any of the {len(sets)} sets; the data "
            f"have names such as {', '.join(sorted(known)[:3])}, the sets such as "
            f"{', '.join(next(iter(sets.values()))[:3])}{_other_capitals(sets, known)}. Give gene "
            "sets with the names of the data (symbols of the same species), or leave gene_sets "
            "empty"
        )
    tested = {
        name: genes for name, genes in kept.items() if sizes.smallest <= len(genes) <= sizes.largest
    }
    if not tested:
        largest = max(len(genes) for genes in kept.values())
        raise InputError(
            f"{where}: no set has {sizes.smallest} to {sizes.largest} genes among the "
            f"{len(known)} of the data (the largest has {largest}); change enrichment.min_size or "
            "enrichment.max_size, or keep more features"
        )
    return tested


def _other_capitals(sets: Mapping[str, Sequence[str]], known: frozenset[str]) -> str:
    """Return what to say of genes that differ in capitals, as Isg15 of mice and ISG15 of humans."""
    alike = {gene.upper() for gene in known}
    alike &= {gene.upper() for gene in chain.from_iterable(sets.values())}
    if not alike:
        return ""
    return f" ({len(alike)} are the same but for capitals, as those of mice and humans are)"


def symbols_of(names: Iterable[str]) -> pd.DataFrame:
    """Return symbol and ensembl_id of names of features, "" for what a name does not hold.

    Names that hold an Ensembl id and a symbol (ISG15_ENSG00000187608) are taken apart; others are
    an id or a symbol.
    """
    parts = pd.Series(list(names), dtype=object).astype(str).str.extract(_NAME).fillna("")
    return pd.DataFrame(
        {
            "symbol": parts["symbol"] + parts["before"] + parts["after"],
            "ensembl_id": parts["ensembl_id"] + parts["last"] + parts["first"],
        }
    )


def check_gene_sets_match(
    symbols: Iterable[str],
    collections: Mapping[str, str | os.PathLike[str]],
    sizes: SetSizes,
    where: str,
) -> pd.DataFrame:
    """Refuse gene sets that data cannot be tested against, before anything is fitted.

    Parameters
    ----------
    symbols : iterable of str
        Symbols of the genes, "" for those without; of names of features see `symbols_of`.
    collections : mapping
        .gmt file of each collection.
    sizes : SetSizes
        Which sizes are tested.
    where : str
        The study and its sheet, for messages; may be empty.

    Returns
    -------
    DataFrame
        collection, sets, tested (sets of usable size), genes (of the data that are in any set).

    Raises
    ------
    InputError
        Genes without symbols, a file that cannot be read, or a collection without a usable set.
    """
    universe = frozenset(symbols) - {""}
    place = f"{where}, " if where else ""
    if not universe:
        raise InputError(
            f"{place}gene sets {', '.join(collections)}: no gene has a symbol, by which gene sets "
            "know genes; give the file a column `symbol` in var, or leave gene_sets empty"
        )
    rows = []
    for name, path in collections.items():
        sets = read_gmt(path)
        tested = within(sets, universe, sizes, f"{place}gene sets {name!r}")
        found = universe.intersection(chain.from_iterable(sets.values()))
        rows.append((name, len(sets), len(tested), len(found)))
    return pd.DataFrame(rows, columns=["collection", "sets", "tested", "genes"])


def why_of_no_use(places: Iterable[Path], sizes: tuple[int, int], features: Sequence[str]) -> str:
    """Return why the gene sets of a file cannot be set beside features; empty if they can.

    Parameters
    ----------
    places : iterable of Path
        Where the file may be. If it is in none, nothing is known: it is downloaded when needed.
    sizes : tuple of int
        Smallest and largest set that is tested.
    features : iterable of str
        Names of the features of the data.
    """
    files = [file for file in places if file.exists()]
    if not files:
        return ""
    try:
        symbols = symbols_of(features)["symbol"]
        check_gene_sets_match(symbols, {files[0].stem: files[0]}, SetSizes(*sizes), "")
    except InputError as error:
        return str(error)
    return ""
