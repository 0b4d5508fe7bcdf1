"""What the genes of topics are known for: over-representation and ranked gene sets, offline."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gseapy
import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.evidence.units import benjamini_hochberg
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.enrich.gene_sets import SetSizes, within

GeneSets = Mapping[str, Sequence[str]]

ORA_COLUMNS = (
    "topic", "collection", "term", "overlap", "set_size", "n_top", "universe", "odds_ratio",
    "p_value", "p_adjusted", "genes",
)  # fmt: skip
GSEA_COLUMNS = (
    "topic", "collection", "term", "es", "nes", "set_size", "p_value", "p_adjusted", "fdr_gseapy",
    "leading_edge",
)  # fmt: skip


@dataclass(frozen=True)
class How:
    """Settings of the tests.

    Attributes
    ----------
    n_top : int
        Genes of a topic that count as its top.
    sizes : SetSizes
        Which sets are tested.
    permutations : int
        Permutations of GSEA.
    """

    n_top: int = 100
    sizes: SetSizes = field(default_factory=SetSizes)
    permutations: int = 1000


def over_representation(
    genes: pd.DataFrame, collections: Mapping[str, GeneSets], how: How, where: str
) -> pd.DataFrame:
    """Test whether sets are over-represented among the top genes of topics (hypergeometric).

    The universe is what the fit saw: the named genes of `genes`. Top genes without a score above
    zero do not count. P-values are adjusted (Benjamini and Hochberg) over all topics and all tested
    sets of a collection, those without any top gene included.

    Parameters
    ----------
    genes : DataFrame
        topic, symbol, score: every gene of every topic, see `specificity.gene_scores`.
    collections : mapping of name to gene sets
        Sets by name.
    how : How
        Settings.
    where : str
        Study and method, for messages.

    Returns
    -------
    DataFrame
        `ORA_COLUMNS`, by collection and p-value; a row for each topic and set that share a gene.

    Raises
    ------
    InputError
        Genes have no symbols, or a collection has no set that can be tested.
    """
    universe = _universe(genes, where)
    tables = []
    for name, sets in collections.items():
        tested = within(sets, universe, how.sizes, f"{where}, gene sets {name!r}")
        rows = [
            _enriched(table, tested, universe, how.n_top).assign(
                topic=topic, collection=name, universe=len(universe)
            )
            for topic, table in _topics(genes)
        ]
        tables.append(_adjusted(rows, genes["topic"].nunique() * len(tested)))
    return _joined(tables, ORA_COLUMNS)


def ranked_enrichment(
    genes: pd.DataFrame, collections: Mapping[str, GeneSets], how: How, where: str
) -> pd.DataFrame:
    """Test whether sets gather at the top of the genes ranked by score (pre-ranked GSEA).

    Parameters and errors are those of `over_representation`.

    Returns
    -------
    DataFrame
        `GSEA_COLUMNS`: normalised enrichment score (positive: at the top of the topic), nominal
        p-value of gseapy (at least one over the permutations), the same adjusted over all topics
        and tested sets of the collection (`p_adjusted`), and gseapy's own q-value within the topic.

    References
    ----------
    Subramanian et al. 2005, PNAS 102:15545; Fang, Liu & Peltz 2023, Bioinformatics 39:btac757.
    """
    universe = _universe(genes, where)
    tables = []
    for name, sets in collections.items():
        tested = within(sets, universe, how.sizes, f"{where}, gene sets {name!r}")
        rows = [
            _ranked(table, tested, how, derive_seed("gsea", where, name, topic)).assign(
                topic=topic, collection=name
            )
            for topic, table in _topics(genes)
        ]
        tables.append(_adjusted(rows, sum(map(len, rows))))
    return _joined(tables, GSEA_COLUMNS)


def enrichr(
    genes: pd.DataFrame, libraries: Sequence[str], how: How, where: str, beside: pd.DataFrame
) -> pd.DataFrame:
    """Ask the Enrichr server about the top genes of topics; rows are added to a table of ours.

    This sends the top genes and the tested universe to maayanlab.cloud, so it is done only where
    the configuration asks for it. Libraries change without notice: state the day.

    Parameters
    ----------
    genes, how, where
        See `over_representation`.
    libraries : sequence of str
        Names of Enrichr's libraries, for instance "GO_Biological_Process_2023".
    beside : DataFrame
        Rows of `ORA_COLUMNS` to put first.

    Raises
    ------
    InputError
        The server cannot be reached, or does not know a library.
    """
    universe = _universe(genes, where)
    tables = [beside]
    for library in libraries:
        rows = []
        for topic, table in _topics(genes):
            top = table.loc[table["score"] > 0, "symbol"].head(how.n_top).tolist()
            found = _asked(top, library, universe, where)
            rows.append(found.assign(topic=topic, collection=library, universe=len(universe)))
        tables.append(_adjusted(rows, sum(map(len, rows))))
    return _joined(tables, ORA_COLUMNS)


def _asked(top: list[str], library: str, universe: frozenset[str], where: str) -> pd.DataFrame:
    if not top:
        return pd.DataFrame()
    try:
        found = gseapy.enrichr(
            gene_list=top, gene_sets=[library], background=sorted(universe), outdir=None,
            no_plot=True, cutoff=1.0,
        ).results  # fmt: skip
    except Exception as error:  # gseapy raises plain Exceptions for whatever the server says
        raise InputError(
            f"{where}: Enrichr gave no answer about the library {library!r} ({error}). Without a "
            "network, or to do without it, set enrichment.enrichr to []; gene sets from files need "
            "no network"
        ) from error
    return _as_ours(found, top)


def _universe(genes: pd.DataFrame, where: str) -> frozenset[str]:
    named = frozenset(genes.loc[genes["symbol"] != "", "symbol"])
    if not named:
        raise InputError(
            f"{where}: no feature has a gene symbol (such as {genes['feature'].iloc[0]!r}); give "
            "the file a column `symbol` in var, or leave gene_sets empty for this study"
        )
    return named


def _topics(genes: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield topics with one row a symbol: the best of several features."""
    named = genes[genes["symbol"] != ""].sort_values(
        ["topic", "score", "symbol"], ascending=[True, False, True], kind="stable"
    )
    for topic, table in named.groupby("topic"):
        yield int(topic), table.drop_duplicates("symbol")


