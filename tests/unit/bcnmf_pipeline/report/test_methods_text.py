"""The methods section says what the configuration does, and nothing else."""

import pytest

from bcnmf_pipeline.plan.runs import Plan
from bcnmf_pipeline.plan.sheets import find_file, load_yaml, merge
from bcnmf_pipeline.report.methods_text import REFERENCES, methods_text
from conftest import ROOT

PROVENANCE = {
    "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6 (analysis); 2.4.5 (fit)"},
    "workflow": {"version": "0.4.0", "commit": "0123456789abcdef", "changed": []},
    "machines": [{"cpu": "Xeon", "device": "cpu", "fits": 3, "threads": 1, "torch": "2.13.0+cpu"}],
}


def written(
    *names, scaled_over="kept", unlabelled=False, provenance=PROVENANCE, batch="", **changes
):
    parts = [load_yaml(ROOT / "config" / f"{name}.yaml") for name in ("config", *names)]
    plan = Plan(
        merge(*parts, changes),
        lambda path: find_file(path, ROOT),
        ROOT / "workflow" / "schemas",
    )
    studies = plan.study_ids()
    rows = list(plan.studies.values())
    if unlabelled:
        rows = [row | {"label": ""} for row in rows]
    rows = [row | {"batch": batch} for row in rows]
    return methods_text(
        plan.settings,
        rows,
        {study: plan.method_rows(study) for study in studies},
        {study: len(plan.seeds(study, "bcnmf")) for study in studies},
        {study: len(plan.replicates(study)) for study in studies},
        provenance,
        {row["study"]: {"study": row, "scaled_over": scaled_over} for row in rows},
        {
            study: [
                plan.method_row(study, run.method)["label"] for run in plan.answered_runs(study)
            ]
            for study in studies
        },
    )


def test_the_mouse_study_reads_as_its_rows_say():
    text = written(studies=["mouse"], methods=["nmf", "bcnmf"])
    assert "Targets were the samples with Behavior=S/C;Treatment=Saline" in text
    assert (
        "NMF (squared error, K = 15, multiplicative updates, 100 iterations) [nmf] and bcNMF "
        "(squared error, K = 15, contrast alpha = 1; multiplicative updates, 100 iterations)"
    ) in text
    assert "Values were used as they are." in text
    assert "run with 5 seeds." in text
    assert "1000 resamples of whole units" in text
    assert "Labels (Genotype) were held out" in text
    # Nothing of the kind was run.
    for word in ("GSEApy", "contrastive PCA", "scanpy", "Counts were scaled", "data replicates"):
        assert word not in text
    assert "@article{nmf" in text
    assert "@article{cpca" not in text
    assert "torch 2.13.0" in text


def test_batches_that_count_alike_are_stated():
    options = {"studies": ["mouse"], "methods": ["nmf", "bcnmf"]}
    assert (
        "samples were weighted so that every batch (day) and, within it, every mouse counted "
        "alike on each side."
    ) in written(**options, batch="day")
    assert "weighted" not in written(**options)


def test_counts_variable_genes_gene_sets_and_limits_are_stated():
    text = written(studies=["mdd"], methods=["bcnmf_poisson", "bcnmf_safeguarded", "shared_target"])
    assert (
        "First the 3000 most variable features of target and background together were kept "
        "(scanpy, flavour 'seurat'); then the counts of these were scaled to 10,000 per sample and "
        "log1p-transformed."
    ) in text
    assert "bcNMF on counts (Poisson likelihood, K = 20, contrast alpha = 300;" in text
    assert "damped with exponent 0.5" in text
    assert "the safeguarded solver, descent on the reduced objective, at most 500 iter" in text
    assert "the model of 20 shared and 10 target topics on counts" in text
    assert "go_bp (msigdb/c5.go.bp.v2025.1.Hs.symbols.gmt)" in text
    assert "1000 permutations" in text


