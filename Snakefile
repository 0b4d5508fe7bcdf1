"""Background-contrastive NMF: from downloads and own data to scores, figures and a report.

snakemake quick --cores 2     the whole chain on embedded data, no network
snakemake paper --cores N     the paper
snakemake --cores N           the active configuration (config/config.yaml, or --configfile)
"""

import snakemake.utils

snakemake.utils.min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/registered.smk"
include: "workflow/rules/outputs.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/pair.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/answer.smk"
include: "workflow/rules/null.smk"
include: "workflow/rules/diagnose.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/enrich.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"


# The front page of `snakemake --report`; that of a workflow which imports this one is its own affair.
if not AS_MODULE:

    report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        run_outputs(ACTIVE.name),


rule quick:
    input:
        run_outputs("quick"),


rule paper:
    input:
        run_outputs("paper"),


rule select:
    input:
        selections(ACTIVE.name),


rule null:
    input:
        nulls(ACTIVE.name),


rule simulations:
    input:
        group_outputs(ACTIVE.name, "simulation"),


rule drivers:
    input:
        group_outputs(ACTIVE.name, "drivers"),


rule digits:
    input:
        group_outputs(ACTIVE.name, "digits"),


rule mouse:
    input:
        group_outputs(ACTIVE.name, "mouse"),


rule leukemia:
    input:
        group_outputs(ACTIVE.name, "leukemia"),


rule mixseq:
    input:
        group_outputs(ACTIVE.name, "mixseq"),


rule mdd:
    input:
        group_outputs(ACTIVE.name, "mdd"),


rule figures:
    input:
        all_figures(ACTIVE.name),


rule figure_beta:
    input:
        named_figures(ACTIVE.name, "series", "beta"),


rule figure_drivers:
    input:
        named_figures(ACTIVE.name, "series", "drivers"),


rule figure_digits:
    input:
        digits_figures(ACTIVE.name),


rule figure_mouse:
    input:
        named_figures(ACTIVE.name, "figure", "mouse"),


rule figure_leukemia:
    input:
        named_figures(ACTIVE.name, "figure", "leukemia"),


rule figure_mixseq:
    input:
        named_figures(ACTIVE.name, "figure", "mixseq"),


rule figure_mdd:
    input:
        named_figures(ACTIVE.name, "figure", "mdd"),
