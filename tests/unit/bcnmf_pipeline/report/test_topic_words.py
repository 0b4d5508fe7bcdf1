"""Topics in words."""

import numpy as np
import pandas as pd
import pytest

from bcnmf_pipeline.report.topic_words import sentences, topics_of
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
    _, found = topics_of(topics, tables["loadings"], method="bcnmf")
    text = sentences(found, "Genotype")[0]
    assert "shows no clear association with Genotype (adjusted p = 0.4)" in text
    assert "units" not in text
    topics = tables["topics"].assign(p_adjusted=1e-30, p_adjusted_units=0.2, favours="Ts65Dn")
    _, found = topics_of(topics, tables["loadings"], method="bcnmf")
    text = sentences(found, "Genotype")[0]
    assert "is used more where Genotype is Ts65Dn" in text
    assert "on means of units adjusted p = 0.2" in text
    assert len(sentences(found, "Genotype")) == 5
