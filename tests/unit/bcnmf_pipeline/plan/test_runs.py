"""From a configuration to a list of runs."""

from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.runs import Plan, Run
from bcnmf_pipeline.plan.sheets import load_yaml, merge
from bcnmf_pipeline.plan.studies import load_studies

ROOT = Path(__file__).resolve().parents[4]
BASE = load_yaml(ROOT / "config" / "config.yaml")


def plan(changes=None, sheets=None):
    settings = merge(BASE, changes or {}, {"sheets": sheets or {}})
    return Plan(settings, lambda path: ROOT / path, ROOT / "workflow" / "schemas", "my.yaml")


def test_mouse_runs_the_published_setting_for_five_seeds():
    runs = [run for run in plan().runs("mouse", 0) if run.method == "bcnmf"]
    assert runs == [Run("mouse", 0, "bcnmf", 15, "1", seed) for seed in range(5)]
    row = plan().method_row("mouse", "bcnmf")
    assert (row["contrast"], row["solver"], row["max_iter"], row["tol"]) == (
        "absolute", "mu", "100", "0",
    )  # fmt: skip


def test_methods_without_randomness_run_once_and_auto_makes_three():
    runs = plan().runs("mouse", 0)
    assert [run.seed for run in runs if run.method == "pca"] == [0]
    assert [run.alpha for run in runs if run.method == "cpca_auto"] == ["auto1", "auto2", "auto3"]
    assert {run.alpha for run in runs if run.method == "nmf"} == {"none"}


def test_no_objective_is_drawn_where_no_method_iterates():
    assert "objective" in plan({"studies": ["mouse"]}).panels("mouse")
    alone = plan({"studies": ["mouse"], "methods": ["pca", "cpca_auto"]})
    assert alone.panels("mouse") == ["scores", "embedding", "usages", "loadings"]
    assert alone.enriched_methods("mouse") == []


def test_groups_and_words_choose_studies():
    by_group = plan({"studies": ["simulation"]})
    assert by_group.study_ids() == [f"simulation_beta{beta}" for beta in (0, 1, 2, 4, 8, 16)]
    assert plan({"studies": "mouse simulation_beta8"}).study_ids() == ["mouse", "simulation_beta8"]
    assert by_group.replicates("simulation_beta8") == list(range(10))
    assert by_group.replicates("mouse") == [0]


def test_adding_a_study_or_method_changes_no_other_run():
    few = plan({"studies": ["mouse"], "methods": ["bcnmf"]}).runs("mouse", 0)
    many = plan({"studies": ["simulation", "mouse"]}).runs("mouse", 0)
    assert set(few) <= set(many)


def test_own_study_row_beats_group_beats_star(tmp_path):
    sheet = tmp_path / "methods.tsv"
    sheet.write_text(
        "method\tlabel\talgorithm\tstudies\tvalues\tk\n"
        "pca\tPCA\tpca\t*\tdefault\t3\n"
        "pca\tPCA\tpca\tsimulation\tdefault\t4\n"
        "pca\tPCA\tpca\tsimulation_beta8\tdefault\t5\n"
    )
    studies = ["simulation", "mouse"]
    chosen = plan({"methods": ["pca"], "studies": studies}, {"methods": str(sheet)})
    found = [
        chosen.method_row(study, "pca")["k"]
        for study in ("mouse", "simulation_beta1", "simulation_beta8")
    ]
    assert found == ["3", "4", "5"]


def test_a_study_for_methods_that_no_sheet_has_is_not_left_out_silently(tmp_path):
    sheet = tmp_path / "methods.tsv"
    sheet.write_text("method\tlabel\talgorithm\tstudies\tvalues\tk\npca\tPCA\tpca\t*\tdefault\t3\n")
    message = r"study 'digits_two_published', column methods: 'nmf' is not in .*methods\.tsv"
    with pytest.raises(InputError, match=message):
        plan({"methods": ["pca"], "studies": ["mouse", "digits"]}, {"methods": str(sheet)})


def test_reported_values_are_for_simulations_of_the_papers_size():
    assert plan().as_in_paper("simulation_beta8")
    smaller = plan({"simulation": {"n_genes": 1500}})
    assert not smaller.as_in_paper("simulation_beta8")
    assert smaller.as_in_paper("mouse")


