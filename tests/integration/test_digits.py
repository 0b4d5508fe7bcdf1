"""Digits on natural images, from the real files through the real rules, with a fifth of digits."""

import json
import shutil

import anndata as ad
import numpy as np
import pytest

from bcnmf_pipeline.record.tables import read_table
from conftest import TINY

pytestmark = [pytest.mark.long, pytest.mark.shared]
FILES = (
    "mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz", "grass/grass28.npz",
)  # fmt: skip
STUDIES = ("digits_two", "digits_ten_published")


@pytest.fixture(scope="module")
def digits(shared_data, tmp_path_factory):
    from conftest import ROOT, Workflow

    folder = tmp_path_factory.mktemp("digits")
    for file in FILES:
        if not (shared_data / file).is_file():
            pytest.skip(f"{shared_data} has no {file}")
        (folder / "mirror" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / file, folder / "mirror" / file)
    settings = TINY | {
        "name": "digits", "studies": list(STUDIES),
        "methods": ["nmf", "cpca_published", "bcnmf_safeguarded", "combined"],
        "replicates": {"default": 1, "digits": 1, "digits_two": 2}, "mnist": {"share": 0.02},
        "mirror": str(folder / "mirror"),
    }  # fmt: skip
    run = Workflow(ROOT, folder)
    done = run("results/digits/tables/scores.tsv", "figure_digits", settings=settings)
    assert done.returncode == 0, done.output
    return folder / "results" / "digits"


@pytest.fixture(scope="module")
def values(digits):
    """Return ARI by (study, method, replicate, score), of the first alpha."""
    scores = read_table(digits / "tables" / "scores.tsv")
    key = ["study", "method", "replicate", "score"]
    return scores.drop_duplicates(key).set_index(key)["value"]


def test_the_contrast_finds_the_digits_and_plain_nmf_does_not(values):
    # By the relative contrast: the absolute one of the paper depends on the number of digits.
    for split in (0, 1):
        assert values["digits_two", "bcnmf_safeguarded", split, "ari_usage"] > 0.7
        assert values["digits_two", "nmf", split, "ari_usage"] < 0.4


def test_splits_differ_and_pairs_are_what_they_should_be(digits):
    drawn = []
    for split in "01":
        folder = digits / "pairs" / "digits_two" / split
        target, background = (
            ad.read_h5ad(folder / f"{side}.h5ad") for side in ("target", "background")
        )
        assert target.shape == (138 + 157, 784)
        assert background.shape == (650, 784)
        assert not set(target.obs["image"]) & set(background.obs["image"])
        drawn.append(set(background.obs["image"]))
    assert 200 < len(drawn[0] & drawn[1]) < 450
    record = json.loads((digits / "pairs" / "digits_two" / "0" / "pair.json").read_text())
    assert record["labels"] == {"0": 138, "1": 157}
    assert "drawn from 10000 of MNIST" in record["source"]["description"]


def test_combined_bases_have_a_fit_a_number_of_topics(digits):
    scores = read_table(digits / "tables" / "scores.tsv")
    combined = scores[(scores["method"] == "combined") & (scores["score"] == "ari_usage")]
    assert set(combined["study"]) == {"digits_two"}
    assert set(combined["k"]) == {2, 10}
    assert combined["alpha"].isna().all()
    # With two topics, each has to be a background pattern and a digit at once.
    best = combined.groupby("k")["value"].mean()
    assert best[10] > best[2] + 0.2


def test_published_fours_are_fives(digits):
    target = ad.read_h5ad(digits / "pairs" / "digits_ten_published" / "0" / "target.h5ad")
    fours = target.obs[target.obs["digit"] == "4"]
    assert set(fours["drawn_from"]) == {"5"}
    assert len(fours) == 136


def test_merged_scores_stand_beside_the_plain_ones_where_asked(digits):
    scores = read_table(digits / "tables" / "scores.tsv")
    merged = scores[scores["score"] == "ari_usage_merged"]
    assert set(merged["study"]) == {"digits_ten_published"}
    # Not the paper's size: no reported values beside it.
    assert scores["reported"].isna().all()


def test_the_figures_are_drawn(digits):
    for study in STUDIES:
        pdf = digits / "figures" / study / "digits.pdf"
        assert pdf.stat().st_size > 10_000
        assert pdf.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    examples = read_table(digits / "evaluation" / "digits_two" / "0" / "examples.parquet")
    assert np.isfinite(examples["value"]).all()
