"""What a run makes: the figures and tables behind every named target."""

FIGURE = "results/{config}/figures/{study}/"
# Figures show one replicate: the first.
FIRST = "results/{config}/evaluation/{study}/0/"
# Groups of studies with a figure of their own, which has the group's name.
SINGLE_CELL = ("leukemia", "mixseq", "mdd")


def drawn(name: str) -> dict:
    """Return the outputs of a figure; captions are shared with the HTML report."""
    return {
        "pdf": f"{FIGURE}{name}.pdf",
        "png": report(f"{FIGURE}{name}.png", caption=f"../report/{name}.rst", category="{study}"),
    }


def figure_files(config_name: str, study: str, name: str) -> list[str]:
    return [f"results/{config_name}/figures/{study}/{name}.{kind}" for kind in ("pdf", "png")]


def study_figures(config_name: str, study: str) -> list[str]:
    names = PLANS[config_name].panels(study) + own_figures(config_name, study)
    if enriched(config_name, study):
        names.append("enrichment")
    return [path for name in names for path in figure_files(config_name, study, name)]


def enrichment_tables(config_name: str, table: str) -> list[str]:
    """Return one table of enrichment of each chosen study that is tested against gene sets."""
    plan = PLANS[config_name]
    return [
        f"results/{config_name}/enrichment/{study}/{table}.tsv"
        for study in plan.study_ids()
        if enriched(config_name, study)
    ]


def enriched(config_name: str, study: str) -> bool:
    plan = PLANS[config_name]
    return bool(plan.gene_sets(study) and plan.enriched_methods(study))


def own_figures(config_name: str, study: str) -> list[str]:
    """Return the figures that are drawn for this study alone, or for its kind of data."""
    row = PLANS[config_name].study(study)
    if row["dataset"].startswith("digits_on_images_"):
        return ["digits"]
    if row["group"] in SINGLE_CELL:
        return [row["group"]]
    return ["mouse"] if study == "mouse" else []


def group_studies(config_name: str, group: str) -> list[str]:
    """Return the chosen studies of a group, or all of them where the configuration chose none."""
    plan = PLANS[config_name]
    known = plan.all_studies
    return plan.study_ids(group) or list(known.index[known["group"] == group])


def all_figures(config_name: str) -> list[str]:
    plan = PLANS[config_name]
    files = [path for study in plan.study_ids() for path in study_figures(config_name, study)]
    if plan.study_ids("simulation"):
        files += figure_files(config_name, "simulation", "beta")
    if plan.study_ids("drivers"):
        files += drivers_figures(config_name)
    return files


def group_outputs(config_name: str, group: str) -> list[str]:
    """Return tables and figures of one group of studies."""
    studies = group_studies(config_name, group)
    files = [f"results/{config_name}/tables/studies/{study}.scores.tsv" for study in studies]
    files += [path for study in studies for path in study_figures(config_name, study)]
    if group == "simulation":
        files += figure_files(config_name, "simulation", "beta")
    if group == "drivers":
        files += drivers_figures(config_name)
    return files


def drivers_figures(config_name: str) -> list[str]:
    names = ("drivers", "drivers_auroc")
    return [path for name in names for path in figure_files(config_name, "drivers", name)]


def variants_of_drivers(wildcards) -> dict:
    """Return the variant of the simulation that each study of the drivers has."""
    plan = plan_of(wildcards)
    return {
        study: variant_of(plan.study(study)["dataset"])
        for study in group_studies(wildcards.config, wildcards.study)
    }


def digits_figures(config_name: str) -> list[str]:
    """Return the figures of digits of the chosen studies: on natural images, and on texture."""
    plan = PLANS[config_name]
    texture = plan.study_ids("digits_texture")
    images = (
        [] if texture and not plan.study_ids("digits") else group_studies(config_name, "digits")
    )
    files = [path for study in images for path in figure_files(config_name, study, "digits")]
    return files + [path for study in texture for path in study_figures(config_name, study)]


def paper_figures(config_name: str, group: str) -> list[str]:
    """Return the figures that carry a group's name, one for each of its studies."""
    return [
        path
        for study in group_studies(config_name, group)
        for path in figure_files(config_name, study, group)
    ]


def method_labels(wildcards) -> dict:
    """Return method -> name in figures, in the order of the configuration."""
    plan = plan_of(wildcards)
    study = wildcards.study
    if study not in plan.all_studies.index:
        study = group_studies(wildcards.config, study)[0]
    return {row["method"]: row["label"] for row in plan.method_rows(study)}


def label_name(wildcards) -> str:
    return study_row(wildcards)["label"]


def report_texts(wildcards) -> list[str]:
    """Return the captions and the template that the report is rendered from."""
    names = {"workflow", *(Path(path).stem for path in all_figures(wildcards.config))}
    captions = [WORKFLOW / "report" / f"{name}.rst" for name in sorted(names)]
    templates = sorted((WORKFLOW / "bcnmf_pipeline" / "report" / "templates").iterdir())
    return [*map(str, captions), *map(str, templates)]


def run_outputs(config_name: str) -> list[str]:
    folder = f"results/{config_name}"
    return [
        f"{folder}/report.html",
        f"{folder}/tables/scores.tsv",
        f"{folder}/tables/summary.tsv",
        f"{folder}/tables/methods.md",
        f"{folder}/provenance.json",
        f"{folder}/config.yaml",
        *joint_enrichment(config_name),
        *all_figures(config_name),
    ]


def selections(config_name: str) -> list[str]:
    return [
        path
        for study in PLANS[config_name].study_ids()
        for path in [
            f"results/{config_name}/selection/{study}/summary.tsv",
            *figure_files(config_name, study, "selection"),
        ]
    ]


def joint_enrichment(config_name: str) -> list[str]:
    """Return the tables of all studies, if any is tested against gene sets."""
    folder = f"results/{config_name}/tables"
    found = enrichment_tables(config_name, "ora")
    return [f"{folder}/enrichment_ora.tsv", f"{folder}/enrichment_gsea.tsv"] if found else []


def pair_records(wildcards) -> list[str]:
    return [
        f"results/{wildcards.config}/pairs/{study}/0/pair.json"
        for study in plan_of(wildcards).study_ids()
    ]


def report_details(config_name: str) -> list[str]:
    """Return the tables from which the report describes topics and draws its maps."""
    tables = ["topics.tsv", "loadings.parquet", "samples.parquet", "annotations.parquet"]
    return [
        *[
            f"results/{config_name}/evaluation/{study}/0/{table}"
            for study in PLANS[config_name].study_ids()
            for table in [*tables, "top_values.parquet"]
        ],
        *[
            path
            for table in ("genes", "ora", "gsea")
            for path in enrichment_tables(config_name, table)
        ],
    ]


def report_figures(wildcards, input) -> list[dict]:
    """Return where each figure and its caption are, in the order of the report."""
    return [
        {
            "study": Path(path).parent.name,
            "name": Path(path).stem,
            "png": path,
            "pdf": str(Path(path).with_suffix(".pdf")),
        }
        for path in input.figures
        if path.endswith(".png")
    ]