def test_reported_values_are_for_the_data_set_that_they_were_reported_of(tmp_path):
    own = {"study": "mouse", "group": "leukemia"}
    assert not plan({"studies": ["mouse"]}, studies_sheet(tmp_path, **own)).as_in_paper("mouse")
    assert plan().as_in_paper("mdd")
    assert not plan({"mdd": {"cell_types": ["Mic"]}}).as_in_paper("mdd")
    # Of studies that nothing is reported of, nothing can stand beside.
    assert not plan().as_in_paper("leukemia_donor2")


def reported_sheet(tmp_path, settings):
    path = tmp_path / "reported.tsv"
    path.write_text(
        "study\tmethod\tscore\tvalue\tsource\tsettings\n"
        f"mouse\tbcnmf\tari_umap\t0.5\tmine\t{settings}\n"
    )
    return {"reported": str(path)}


REPORTED_FAULTS = [
    ("mnist: {shore: 0.1}", r"unknown key `mnist\.shore` \(did you mean 'share'\?\)"),
    (
        "mnist: {share: much}",
        r"`mnist\.share`: found 'much'; expected a number — .* the 70,000",
    ),
    ("0.1", r"found '0\.1'; expected keys of the configuration"),
    ("mnist: {", "not valid YAML: line 1, column 9: "),
]