def test_the_order_of_steps_is_that_which_was_recorded():
    text = written(studies=["mdd"], methods=["bcnmf"], scaled_over="all")
    assert (
        "Counts were scaled to 10,000 per sample and log1p-transformed, over all features of the "
        "data; then the 3000 most variable features of target and background together were kept"
    ) in text
    text = written("quick", studies=["simulation_beta2"], scaled_over="all")
    assert "log1p-transformed, over all features of the data. Fitted" in text


def test_the_answer_is_explained_where_there_is_one():
    text = written(studies=["mouse"], methods=["nmf", "bcnmf"])
    assert "beside at most 10 topics of the background, fitted to it by NMF [nmf]" in text
    assert "cross-fitted [crossfit] (bcNMF): target and background were split into 3 " in text
    assert "at random, where both sides have several units, of whole units, and each" in text
    assert "so that 5% are expected by chance" in text
    assert "over draws of samples, or of whole units where a side has several, of target" in text
    assert "logistic regression of target against background" in text
    assert "@article{crossfit" in text
    assert "@article{sklearn" in text
    assert "Poisson models" not in text
    text = written(studies=["mdd"], methods=["bcnmf", "shared_target"])
    assert "least squares (of Poisson models by likelihood, as shares of what is fitted" in text
    none = written(studies=["simulation_beta2"], methods=["nmf", "bcnmf"])
    assert "cross-fitted" not in none
    assert "@article{crossfit" not in none


def test_without_a_label_nothing_is_compared_with_one():
    text = written(studies=["mouse"], methods=["bcnmf"], unlabelled=True)
    assert "No label was held out. Samples are shown on a two-dimensional UMAP" in text
    assert "Rand" not in text
    assert "()" not in text


def test_tests_over_samples_are_said_to_be_that():
    text = written(studies=["mouse"], methods=["bcnmf"])
    assert "replicates of a unit they are not independent, and the test on means of units" in text
    alone = written("quick", studies=["digits_texture"])
    assert "by Welch's test over samples. P-values were adjusted" in alone


def test_combined_bases_are_stated():
    text = written(studies=["digits_two"], methods=["combined"])
    assert "combined bases with K = 2, 10 topics of a shared and a target part (squared" in text
    assert "penalty 0.1 on their overlap, at most 500 iterations) [bcnmf]" in text


def test_studies_that_are_treated_alike_share_a_paragraph():
    text = written("quick")
    assert "Count simulation, beta = 2; Count simulation, beta = 8. Targets" in text
    assert "1 seed and 2 data replicates" in text


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_references_are_balanced_bibtex(name):
    entry = REFERENCES[name]
    assert entry.startswith("@article{" + name)
    assert entry.count("{") == entry.count("}")
    assert entry.endswith("}")


def test_software_and_machines_are_stated():
    text = written(studies=["mouse"], methods=["bcnmf"])
    assert (
        "and the bcNMF workflow (version 0.4.0, commit 0123456789ab); software: python 3.11.7, "
        "torch 2.13.0, numpy 2.4.6 (analysis); 2.4.5 (fit). Fits were computed on Xeon (3 fits, "
        "1 thread, torch 2.13.0+cpu)."
    ) in text


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        ({"version": "0.4.0", "commit": "0123456789abcdef", "changed": ["x.py"]},
         "(version 0.4.0, commit 0123456789ab, with changes)"),
        ({"version": "0.4.0", "commit": "unknown"}, "(version 0.4.0)"),
    ],
)  # fmt: skip
def test_changes_of_the_code_are_stated(workflow, said):
    text = written(
        studies=["mouse"], methods=["bcnmf"], provenance=PROVENANCE | {"workflow": workflow}
    )
    assert said in text


def test_gpus_and_older_fits_are_stated():
    machines = [
        {"cpu": "EPYC", "device": "H100", "fits": 4, "threads": 8, "torch": "2.13.0+cu130"},
        {"cpu": "unknown", "device": "cpu", "fits": 1},
    ]
    text = written(
        studies=["mouse"], methods=["bcnmf"], provenance=PROVENANCE | {"machines": machines}
    )
    assert (
        "on H100 with EPYC (4 fits, torch 2.13.0+cu130) and an unknown processor (1 fit)." in text
    )