def _enriched(
    table: pd.DataFrame, tested: GeneSets, universe: frozenset[str], n_top: int
) -> pd.DataFrame:
    top = table.loc[table["score"] > 0, "symbol"].head(n_top).tolist()
    if not top or not any(set(top).intersection(genes) for genes in tested.values()):
        return pd.DataFrame()
    found = gseapy.enrich(
        gene_list=top, gene_sets={name: list(genes) for name, genes in tested.items()},
        background=set(universe), outdir=None, no_plot=True, cutoff=1.0,
    ).results  # fmt: skip
    return _as_ours(found, top).assign(
        set_size=[len(tested[term]) for term in found["Term"]],
    )


def _as_ours(found: pd.DataFrame, top: list[str]) -> pd.DataFrame:
    """Return gseapy's table under our names; the size of sets is not in that of a server."""
    return pd.DataFrame(
        {
            "term": found["Term"],
            "overlap": [genes.count(";") + 1 for genes in found["Genes"]],
            "set_size": np.nan,
            "n_top": len(top),
            "odds_ratio": found["Odds Ratio"].astype(float),
            "p_value": found["P-value"].astype(float),
            "genes": [_in_order(genes, top) for genes in found["Genes"]],
        }
    )


def _in_order(genes: str, ranked: list[str]) -> str:
    """Return genes by rank: gseapy gives them in the order of a set, which differs run by run."""
    members = set(genes.split(";"))
    return ";".join(gene for gene in ranked if gene in members)


def _ranked(table: pd.DataFrame, tested: GeneSets, how: How, seed: int) -> pd.DataFrame:
    ranks = table.set_index("symbol")["score"]
    if ranks.nunique() < 2:  # a topic without loadings ranks nothing
        return pd.DataFrame(columns=list(GSEA_COLUMNS))
    done: Any = gseapy.prerank(
        rnk=ranks, gene_sets={name: list(genes) for name, genes in tested.items()},
        min_size=how.sizes.smallest, max_size=how.sizes.largest,
        permutation_num=how.permutations, seed=seed, threads=1, outdir=None, no_plot=True,
        verbose=False,
    )  # fmt: skip
    found = done.res2d
    p_value = found["NOM p-val"].astype(float).clip(lower=1 / how.permutations)
    return pd.DataFrame(
        {
            "term": found["Term"],
            "es": found["ES"].astype(float),
            "nes": found["NES"].astype(float),
            "set_size": [len(tested[term]) for term in found["Term"]],
            "p_value": p_value,
            "fdr_gseapy": found["FDR q-val"].astype(float),
            "leading_edge": found["Lead_genes"].astype(str),
        }
    )


def _adjusted(tables: list[pd.DataFrame], tests: int) -> pd.DataFrame:
    """Join and adjust; tests without a row found nothing, so that their p-value is 1."""
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame()
    joined = pd.concat(tables, ignore_index=True)
    padded = np.concatenate([joined["p_value"], np.ones(max(tests - len(joined), 0))])
    joined["p_adjusted"] = benjamini_hochberg(padded)[: len(joined)]
    return joined.sort_values(["p_value", "topic", "term"], kind="stable")


def _joined(tables: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(tables, ignore_index=True)[list(columns)]


# It logs an error where a list shares no gene with any set, which is no error here.
logging.getLogger("gseapy").setLevel(logging.CRITICAL)