@pytest.mark.parametrize(("settings", "message"), REPORTED_FAULTS)
def test_settings_of_reported_values_are_checked(tmp_path, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        plan(sheets=reported_sheet(tmp_path, settings))
    assert "reported.tsv, study 'mouse', column settings" in str(caught.value)


def test_reported_values_of_ones_own_ask_for_what_their_row_says(tmp_path):
    assert plan(sheets=reported_sheet(tmp_path, "")).as_in_paper("mouse")
    sheets = reported_sheet(tmp_path, "mnist: {share: 0.2}")
    assert not plan(sheets=sheets).as_in_paper("mouse")
    assert plan({"mnist": {"share": 0.2}}, sheets).as_in_paper("mouse")


def test_variants_of_the_simulation_are_studies_of_their_own(tmp_path):
    drivers = plan({"studies": ["drivers"]})
    assert drivers.replicates("drivers_rare5") == list(range(5))
    assert {run.method for run in drivers.runs("drivers_rare5", 0)} == {
        "nmf", "cpca_auto", "bcnmf", "bcnmf_safeguarded", "shared_target",
    }  # fmt: skip
    grid = {(r.k, r.alpha) for r in drivers.runs("drivers_base", 0) if r.method == "bcnmf"}
    assert grid == {(k, alpha) for k in (2, 7, 10) for alpha in ("1", "1.5", "2", "5")}
    # Alpha is varied on the base simulation alone.
    files = [run.file for run in drivers.runs("drivers_rare5", 0)]
    assert "drivers_rare5/0/bcnmf_safeguarded/k10_alpha2_seed0.npz" in files
    assert not any("bcnmf_safeguarded/k10_alpha5" in file for file in files)
    files = [run.file for run in drivers.runs("drivers_base", 0)]
    assert "drivers_base/0/bcnmf_safeguarded/k10_alpha5_seed0.npz" in files
    assert not drivers.as_in_paper("drivers_depth3")
    assert not any(study.startswith("drivers") for study in plan().study_ids())
    sheets = studies_sheet(tmp_path, dataset="simulation_depth7_beta8")
    with pytest.raises(InputError, match=r"'simulation_depth7_beta8' is not .*variants: .*depth3"):
        plan({"studies": ["mine"]}, sheets)


def studies_sheet(tmp_path, **changes):
    row = {
        "study": "mine", "group": "mine", "title": "Mine", "dataset": "mine.h5ad",
        "target": "a=b", "background": "a=c", "label": "d", "values": "counts",
    }  # fmt: skip
    row |= changes
    path = tmp_path / "studies.tsv"
    path.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    return {"studies": str(path)}


FAULTS = [
    ({"studies": ["moose"]}, r"key studies: 'moose' is neither .*did you mean 'mouse'"),
    ({"methods": ["bcnfm"]}, r"key methods: 'bcnfm' is not in .*did you mean 'bcnmf'"),
    ({"studies": ["mouse"], "methods": ["bcnmf_poisson"]}, "none of the methods bcnmf_poisson has"),
    ({"seeds": {"muose": [1]}}, r"key seeds\.muose: 'muose' stands in no sheet .*mean 'mouse'"),
    ({"replicates": {"digit": 2}}, r"key replicates\.digit: .*mean 'digits'"),
    ({"replicates": {"mouse": 5}}, r"key replicates\.mouse: 5, but 'mice_protein' is measured"),
    ({"answer": {"methods": ["bcnfm"]}}, r"key answer\.methods: 'bcnfm' .*mean 'bcnmf'"),
    ({"enrichment": {"methods": ["nfm"]}}, r"key enrichment\.methods: 'nfm' .*mean 'nmf'"),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS)
def test_unknown_names_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        plan(changes)


def test_faulty_study_rows_are_refused(tmp_path):
    chosen = {"studies": ["mine"]}
    assert plan(chosen, studies_sheet(tmp_path)).study_ids() == ["mine"]
    with pytest.raises(
        InputError, match="column dataset: 'minx' is not a data set of the pipeline"
    ):
        plan(chosen, studies_sheet(tmp_path, dataset="minx"))
    with pytest.raises(
        InputError, match=r"line 2 \('mine'\), column values: found 'tpm'; allowed: counts,"
    ):
        plan(chosen, studies_sheet(tmp_path, values="tpm"))
    with pytest.raises(InputError, match=r"column values: empty, .*give counts, log or raw"):
        plan(chosen, studies_sheet(tmp_path, dataset="mixseq", values="auto"))
    with pytest.raises(InputError, match=r"'\{a\}\.h5ad' holds braces"):
        plan(chosen, studies_sheet(tmp_path, dataset="{a}.h5ad"))
    with pytest.raises(InputError, match=r"column layer: 'raw' is for files of your own"):
        plan(chosen, studies_sheet(tmp_path, dataset="mixseq", layer="raw"))


FIGURE_FAULTS = [
    (
        {"figure": "mosue"},
        r"column figure: found 'mosue' \(did you mean 'mouse'\?\); allowed: ",
    ),
    (
        {"figure": "mouse,digits"},
        r"column figure: found 'mouse,digits' .*; allowed: digits, mou",
    ),
    (
        {"series": "betas"},
        r"column series: found 'betas' \(did you mean 'beta'\?\); allowed: ",
    ),
    (
        {"marked": "MDM2,,TP53"},
        "column marked: found 'MDM2,,TP53'; allowed: features .* comma-sep",
    ),
    ({"series": "beta"}, r"study 'mine', column series: beta .*found study 'mine'"),
    ({"series": "drivers"}, r"study 'mine', column series: drivers .*data set 'mine\.h5ad'"),
    ({"figure": "mouse"}, r"study 'mine', column figure: mouse .*unit is empty"),
]


@pytest.mark.parametrize(("changes", "message"), FIGURE_FAULTS)
def test_figures_that_a_study_cannot_have_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        plan({"studies": ["mine"]}, studies_sheet(tmp_path, **changes))
    assert "studies.tsv" in str(caught.value)


def test_marked_features_are_those_of_the_sheet(tmp_path):
    own = plan({"studies": ["mine"]}, studies_sheet(tmp_path, marked="MDM2, HLA-A x"))
    assert own.marked("mine") == ["MDM2", "HLA-A x"]
    assert plan().marked("mixseq_normal") == ["MDM2", "CDKN1A", "TP53I3", "FDXR", "GDF15"]
    assert plan().marked("leukemia") == []


METHOD_FAULTS = [
    ({"k": "5,5"}, r"line 2 \('bcnmf'\), column k: 5, 5 in '5,5' are one value"),
    ({"alpha": "1.5, 2,1.50"}, r"column alpha: 1\.5, 1\.50 in .* are one value, whose fit"),
    ({"tol": "1..2"}, r"line 2 \('bcnmf'\), column tol: found '1\.\.2'; allowed: .* such as 1e-5"),
    ({"tol": "1.5"}, r"line 2 \('bcnmf'\), column tol: 1\.5; a tolerance .* below 1"),
    ({"studies": "mouse,digit"}, r"column studies: 'digit' is no study or group .*mean 'digits'"),
    ({"starts": "1"}, "column starts: .*a whole number of starts from 2"),
    ({"second_round": "auto"}, "column second_round: auto, but algorithm bcnmf has no such choice"),
    ({"algorithm": "cpca", "starts": "50"}, "starts: 50, but there is no consensus of .* cpca"),
]


@pytest.mark.parametrize(("changes", "message"), METHOD_FAULTS)
def test_faulty_method_rows_are_refused(tmp_path, changes, message):
    row = {
        "method": "bcnmf", "label": "bcNMF", "algorithm": "bcnmf", "studies": "*",
        "values": "default", "k": "5", "alpha": "1.5", "contrast": "relative",
        "loss": "squared_error", "solver": "mu", "max_iter": "9", "tol": "1e-5",
    } | changes  # fmt: skip
    sheet = tmp_path / "methods.tsv"
    sheet.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    with pytest.raises(InputError, match=message):
        plan({"methods": ["bcnmf"], "studies": ["mouse"]}, {"methods": str(sheet)})


def test_a_default_number_of_replicates_is_for_data_that_are_drawn():
    five = plan({"replicates": {"default": 5}})
    assert five.replicates("mouse") == [0]
    assert five.replicates("digits_two") == list(range(10))
    assert plan({"replicates": {"digits": 3}}).replicates("digits_ten") == [0, 1, 2]


def test_what_answers_is_the_fit_that_stands_first_of_methods_with_topics():
    runs = plan().answered_runs("mixseq")
    assert runs == [plan().shown_run("mixseq", run.method) for run in runs]
    assert [run.method for run in runs] == ["bcnmf", "bcnmf_safeguarded", "shared_target"]
    assert [run.method for run in plan().answered_runs("digits_ten_published")] == ["bcnmf"]
    few = plan({"answer": {"methods": ["nmf", "shared_target"]}})
    assert [run.method for run in few.answered_runs("leukemia")] == ["shared_target"]
    # A point in the figure of a series is not cross-fitted, one that is drawn itself is.
    assert plan().answered_runs("simulation_beta2") == []
    assert plan({"studies": ["drivers"]}).answered_runs("drivers_base") == []
    assert len(plan().answered_runs("simulation_beta8")) == 3


def test_names_of_columns_may_hold_anything(tmp_path):
    row = {"colours": r"Cell Type (fine), a\,b", "unit": "Donor ID"}
    own = plan({"studies": ["mine"]}, studies_sheet(tmp_path, **row))
    assert own.colours("mine") == ["Cell Type (fine)", "a,b"]
    assert own.study("mine")["unit"] == "Donor ID"


def test_a_study_or_method_given_twice_is_refused(tmp_path):
    sheet = Path(studies_sheet(tmp_path)["studies"])
    sheet.write_text(sheet.read_text() + sheet.read_text().splitlines()[1] + "\n")
    with pytest.raises(InputError, match="line 3, column study: 'mine' stands in line 2 already"):
        plan({"studies": ["mine"]}, {"studies": str(sheet)})
    # On some machines their folders would be one.
    sheet.write_text(sheet.read_text().replace("mine\t", "Mine\t", 1))
    with pytest.raises(InputError, match="line 3, column study: 'mine' stands in line 2 already"):
        plan({"studies": ["mine"]}, {"studies": str(sheet)})
    methods = tmp_path / "methods.tsv"
    row = "pca\tPCA\tpca\t*\tdefault\t3\n"
    methods.write_text("method\tlabel\talgorithm\tstudies\tvalues\tk\n" + row + row)
    with pytest.raises(InputError, match="two rows for method 'pca'"):
        plan({"methods": ["pca"]}, {"methods": str(methods)})


def test_an_accent_is_one_character_but_in_paths(tmp_path):
    cells = {"dataset": "e\u0301.h5ad", "label": "e\u0301", "target": "e\u0301=e\u0301"}
    row = load_studies(
        Path(studies_sheet(tmp_path, **cells)["studies"]), ROOT / "workflow" / "schemas"
    )["mine"]
    assert row["label"] == "\xe9"
    assert row["target"] == "\xe9=\xe9"
    assert row["dataset"] == "e\u0301.h5ad"


def test_a_study_can_be_for_some_methods_alone():
    runs = plan().runs("digits_ten_published", 0)
    assert [(run.method, run.alpha) for run in runs] == [
        ("nmf", "none"), ("cpca_published", "175567.5"), ("bcnmf", "100000"),
    ]  # fmt: skip
    # Chosen with its group, but for none of the methods: it is left out.
    few = plan({"studies": ["digits"], "methods": ["pca"]})
    assert few.study_ids() == ["digits_two", "digits_ten"]
    with pytest.raises(InputError, match=r"key methods: pca, but study 'digits_two_published' is"):
        plan({"studies": ["digits_two_published"], "methods": ["pca"]})


def test_a_misspelt_method_of_a_study_is_named(tmp_path):
    sheets = studies_sheet(tmp_path, methods="nmf,bcnfm")
    with pytest.raises(InputError, match=r"study 'mine', column methods: 'bcnfm' .*mean 'bcnmf'"):
        plan({"studies": ["mine"]}, sheets)


def test_the_published_alpha_is_ours_in_other_units():
    ours, published = (
        float(plan().method_row(study, "bcnmf")["alpha"])
        for study in ("digits_two", "digits_two_published")
    )
    assert ours == pytest.approx(published / 255**2, rel=1e-6)
    row = plan().method_row("digits_two", "bcnmf")
    assert (row["contrast"], row["solver"], row["max_iter"], row["k"]) == (
        "absolute", "mu", "500", "2",
    )  # fmt: skip
    by_hand = [plan().method_row(f"digits_ten{p}", "cpca_published")["alpha"] for p in PROTOCOLS]
    assert float(by_hand[1]) == pytest.approx(float(by_hand[0]) * 255**2)


PROTOCOLS = ("", "_published")


def test_digits_have_ten_splits_and_reported_values_at_the_papers_share():
    assert plan().replicates("digits_two") == list(range(10))
    assert plan().as_in_paper("digits_ten")
    assert not plan({"mnist": {"share": 0.01}}).as_in_paper("digits_ten")


def test_gene_sets_that_are_unknown_are_named(tmp_path):
    sheet = tmp_path / "studies.tsv"
    text = (ROOT / "config" / "studies.tsv").read_text()
    sheet.write_text(text.replace("core,hallmark,go_bp", "core,halmark"))
    with pytest.raises(InputError, match=r"column gene_sets: 'halmark' .*did you mean 'hallmark'"):
        plan(sheets={"studies": str(sheet)})
    assert plan().gene_sets("leukemia") == ["core", "hallmark", "go_bp"]


def test_topics_of_non_negative_methods_are_tested_against_gene_sets():
    chosen = plan({"methods": ["pca", "nmf", "cpca_auto", "bcnmf", "bcnmf_poisson"]})
    assert chosen.enriched_methods("mdd") == ["nmf", "bcnmf"]
    assert chosen.shown_run("mdd", "bcnmf") == Run("mdd", 0, "bcnmf", 20, "1", 0)
    assert chosen.gene_sets("mouse") == []


def test_fits_are_shared_out_to_jobs_with_those_that_are_shown_first():
    some = plan({"studies": ["mouse"], "compute": {"fits_per_job": 4}})
    jobs = some.jobs_of_fits("mouse", 0)
    runs = some.runs("mouse", 0)
    assert {len(job) for job in jobs[:-1]} == {4}
    joined = [run for job in jobs for run in job]
    assert len(joined) == len(runs)
    assert set(joined) == set(runs)
    methods = list(dict.fromkeys(run.method for run in runs))
    assert joined[: len(methods)] == [some.shown_run("mouse", method) for method in methods]
    more = plan({"studies": ["mouse"], "compute": {"fits_per_job": 4}, "seeds": {"mouse": [0, 9]}})
    assert more.jobs_of_fits("mouse", 0)[0] == jobs[0]
    alone = plan({"studies": ["mouse"], "compute": {"fits_per_job": 1}})
    assert [len(job) for job in alone.jobs_of_fits("mouse", 0)] == [1] * len(runs)
