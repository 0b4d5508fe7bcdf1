"""Topics in words."""

import numpy as np
import pandas as pd
import pytest

from bcnmf_pipeline.report.topic_words import introduction, sentences, topics_of
from plot_tables import study_tables


@pytest.fixture(scope="module")
def tables():
    return study_tables(seeds=2)


def test_topics_come_by_association_with_the_features_that_lead_them(tables):
    one, topics = topics_of(tables["topics"], tables["loadings"], method="bcnmf")
    assert (one.method, one.seed) == ("bcnmf", 0)
    of_fit = tables["topics"].query("method == 'bcnmf' and seed == 0")
    assert topics[0].number == of_fit.sort_values("p_value")["topic"].iloc[0]
    p_values = [topic.p_adjusted for topic in topics]
    assert p_values == sorted(p_values)
    loadings = tables["loadings"].query(
        f"method == 'bcnmf' and seed == 0 and topic == {topics[0].number}"
    )
    assert topics[0].leading == loadings.nsmallest(8, "rank")["feature"].tolist()


def test_gene_scores_and_gene_sets_are_used_where_there_are_some(tables):
    _, (first, *_) = topics_of(tables["topics"], tables["loadings"], method="bcnmf")
    key = {"method": "bcnmf", "k": 15, "alpha": 1.0, "seed": 0, "topic": first.number}
    genes = pd.DataFrame(
        [key | {"rank": 1, "feature": "MDM2"}, key | {"rank": 2, "feature": "FAS"}]
    )
    ora = pd.DataFrame(
        [
            key | {"term": "P53_TARGETS", "p_adjusted": 1e-9},
            key | {"term": "OTHER", "p_adjusted": 0.5},
            key | {"method": "nmf", "term": "NOT_OURS", "p_adjusted": 1e-20},
        ]
    )
    _, topics = topics_of(
        tables["topics"], tables["loadings"], method="bcnmf", genes=genes, ora=ora
    )
    assert topics[0].leading == ["MDM2", "FAS"]
    assert topics[0].sets == [("P53_TARGETS", 1e-9)]
    assert topics[1].sets == []
    text = sentences(topics, "TP53")[0]
    assert "is led by MDM2, FAS" in text
    assert "Over-represented: P53_TARGETS (adjusted p = 1×10⁻⁹)" in text


def test_a_sentence_claims_no_more_than_the_test(tables):
    topics = tables["topics"].assign(p_adjusted=0.4, p_adjusted_units=np.nan)
    fit, found = topics_of(topics, tables["loadings"], method="bcnmf")
    text = sentences(found, "Genotype")[0]
    assert "shows no clear association with Genotype (adjusted p = 0.4 over samples)" in text
    assert "units" not in text
    assert "so p-values are over samples. Samples of one donor or batch are not" in (
        introduction(fit, {}, "", found)
    )
    assert len(sentences(found, "Genotype")) == 5


def test_where_there_are_units_their_p_value_decides(tables):
    of_units = {"p_adjusted": 1e-30, "favours": "Ts65Dn", "auroc": 0.93}
    topics = tables["topics"].assign(p_adjusted_units=0.2, **of_units)
    fit, found = topics_of(topics, tables["loadings"], method="bcnmf")
    assert (
        "shows no clear association with Genotype (adjusted p = 0.2 on means of units)"
        in (sentences(found, "Genotype")[0])
    )
    assert "not independent" not in introduction(fit, {}, "", found)
    topics = tables["topics"].assign(p_adjusted_units=0.02, **of_units)
    _, found = topics_of(topics, tables["loadings"], method="bcnmf")
    text = sentences(found, "Genotype")[0]
    assert "is used more where Genotype is Ts65Dn" in text
    assert "(AUROC 0.93, adjusted p = 0.02 on means of units)" in text


def test_the_area_stands_beside_the_class_that_has_it(tables):
    """Of three classes: that of the row, not the class with the highest mean usage."""
    usage = tables["samples"].assign(usage_1=lambda t: (t["unit"] == "m00") * 1000.0)
    kinds = usage.drop_duplicates("sample").set_index("sample")["unit"].str[-1]
    topics = tables["topics"].assign(p_adjusted=1e-9, favours="b", auroc=0.97)
    _, found = topics_of(
        topics, tables["loadings"], method="bcnmf", samples=usage, columns={"kind": kinds}
    )
    (first,) = [topic for topic in found if topic.number == 1]
    assert first.used[0].group == "0"
    assert "is used more where kind is b (AUROC 0.97, " in sentences([first], "kind")[0]


def test_without_a_label_topics_come_by_usage_and_say_where_they_are_used(tables):
    none = {"statistic": np.nan, "p_value": np.nan, "p_adjusted": np.nan, "auroc": np.nan}
    topics = tables["topics"].assign(favours="", p_adjusted_units=np.nan, **none)
    rows = topics.query("method == 'bcnmf' and seed == 0")
    usage = tables["samples"]
    kinds = pd.Series(
        np.where(np.arange(270) < 30, "T cells", "others"), usage["sample"].unique(), dtype=object
    )
    top = f"usage_{rows.sort_values('mean_usage')['topic'].iloc[-1]}"
    of_fit = (usage["method"] == "bcnmf") & (usage["seed"] == 0)
    here = of_fit & usage["sample"].map(kinds).eq("T cells")
    usage = usage.assign(**{top: np.where(here, 5.0, np.where(of_fit, 1.0, usage[top]))})
    fit, found = topics_of(
        topics, tables["loadings"], method="bcnmf", samples=usage, columns={"cell type": kinds}
    )
    shares = [topic.share for topic in found]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    text = sentences(found, "")[0]
    assert text.startswith(f"Topic {found[0].number} is {100 * shares[0]:.0f}% of all usage, most ")
    assert "where cell type is T cells (5 times). It is led by" in text
    assert "()" not in " ".join(sentences(found, ""))
    assert "nan" not in " ".join(sentences(found, ""))
    assert "Topics by how much they are used; features" in introduction(fit, {}, "", found)


def test_a_topic_that_others_do_not_use_is_only_there(tables):
    usage = tables["samples"].assign(usage_1=lambda t: (t["label"] == "Control") * 1.0)
    labels = usage.drop_duplicates("sample").set_index("sample")["label"]
    _, found = topics_of(
        tables["topics"], tables["loadings"], method="bcnmf", samples=usage,
        columns={"Genotype": labels},
    )  # fmt: skip
    (first,) = [topic for topic in found if topic.number == 1]
    assert [(use.group, use.factor) for use in first.used] == [("Control", "only there")]


def test_stability_is_that_of_the_table_or_missing(tables):
    topics = tables["topics"].assign(stability=lambda t: t["topic"] / 100)
    _, found = topics_of(topics, tables["loadings"], method="bcnmf")
    assert {topic.number: topic.stability for topic in found}[7] == 0.07
    _, found = topics_of(tables["topics"], tables["loadings"], method="bcnmf")
    assert all(np.isnan(topic.stability) for topic in found)
