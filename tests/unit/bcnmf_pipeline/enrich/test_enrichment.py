"""Gene sets, gene scores and enrichment, against counts by hand and planted sets."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, ttest_ind

from bcnmf import InputError
from bcnmf.persistence import Fit
from bcnmf_pipeline.enrich.enrichment import (
    GSEA_COLUMNS,
    ORA_COLUMNS,
    How,
    enrichr,
    over_representation,
    ranked_enrichment,
)
from bcnmf_pipeline.enrich.gene_sets import SetSizes, read_gmt, within
from bcnmf_pipeline.enrich.specificity import gene_scores
from bcnmf_pipeline.figures.enrichment import clean_term, plot_enrichment
from conftest import ROOT

GENES = [f"G{i}" for i in range(200)]
SETS = {"planted": GENES[:20], "other": GENES[100:130], "outside": ["X1", "X2"], "tiny": GENES[:2]}


def ranked(topics=2):
    """Topic 1 has the planted set on top; topic 2 has noise."""
    rng = np.random.default_rng(0)
    tables = []
    for topic in range(1, topics + 1):
        score = rng.random(len(GENES))
        if topic == 1:
            score[:20] += 1
        tables.append(
            pd.DataFrame({"topic": topic, "feature": GENES, "symbol": GENES, "score": score})
        )
    return pd.concat(tables, ignore_index=True)


def test_over_representation_is_the_hypergeometric_tail():
    genes = ranked()
    found = over_representation(genes, {"sets": SETS}, How(n_top=25), "study s, method m")
    assert tuple(found.columns) == ORA_COLUMNS
    assert not found["term"].isin(["outside", "tiny"]).any()
    for row in found.itertuples():
        top = genes[genes["topic"] == row.topic].nlargest(25, "score")["symbol"]
        overlap = len(set(top) & set(SETS[row.term]))
        assert row.overlap == overlap
        assert row.genes.split(";") == [gene for gene in top if gene in SETS[row.term]]
        expected = hypergeom.sf(overlap - 1, len(GENES), len(SETS[row.term]), 25)
        assert row.p_value == pytest.approx(expected)
        assert row.universe == 200
    best = found.iloc[0]
    assert (best["topic"], best["term"], best["overlap"]) == (1, "planted", 20)
    # Two topics and two tested sets: four tests, also those of which no row is left.
    assert best["p_adjusted"] == pytest.approx(4 * best["p_value"])


def test_top_genes_are_those_with_a_score():
    genes = ranked(1)
    genes.loc[genes["score"] < 1, "score"] = 0
    found = over_representation(genes, {"sets": SETS}, How(n_top=100), "s")
    assert list(found["n_top"]) == [20]
    genes["score"] = 0.0
    empty = over_representation(genes, {"sets": SETS}, How(), "s")
    assert empty.empty
    assert tuple(empty.columns) == ORA_COLUMNS
    assert ranked_enrichment(genes, {"sets": SETS}, How(permutations=50), "s").empty


def test_a_planted_set_leads_the_ranking_and_the_seed_comes_from_names():
    how = How(permutations=200)
    found = ranked_enrichment(ranked(), {"sets": SETS}, how, "study s")
    assert tuple(found.columns) == GSEA_COLUMNS
    best = found.iloc[0]
    assert (best["topic"], best["term"]) == (1, "planted")
    assert best["nes"] > 1.5
    assert best["p_value"] == pytest.approx(1 / 200)  # not zero: that is all the permutations tell
    assert set(best["leading_edge"].split(";")) <= set(SETS["planted"])
    pd.testing.assert_frame_equal(
        found, ranked_enrichment(ranked(), {"sets": SETS}, how, "study s")
    )


def test_features_with_one_symbol_count_once():
    genes = ranked(1)
    twin = genes.assign(feature=genes["feature"] + "-2", score=genes["score"] / 2)
    once = over_representation(genes, {"sets": SETS}, How(n_top=25), "s")
    pd.testing.assert_frame_equal(
        once,
        over_representation(pd.concat([twin, genes]), {"sets": SETS}, How(n_top=25), "s"),
    )


def test_genes_without_symbols_or_sets_without_genes_are_refused():
    genes = ranked(1)
    with pytest.raises(InputError, match="study s: no feature has a gene symbol"):
        over_representation(genes.assign(symbol=""), {"sets": SETS}, How(), "study s")
    with pytest.raises(InputError, match="none of the 200 genes is in any of the 1 sets"):
        over_representation(genes, {"sets": {"a": ["X1", "X2"]}}, How(), "study s")
    with pytest.raises(InputError, match=r"no set has 50 to 500 genes .*the largest has 30"):
        over_representation(genes, {"sets": SETS}, How(sizes=SetSizes(50, 500)), "study s")


def test_sets_lose_genes_that_were_not_tested():
    assert within({"a": ["G1", "X", "G2"]}, GENES, SetSizes(2, 5), "here") == {"a": ("G1", "G2")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no gene set"),
        ("A\tsource\n", r"line 1: 'A\\tsource' has 2 cells"),
        ("<!DOCTYPE html>\n<html>\n", "it looks like a web page"),
        ("A\tx\tG1\nA\tx\tG2\n", "line 2: the set 'A' stands twice"),
        ("A\tx\tG1\tG2\tG1\n", "the gene 'G1' stands twice"),
        ("A\tx\tG1\t\tG2\n", "an empty cell between genes"),
        ("\tx\tG1\n", "expected name, description"),
    ],
)
def test_a_file_that_is_no_gmt_is_refused(tmp_path, content, message):
    path = tmp_path / "sets.gmt"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_gmt(path)


def test_bytes_that_are_no_text_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "sets.gmt"
    with pytest.raises(InputError, match="no such file"):
        read_gmt(path)
    path.write_bytes(b"A\tb\tgen\xe9")
    with pytest.raises(InputError, match="line 1, character 8: byte 0xE9 is no UTF-8"):
        read_gmt(path)
    path.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(InputError, match="packed"):
        read_gmt(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\); expected a file of"):
        read_gmt(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_sets_are_read_as_spreadsheets_write_them(tmp_path, encoding):
    path = tmp_path / "my sets.gmt"
    text = "Set <b>é</b> & $x_1$\t\tA/B\t=cmd\t$g_1$\r\n\r\nB 50%\tna\t{g}\t\t\r\n"
    path.write_bytes(text.encode(encoding))
    assert read_gmt(path) == {"Set <b>é</b> & $x_1$": ("A/B", "=cmd", "$g_1$"), "B 50%": ("{g}",)}


def test_the_sets_that_ship_can_be_read():
    sets = read_gmt(ROOT / "config" / "gene_sets" / "core.gmt")
    assert {"MDM2", "CDKN1A", "GDF15"} <= set(sets["P53_TARGETS"])
    assert all(list(genes) == sorted(set(genes)) for genes in sets.values())
    for line in (ROOT / "config" / "gene_sets" / "core.gmt").read_text().splitlines():
        assert len(line.split("\t")[1]) > 10, "every set names its source"


def pair(seed=0, n=30, m=25, features=12, k=3):
    rng = np.random.default_rng(seed)
    usage, other, components = rng.random((n, k)), rng.random((m, k)), rng.random((k, features))
    sides = []
    for values in (usage @ components, 0.3 * other @ components):
        noisy = values + 0.1 * rng.random(values.shape)
        sides.append(ad.AnnData(sp.csr_matrix(noisy), var=pd.DataFrame(index=GENES[:features])))
    fit = Fit(
        usage, other, components, feature_names=np.array(GENES[:features]), info={"method": "m"}
    )
    return fit, *sides


def test_gene_scores_are_as_defined():
    fit, target, background = pair()
    table = gene_scores(fit, target, background)
    wide = table.pivot_table(index="topic", columns="feature", values="specificity")
    np.testing.assert_allclose(wide.sum(), 1)
    row = table[(table["topic"] == 2) & (table["feature"] == "G5")].iloc[0]
    added = fit.usage[:, 1].mean() * fit.components[1, 5]
    level = background.X.toarray()[:, 5].mean()
    assert row["contrast_specificity"] == pytest.approx(added / (added + level))
    assert row["score"] == pytest.approx(fit.components[1, 5] * added / (added + level))
    expected = ttest_ind(
        target.X.toarray()[:, 5], background.X.toarray()[:, 5], equal_var=False
    ).pvalue
    assert row["p_value"] == pytest.approx(expected)
    for _, part in table.groupby("topic"):
        assert part["score"].is_monotonic_decreasing
        assert list(part["rank"]) == list(range(1, 13))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_scaling_a_topic_changes_no_specificity_and_no_rank(seed, factor):
    fit, target, background = pair(seed)
    before = gene_scores(fit, target, background)
    fit.usage[:, 0] *= factor
    fit.components[0] /= factor
    after = gene_scores(fit, target, background)
    for name in ("specificity", "contrast_specificity"):
        np.testing.assert_allclose(
            *(t.sort_values(["topic", "feature"])[name] for t in (before, after)), rtol=1e-6
        )
    assert list(before["feature"]) == list(after["feature"])


def test_nothing_is_specific_where_there_is_nothing():
    fit, target, background = pair()
    fit.components[:, 3] = 0
    fit.usage[:, 1] = 0
    table = gene_scores(fit, target, background)
    assert (table.loc[table["feature"] == "G3", "specificity"] == 0).all()
    assert (table.loc[table["topic"] == 2, "score"] == 0).all()
    assert table[["specificity", "contrast_specificity", "score"]].notna().all().all()


def test_symbols_and_ids_come_from_the_data_or_from_names():
    fit, target, background = pair(features=3)
    names = ["ENSG00000141510", "TP53", "ENSMUSG00000059552.8"]
    for side in (target, background):
        side.var_names = names
    fit.feature_names = np.array(names)
    table = gene_scores(fit, target, background).drop_duplicates("feature").set_index("feature")
    assert list(table.loc[names, "symbol"]) == ["", "TP53", ""]
    assert list(table.loc[names, "ensembl_id"]) == [names[0], "", names[2]]
    target.var["symbol"], target.var["gene_id"] = ["a", "b", "c"], ["x", "y", "z"]
    table = gene_scores(fit, target, background).drop_duplicates("feature").set_index("feature")
    assert list(table.loc[names, "symbol"]) == ["a", "b", "c"]
    assert list(table.loc[names, "ensembl_id"]) == ["x", "y", "z"]


def test_signed_fits_and_other_features_are_refused():
    fit, target, background = pair()
    fit.components[0, 0] = -1
    with pytest.raises(InputError, match="method m: components or usages are signed"):
        gene_scores(fit, target, background)
    fit, target, background = pair()
    with pytest.raises(InputError, match="made from other features"):
        gene_scores(fit, target[:, :5], background)


def dots(figure):
    return figure.axes[0].collections[0]


def test_the_figure_shows_the_best_sets_of_every_topic():
    ora = over_representation(ranked(3), {"sets": SETS}, How(n_top=25), "s")
    figure = plot_enrichment(ora.assign(method="bcnmf", k=3, alpha=np.nan), method="bcnmf")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["planted"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1"]
    assert axes.get_title() == "bcNMF, K = 3"
    best = ora.iloc[0]
    np.testing.assert_allclose(
        dots(figure).get_array(), [min(-np.log10(best["p_adjusted"]), 10)], rtol=1e-6
    )
    np.testing.assert_allclose(dots(figure).get_sizes(), [60 * best["overlap"] / 20])


def test_the_figure_says_if_no_set_is_significant():
    ora = over_representation(ranked(1), {"sets": SETS}, How(n_top=25), "s")
    ora = ora.assign(method="nmf", k=3, alpha=np.nan, p_adjusted=0.5)
    for table, method in ((ora, "nmf"), (ora, "bcnmf"), (ora.iloc[:0], "nmf")):
        texts = [text.get_text() for text in plot_enrichment(table, method=method).axes[0].texts]
        assert texts == ["No gene set has an adjusted p-value of 0.05 or less"]


@pytest.mark.parametrize(
    ("term", "name"),
    [
        ("HALLMARK_P53_PATHWAY", "P53 pathway"),
        ("GOBP_RESPONSE_TO_DNA_DAMAGE", "Response to DNA damage"),
        ("MHC_CLASS_II", "MHC class II"),
        ("My own set", "My own set"),
    ],
)
def test_names_of_sets_are_made_readable(term, name):
    assert clean_term(term) == name


def test_long_names_are_broken_into_lines():
    assert max(map(len, clean_term("GOBP_" + "REGULATION_" * 9).split("\n"))) <= 44


def test_enrichr_is_asked_with_the_universe_and_its_silence_is_explained(monkeypatch):
    asked = {}

    def answer(gene_list, gene_sets, background, **_):
        asked.update(genes=gene_list, library=gene_sets, background=background)
        row = {
            "Term": "A", "P-value": 1e-6, "Odds Ratio": 3.0, "Genes": ";".join(gene_list[:3]),
        }  # fmt: skip
        return type("Answer", (), {"results": pd.DataFrame([row])})

    monkeypatch.setattr("gseapy.enrichr", answer)
    ours = over_representation(ranked(1), {"sets": SETS}, How(n_top=25), "s")
    found = enrichr(ranked(1), ["Library_2023"], How(n_top=25), "s", beside=ours)
    assert asked["library"] == ["Library_2023"]
    assert asked["background"] == sorted(GENES)
    assert len(asked["genes"]) == 25
    assert list(found["collection"]) == ["sets"] * len(ours) + ["Library_2023"]
    assert found.iloc[-1]["overlap"] == 3

    def silent(**_):
        raise Exception("no route")

    monkeypatch.setattr("gseapy.enrichr", silent)
    with pytest.raises(InputError, match=r"Enrichr gave no answer .*set enrichment.enrichr to"):
        enrichr(ranked(1), ["Library_2023"], How(), "s", beside=ours)
