"""Figures, a rule each, as workflow/report/figures.yaml describes them; they read only tables."""

PLOTS = WORKFLOW / "bcnmf_pipeline" / "figures"
TABLES = {
    **{Path(table).stem: f"{FIRST}{table}" for table in TABLES_OF_FIRST},
    "scores": "results/{config}/tables/studies/{study}.scores.tsv",
    "image_shape": "results/{config}/pairs/{study}/0/pair.json",
    "ora": f"{ENRICHMENT}ora.tsv",
    "summary": f"{SELECTION}summary.tsv",
    "null": f"{EVIDENCE}null.tsv",
    "draws": f"{EVIDENCE}null_draws.tsv",
    "answer": "results/{config}/answer/{study}/samples.parquet",
    "shares": "results/{config}/answer/{study}/shares.tsv",
}
# What figures are told of the plan.
TOLD = {
    "labels": method_labels,
    "methods": lambda config, drawing, studies: list(shown_labels(config, drawing, studies)),
    "method": lambda config, drawing, studies: described(method_labels(config, drawing, studies)),
    "label_name": lambda config, drawing, studies: PLANS[config].study(studies[0])["label"],
    "unit": lambda config, drawing, studies: PLANS[config].study(studies[0])["unit"] or "unit",
    "marked": lambda config, drawing, studies: PLANS[config].marked(studies[0]),
    # The figures of the paper's studies show what the paper scored.
    "target_score": lambda config, drawing, studies: (
        is_own(PLANS[config].study(studies[0])["dataset"])
        or PLANS[config].study(studies[0])["extra_scores"] == "target_score"
    ),
    "each": lambda config, drawing, studies: {
        study: PLANS[config].study(study)["each"] for study in studies
    },
    "variants": lambda config, drawing, studies: {
        study: variant_of(PLANS[config].study(study)["dataset"]) for study in studies
    },
}


def tables_of(drawing):
    """Return the tables that a figure reads: of its study, or of all studies of a group."""
    if not drawing.of_group:
        return {name: TABLES[name] for name in drawing.reads}

    def of_studies(wildcards, name):
        studies = studies_of(wildcards.config, wildcards.study, drawing)
        return expand(TABLES[name], config=wildcards.config, study=studies)

    return {
        name: lambda wildcards, name=name: of_studies(wildcards, name) for name in drawing.reads
    }


def told(drawing):
    """Return a function of the wildcards: all arguments of a figure but its tables."""

    def of_plan(wildcards):
        studies = studies_of(wildcards.config, wildcards.study, drawing)
        found = {name: TOLD[name](wildcards.config, drawing, studies) for name in drawing.told}
        return found | drawing.given

    return of_plan


for drawing in FIGURES.values():

    rule:
        name:
            f"draw_{drawing.name}"
        input:
            **tables_of(drawing),
        output:
            **drawn(drawing.name),
        log:
            f"results/{{config}}/logs/figures/{{study}}/{drawing.name}.log",
        benchmark:
            f"results/{{config}}/benchmarks/figures/{{study}}/{drawing.name}.tsv"
        conda:
            "../../envs/analysis.yaml"
        resources:
            **SMALL,
        params:
            # The script imports the code of one figure, by name.
            code=[code("figure.py"), code_digest(PLOTS / f"{drawing.plot}.py")],
            plot=drawing.plot,
            told=told(drawing),
        script:
            "../scripts/figure.py"
