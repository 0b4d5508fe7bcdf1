"""Own data: four cells are enough, and one row may be a study for each value of a column."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.runs import Plan
from bcnmf_pipeline.plan.sheets import load_yaml, merge
from bcnmf_pipeline.plan.studies import is_own
from conftest import ROOT

BASE = load_yaml(ROOT / "config" / "config.yaml")
ROW = {"study": "mine", "dataset": "cells.h5ad", "target": "arm=drug", "background": "arm=vehicle"}


@dataclass
class Seen:
    n_target: int = 200
    n_background: int = 150
    n_features: int = 5000
    values: str = "counts"
    label: str = ""
    obs: pd.DataFrame = field(default_factory=pd.DataFrame)
    features: pd.Index = field(default_factory=lambda: pd.Index(["ISG15"]))
    image_shape: list | None = None
    remarks: list = field(default_factory=list)


def cells():
    """Return 400 cells of four types and three arms; one type is in hardly any of them."""
    types = np.repeat(["B cells", "T cells", "b-cells", "rare"], [120, 120, 120, 40])
    arm = np.tile(["drug", "other", "vehicle", "vehicle"], 100)
    return pd.DataFrame({"cell_type": types, "arm": arm})


def own_plan(tmp_path, seen=None, changes=None, unmatched=None, **cells):
    row = ROW | cells
    path = tmp_path / "mine.tsv"
    path.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    methods = ["pca", "nmf", "bcnmf", "bcnmf_safeguarded", "shared_target"]
    settings = {"name": "mine", "studies": ["mine"], "methods": methods}
    asked = []

    def look(row, where):
        asked.append(row | {"where": where})
        return seen(row) if callable(seen) else seen or Seen()

    plan = Plan(
        merge(BASE, settings, {"sheets": {"studies": str(path)}}, changes or {}),
        lambda path: ROOT / path, ROOT / "workflow" / "schemas", "mine.yaml", look=look,
        unmatched=unmatched or (lambda place, sizes, seen: ""),
    )  # fmt: skip
    plan.asked = asked
    return plan


def test_four_cells_of_a_row_are_enough(tmp_path):
    plan = own_plan(tmp_path)
    row = plan.study("mine")
    assert row["group"] == row["title"] == "mine"
    assert (row["values"], row["n_top_features"], row["gene_sets"]) == ("counts", "3000", "core")
    assert plan.panels("mine") == ["embedding", "usages", "loadings", "objective"]
    assert plan.remarks["mine"] == [
        "200 target and 150 background samples; values: counts (found out); "
        "features: 3000 of 5000"
    ]  # fmt: skip
    assert list(plan.studies.values()) == [row]
    assert plan.asked[0]["where"] == f"{tmp_path}/mine.tsv, study mine"


def test_a_label_brings_scores_and_one_of_one_class_does_not(tmp_path):
    assert "scores" in own_plan(tmp_path, Seen(label="kind"), label="kind").panels("mine")
    alike = Seen(label="", remarks=["all target samples are 'a' in the label 'kind'"])
    plan = own_plan(tmp_path, alike, label="kind", panels="scores,loadings")
    assert plan.study("mine")["label"] == ""
    assert plan.panels("mine") == ["loadings"]
    assert plan.remarks["mine"][1] == alike.remarks[0]


def test_a_figure_that_compares_classes_is_left_out_without_a_label(tmp_path):
    plan = own_plan(tmp_path, Seen(label="kind"), label="kind", figure="single_cell")
    assert plan.study("mine")["figure"] == "single_cell"
    plan = own_plan(tmp_path, label="kind", figure="single_cell")
    assert plan.study("mine")["figure"] == ""
    left_out = "figure single_cell is left out: it compares classes of a label"
    assert left_out in plan.remarks["mine"]


def test_all_features_of_few_and_of_images_are_kept(tmp_path):
    assert own_plan(tmp_path, Seen(n_features=3000)).study("mine")["n_top_features"] == ""
    images = own_plan(tmp_path, Seen(n_features=6400, image_shape=[80, 80]))
    assert images.study("mine")["n_top_features"] == ""
    assert "basis" in images.panels("mine")
    assert images.gene_sets("mine") == []


def test_words_and_values_of_the_sheet_stand(tmp_path):
    plan = own_plan(tmp_path, n_top_features="all", panels="none", gene_sets="none", values="auto")
    row = plan.study("mine")
    assert (row["n_top_features"], row["gene_sets"], plan.panels("mine")) == ("", "", [])
    assert plan.asked[0]["values"] == ""
    kept = own_plan(tmp_path, n_top_features="700", panels="usages").study("mine")
    assert (kept["n_top_features"], kept["panels"]) == ("700", "usages")


def test_gene_sets_that_match_no_gene_are_left_out_or_refused(tmp_path):
    def none_matches(place, sizes, seen):
        return f"none of {place} with {sizes} is among {seen.features[0]}"

    plan = own_plan(tmp_path, unmatched=none_matches)
    assert plan.gene_sets("mine") == []
    assert plan.remarks["mine"][1] == (
        "tested against no gene sets: core has none for 'ISG15' and so on"
    )
    fault = r"none of config/gene_sets/core\.gmt with \(5, 500\) is among ISG15"
    with pytest.raises(InputError, match=rf"mine\.tsv, study mine, column gene_sets: {fault}"):
        own_plan(tmp_path, unmatched=none_matches, gene_sets="core")
    with pytest.raises(InputError, match=r"'cor' is none of the collections .*mean 'core'"):
        own_plan(tmp_path, gene_sets="cor")


def test_a_study_for_each_value_of_a_column(tmp_path):
    plan = own_plan(tmp_path, Seen(obs=cells()), each="cell_type", title="Drug")
    first, second, third = (plan.study(name) for name in plan.study_ids())
    # "B cells" and "b-cells" would be one folder where capitals do not count.
    assert first["study"].startswith("mine-B-cells-")
    assert second["study"] == "mine-T-cells"
    assert third["study"].startswith("mine-b-cells-")
    assert second["group"] == "mine"
    assert second["title"] == "Drug: T cells"
    assert second["each"] == "cell_type=T cells"
    assert second["target"] == "arm=drug;cell_type=T cells"
    assert second["background"] == "arm=vehicle;cell_type=T cells"
    assert plan.study_ids("mine") == plan.study_ids()
    assert plan.remarks["mine"] == [
        f"a study for each cell_type: {', '.join(plan.study_ids())}",
        "left out of cell_type, for fewer than 20 target or 20 background samples: "
        "rare (10 target, 20 background)",
    ]
    poisson = own_plan(
        tmp_path, Seen(obs=cells()), {"methods": ["nmf", "bcnmf_poisson"]}, each="cell_type"
    )
    assert poisson.remarks["mine"][-1].startswith("not fitted: bcnmf_poisson (no row in ")
    assert [len(poisson.remarks[study]) for study in poisson.study_ids()] == [1, 1, 1]
    # The values of the file are found out once.
    assert [row["values"] for row in plan.asked] == ["", "counts", "counts", "counts"]


def test_several_targets_against_one_background(tmp_path):
    plan = own_plan(tmp_path, Seen(obs=cells()), each="arm", target="arm=drug,other")
    assert plan.study_ids() == ["mine-drug", "mine-other"]
    assert [plan.study(name)["target"] for name in plan.study_ids()] == ["arm=drug", "arm=other"]
    assert {plan.study(name)["background"] for name in plan.study_ids()} == {"arm=vehicle"}


def test_a_study_that_each_makes_can_have_rows_and_seeds_of_its_own(tmp_path):
    sheet = tmp_path / "methods.tsv"
    sheet.write_text(
        "method\tlabel\talgorithm\tstudies\tvalues\tk\n"
        "pca\tPCA\tpca\tmine\tdefault\t3\npca\tPCA\tpca\tmine-T-cells\tdefault\t4\n"
    )
    changes = {"methods": ["pca"], "seeds": {"mine-T-cells": [3]}}
    changes["sheets"] = {"methods": str(sheet)}
    plan = own_plan(tmp_path, Seen(obs=cells()), changes, each="cell_type")
    found = [(run.k, run.seed) for study in plan.study_ids() for run in plan.runs(study, 0)]
    assert found == [(3, 0), (4, 3), (3, 0)]


def test_values_with_a_sign_of_the_syntax_are_escaped_and_seeds_are_those_of_the_group(tmp_path):
    obs = cells().replace({"T cells": "T, naive; CD4"})
    plan = own_plan(tmp_path, Seen(obs=obs), {"seeds": {"mine": [7]}}, each="cell_type")
    row = plan.study("mine-T--naive--CD4")
    assert row["target"] == r"arm=drug;cell_type=T\, naive\; CD4"
    assert {run.seed for run in plan.runs(row["study"], 0)} == {7}


EACH_FAULTS = [
    ({"each": "celltype"}, r"column each: the data have no column 'celltype' .*mean 'cell_type'"),
    (
        {"each": "arm", "target": "arm=drug;cell_type=rare"},
        r"0 of 1 values of 'arm' have 20 target",
    ),
    ({"each": "cell_type", "group": "drugs"}, "column group: found 'drugs'"),
    ({"each": "cell_type", "dataset": "mixseq", "values": "counts"}, "is for files of your own"),
]


@pytest.mark.parametrize(("changes", "message"), EACH_FAULTS)
def test_what_each_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        own_plan(tmp_path, Seen(obs=cells()), **changes)
    assert "mine.tsv, study" in str(caught.value)


def test_own_data_find_their_rows_by_what_their_values_are(tmp_path):
    counts, log = (own_plan(tmp_path, Seen(values=values)) for values in ("counts", "log"))
    assert counts.left_out("mine") == log.left_out("mine") == {}
    losses = [plan.method_row("mine", "shared_target")["loss"] for plan in (counts, log)]
    assert losses == ["poisson", "squared_error"]
    assert counts.method_row("mine", "bcnmf")["studies"] == "own"
    # Data of the pipeline do not get them.
    assert counts.study_ids() == ["mine"]
    pipeline = Plan(BASE, lambda path: ROOT / path, ROOT / "workflow" / "schemas")
    assert pipeline.left_out("mouse")["shared_target"].startswith("no row in ")


def test_methods_that_are_not_fitted_are_named(tmp_path):
    changes = {"methods": ["bcnmf", "bcnmf_poisson", "combined"]}
    plan = own_plan(tmp_path, Seen(values="log"), changes)
    why = "no row in methods.tsv"
    assert plan.left_out("mine") == {"bcnmf_poisson": why, "combined": why}
    assert plan.remarks["mine"][-1] == f"not fitted: bcnmf_poisson, combined ({why})"
    sheet = tmp_path / "methods.tsv"
    sheet.write_text(
        "method\tlabel\talgorithm\tstudies\tvalues\tk\n"
        "pca\tPCA\tpca\tmine\tdefault\t3\npca2\tPCA\tpca\tmine\tcounts\t3\n"
    )
    changes = {"methods": ["pca", "pca2"], "sheets": {"methods": str(sheet)}}
    plan = own_plan(tmp_path, Seen(values="log"), changes)
    assert plan.left_out("mine") == {"pca2": "fits counts, but the study's values are log"}


def test_own_data_are_one_replicate(tmp_path):
    assert own_plan(tmp_path, changes={"replicates": {"default": 5}}).replicates("mine") == [0]
    with pytest.raises(InputError, match=r"mine\.yaml, key replicates\.mine: 3, but 'cells\.h5ad'"):
        own_plan(tmp_path, changes={"replicates": {"mine": 3}})


def test_more_topics_than_the_data_can_give_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"study mine: method 'pca' has 10 topics .*at most 9"):
        own_plan(tmp_path, Seen(n_target=9))


def test_faults_of_all_studies_come_at_once(tmp_path):
    def look(row):
        raise InputError(f"{row['study']}: NaN")

    path = tmp_path / "mine.tsv"
    rows = [ROW, ROW | {"study": "other"}]
    path.write_text(
        "".join("\t".join(cells) + "\n" for cells in [ROW, *(r.values() for r in rows)])
    )
    settings = {"studies": ["mine", "other"], "sheets": {"studies": str(path)}}
    with pytest.raises(InputError, match="mine: NaN\nother: NaN"):
        Plan(
            merge(BASE, settings), lambda path: ROOT / path, ROOT / "workflow" / "schemas",
            look=lambda row, where: look(row),
        )  # fmt: skip


def test_files_that_a_rule_makes_are_only_checked(tmp_path):
    with pytest.raises(InputError, match=r"column values: cells\.h5ad may be made by a rule"):
        own_plan(tmp_path, lambda row: None)
    row = own_plan(tmp_path, lambda row: None, values="log").study("mine")
    assert (row["values"], row["n_top_features"], row["panels"]) == ("log", "", "")
    with pytest.raises(InputError, match="column each"):
        own_plan(tmp_path, lambda row: None, values="log", each="cell_type")


PATHS = [
    "cells.h5ad", "data/cells", "~/cells", "My Drive/cells (1).h5", "it's.loom", "a.csv.gz",
    r"C:\data\cells.h5ad", "$(x).h5ad", "x.7z",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_are_own_data(path):
    assert is_own(path)


@pytest.mark.parametrize("name", ["mixseq", "simulation_beta0.5", "minx", "simulation_beta0.5.5"])
def test_names_are_not(name):
    assert not is_own(name)


def test_a_folder_without_a_sign_of_a_path_is_own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "matrices").mkdir()
    assert is_own("matrices")
