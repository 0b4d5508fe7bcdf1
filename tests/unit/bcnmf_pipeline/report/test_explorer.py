"""What the interactive map of the report is given."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bcnmf_pipeline.report.explorer import MAX_SAMPLES, explorer_json, top_values
from plot_tables import study_tables

HOSTILE = "</script><script>alert('x')</script>&\u2028"


@pytest.fixture(scope="module")
def samples():
    return study_tables(seeds=2)["samples"]


def decoded(text, kind):
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def read(samples, *more, **options):
    options = {"study": "mouse", "label_name": "Genotype"} | options
    return json.loads(explorer_json(samples, *more, **options))


def test_coordinates_and_usages_come_back_up_to_their_precision(samples):
    page = read(samples, labels={"bcnmf": "bcNMF", "nmf": "NMF"})
    assert [one["name"] for one in page["maps"]] == ["bcNMF, K = 15, α = 1", "NMF, K = 15"]
    rows = samples.query("method == 'bcnmf' and seed == 0")
    assert page["samples"] == rows["sample"].tolist()
    assert page["start"] == 0
    assert read(samples, start="nmf")["start"] == 1
    x, y = (decoded(page["maps"][0][axis], "<u2").astype(float) for axis in "xy")
    # One scale for both axes: shapes stay as they are.
    for stored, true in ((x, rows["umap_1"]), (y, rows["umap_2"])):
        slope, offset = np.polyfit(true, stored, 1)
        np.testing.assert_allclose(stored, slope * true + offset, atol=0.6)
    assert np.polyfit(rows["umap_1"], x, 1)[0] == pytest.approx(
        np.polyfit(rows["umap_2"], y, 1)[0], rel=1e-3
    )
    usage = decoded(page["maps"][0]["topics"][2], "u1") / 255
    true = rows["usage_3"].to_numpy()
    np.testing.assert_allclose(usage, (true - true.min()) / np.ptp(true), atol=0.002)


def test_classes_have_codes_and_signed_methods_components(samples):
    page = read(samples, unit="mouse")
    assert [one["name"] for one in page["classes"]] == ["Genotype", "mouse"]
    genotype = page["classes"][0]
    rows = samples.query("method == 'pca'")
    found = [genotype["names"][code] for code in decoded(genotype["codes"], "<u2")]
    assert found == rows["label"].tolist()
    # 18 mice: eleven have colours, the others are one class.
    assert len(page["classes"][1]["names"]) == 12
    assert page["classes"][1]["names"][-1] == "other"
    assert page["maps"][0]["noun"] == "Component"
    assert page["maps"][-1]["noun"] == "Topic"


def test_the_target_score_is_a_colour_of_the_methods_that_have_one(samples):
    scored = samples.assign(
        target_score=samples["usage_1"].where(samples["method"].isin(["nmf", "bcnmf"]))
    )
    page = read(scored)
    assert [len(one["scores"]) for one in page["maps"]] == [0, 1, 0, 1]
    (score,) = page["maps"][-1]["scores"]
    assert score["name"] == "target score"
    true = scored.query("method == 'bcnmf' and seed == 0")["usage_1"].to_numpy()
    np.testing.assert_allclose(
        decoded(score["values"], "u1") / 255, (true - true.min()) / np.ptp(true), atol=0.002
    )
    assert all(one["scores"] == [] for one in read(samples)["maps"])


def test_without_a_label_there_is_no_such_colour(samples):
    page = read(samples.assign(label=""), label_name="", unit="mouse")
    assert [one["name"] for one in page["classes"]] == ["mouse"]


def test_annotations_and_genes_are_further_colours(samples):
    names = samples["sample"].unique()
    more = pd.DataFrame({"sample": names[::-1], "age": ["old", None] * (len(names) // 2)})
    genes = pd.DataFrame({"sample": names, "TP53": np.arange(len(names), dtype=np.float32)})
    page = read(samples, more, genes)
    age = page["classes"][1]
    assert age["names"] == ["old", "other", "missing"]
    codes = decoded(age["codes"], "<u2")
    assert codes[-1] == 0  # the last sample stands first in the annotations
    assert (codes == 2).sum() == len(names) // 2
    assert page["genes"][0]["name"] == "gene TP53"
    assert decoded(page["genes"][0]["values"], "u1")[-1] == 255


def test_of_many_samples_some_are_drawn_the_same_ones_every_time():
    n = MAX_SAMPLES + 500
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "method": "bcnmf", "k": 1, "alpha": 1.0, "replicate": 0, "seed": 0,
            "sample": [f"c{i}" for i in range(n)], "label": "a", "unit": "",
            "umap_1": rng.normal(size=n), "umap_2": rng.normal(size=n), "usage_1": rng.random(n),
        }
    )  # fmt: skip
    page = read(table)
    assert page["n"] == MAX_SAMPLES == len(set(page["samples"]))
    assert f"drawn at random from {n}" in page["note"]
    assert page == read(table)
    assert page["samples"] != read(table, study="other")["samples"]
    assert len(explorer_json(table, study="mouse")) < 1_000_000


def test_no_name_can_end_the_script_that_it_stands_in(samples):
    text = explorer_json(samples.replace("Control", HOSTILE), study="mouse")
    assert "<" not in text
    assert ">" not in text
    assert HOSTILE in json.loads(text)["classes"][0]["names"]


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_values_of_some_features(container):
    values = container(np.arange(12.0).reshape(3, 4))
    table = top_values(["a", "b", "c", "d"], values, ["d", "b"], ["s1", "s2", "s3"])
    assert table.columns.tolist() == ["sample", "d", "b"]
    assert table["d"].tolist() == [3, 7, 11]
    assert table["b"].tolist() == [1, 5, 9]
