"""Names of genes: taken apart, matched with gene sets before anything is fitted, tested by unit."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from bcnmf import InputError
from bcnmf.persistence import Fit
from bcnmf_pipeline.enrich.gene_sets import SetSizes, check_gene_sets_match, read_gmt, symbols_of
from bcnmf_pipeline.enrich.specificity import gene_names, gene_scores
from conftest import ROOT

CORE = ROOT / "config" / "gene_sets" / "core.gmt"


@pytest.mark.parametrize(
    ("name", "symbol", "ensembl_id"),
    [
        ("ISG15", "ISG15", ""),
        ("ENSG00000187608", "", "ENSG00000187608"),
        ("ENSMUSG00000035692.8", "", "ENSMUSG00000035692.8"),
        ("ISG15_ENSG00000187608", "ISG15", "ENSG00000187608"),
        ("HLA-A|ENSG00000206503.14", "HLA-A", "ENSG00000206503.14"),
        ("ENSG00000206503_HLA-A", "HLA-A", "ENSG00000206503"),
        ("RP11-34P13.7", "RP11-34P13.7", ""),
        ("nan", "nan", ""),
        ("01", "01", ""),
    ],
)
def test_a_name_is_an_id_a_symbol_or_both(name, symbol, ensembl_id):
    assert symbols_of([name]).iloc[0].to_dict() == {"symbol": symbol, "ensembl_id": ensembl_id}


def test_no_names_have_no_symbols():
    assert symbols_of([]).empty


def test_a_gene_without_a_symbol_in_var_has_none():
    var = pd.DataFrame({"symbol": ["TP53", None, "nan"]}, index=["a", "b", "c"])
    assert gene_names(ad.AnnData(np.ones((2, 3)), var=var))["symbol"].tolist() == [
        "TP53",
        "",
        "nan",
    ]


def test_what_matches_is_counted():
    sets = read_gmt(CORE)
    genes = [*next(iter(sets.values())), "nothing"]
    found = check_gene_sets_match(genes, {"core": CORE}, SetSizes(5, 500), "study s").iloc[0]
    assert (found["collection"], found["sets"], found["genes"]) == (
        "core",
        len(sets),
        len(genes) - 1,
    )
    assert found["tested"] >= 1


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (["ENSG00000187608"], "study s, gene sets core: no gene has a symbol"),
        (
            ["Isg15", "Mx1", "Ifit1"],
            r"none of the 3 genes .*such as Ifit1.* \(3 are the same but for",
        ),
        (["gene1", "gene2"], r"gene sets 'core': none of the 2 genes .*such as [^(]*\. Give gene"),
        (["ISG15", "MX1"], "no set has 5 to 500 genes among the 2 of the data"),
    ],
)
def test_gene_sets_that_do_not_fit_are_refused(genes, message):
    symbols = symbols_of(genes)["symbol"]
    with pytest.raises(InputError, match=message):
        check_gene_sets_match(symbols, {"core": CORE}, SetSizes(5, 500), "study s")


def null_pair(rng, paired, genes=400, donors=6, cells=25):
    """Return cells of 6 + 6 donors that differ, or of 6 that are on both sides; nothing else."""
    rows = donors * cells
    own = rng.normal(size=(2 * donors, genes), scale=0.4)
    made = []
    for side in range(2):
        donor = np.repeat(np.arange(donors), cells)
        levels = own[donor] if paired else own[donor + side * donors]
        values = rng.poisson(np.exp(levels)).astype(np.float32)
        name = donor if paired else donor + side * donors
        obs = pd.DataFrame(
            {"donor": [f"d{i}" for i in name]}, index=[f"{side}-{i}" for i in range(rows)]
        )
        made.append(ad.AnnData(sp.csr_matrix(values), obs=obs))
    components = rng.random((2, genes))
    fit = Fit(
        rng.random((rows, 2)), rng.random((rows, 2)), components,
        feature_names=made[0].var_names.to_numpy(dtype=str), info={"method": "m"},
    )  # fmt: skip
    return fit, *made


@pytest.mark.parametrize("paired", [False, True], ids=["6 + 6 donors", "6 donors on both sides"])
def test_genes_that_differ_between_donors_alone_are_not_found_by_unit(paired):
    rng = np.random.default_rng(0)
    small = []
    for _ in range(3):
        fit, *sides = null_pair(rng, paired)
        table = gene_scores(fit, *sides, unit="donor").drop_duplicates("feature")
        small.append([(table[name] < 0.05).mean() for name in ("p_value", "p_value_units")])
        assert (table["p_adjusted_units"] >= table["p_value_units"]).all()
    of_cells, of_units = np.mean(small, axis=0)
    assert 0.03 < of_units < 0.07
    assert paired or of_cells > 0.3


def test_units_on_both_sides_are_tested_in_pairs():
    fit, target, background = null_pair(np.random.default_rng(1), True, genes=20)
    means = [
        pd.DataFrame(side.X.toarray().astype(float)).groupby(side.obs["donor"].to_numpy()).mean()
        for side in (target, background)
    ]
    table = gene_scores(fit, target, background, unit="donor")
    found = table[table["topic"] == 1].set_index("feature")["p_value_units"]
    np.testing.assert_allclose(found[target.var_names], stats.ttest_rel(*means).pvalue, rtol=1e-4)


def test_without_units_on_both_sides_there_is_no_test_of_units():
    fit, target, background = null_pair(np.random.default_rng(1), True, genes=20)
    del background.obs["donor"]
    for unit in ("donor", ""):
        table = gene_scores(fit, target, background, unit=unit)
        assert table[["p_value_units", "p_adjusted_units"]].isna().all(axis=None)
        assert table["p_value"].notna().all()
