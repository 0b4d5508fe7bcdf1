"""What a run makes: the figures and tables behind every named target."""

from bcnmf_pipeline.figures.registry import read_drawings, shown_methods

# Where results are for what is declared nowhere, with the prefix of a workflow that imports this one.
RESULTS = workflow.modifier.path_modifier.replace_prefix("results")
FIGURES = read_drawings(WORKFLOW / "report" / "figures.yaml")
FIGURE = "results/{config}/figures/{study}/"
# Figures show one replicate: the first.
FIRST = "results/{config}/evaluation/{study}/0/"
TABLES_OF_FIRST = (
    "topics.tsv", "loadings.parquet", "samples.parquet", "annotations.parquet",
    "features.tsv", "traces.tsv", "examples.parquet",
)  # fmt: skip
SELECTION = "results/{config}/selection/{study}/"
# One file a setting and split: a further K, alpha or split fits what is new alone.
FIT_OF_HALVES = "k{k}_alpha{alpha}_split{split}"


def drawn(name: str) -> dict:
    """Return the outputs of a figure; captions are shared with the HTML report."""
    return {
        "pdf": f"{FIGURE}{name}.pdf",
        "png": report(f"{FIGURE}{name}.png", caption=f"../report/{name}.rst", category="{study}"),
    }


def figure_files(config_name: str, study: str, name: str) -> list[str]:
    return [f"results/{config_name}/figures/{study}/{name}.{kind}" for kind in ("pdf", "png")]


def study_figures(config_name: str, study: str) -> list[str]:
    plan = PLANS[config_name]
    names = [*plan.panels(study), *as_list(plan.study(study)["figure"])]
    if enriched(config_name, study):
        names.append("enrichment")
    if plan.answered_runs(study):
        names += [drawing.name for drawing in FIGURES.values() if drawing.asked == "answer"]
    if study in null_studies(config_name):
        names.append("null")
    return [path for name in names for path in figure_files(config_name, study, name)]


def enrichment_tables(config_name: str, table: str) -> list[str]:
    """Return one table of enrichment of each chosen study that is tested against gene sets."""
    plan = PLANS[config_name]
    return [
        f"results/{config_name}/enrichment/{study}/{table}.tsv"
        for study in plan.study_ids()
        if enriched(config_name, study)
    ]


def answer_tables(config_name: str, studies: list[str], table: str) -> list[str]:
    """Return one table of the answer of each of these studies that is cross-fitted."""
    plan = PLANS[config_name]
    return [
        f"results/{config_name}/answer/{study}/{table}"
        for study in studies
        if plan.answered_runs(study)
    ]


def evidence_tables(config_name: str, studies: list[str], table: str) -> list[str]:
    """Return one table of evidence of each of these studies that is cross-fitted."""
    plan = PLANS[config_name]
    key = "diagnosis" if table == "diagnosis.tsv" else "answer"
    return [
        f"results/{config_name}/evidence/{study}/{table}"
        for study in studies
        if plan.answered_runs(study, key)
    ]


def null_studies(config_name: str, all_if_none: bool = False) -> list[str]:
    """Return the chosen studies that are fitted again with target and background exchanged."""
    plan = PLANS[config_name]
    wanted = set(plan.settings["null_test"]["studies"])
    return [
        study
        for study, row in plan.studies.items()
        if ({study, row["group"]} & wanted or (all_if_none and not wanted))
        and plan.answered_runs(study, "null_test")
    ]


def null_tables(config_name: str, table: str, all_if_none: bool = False) -> list[str]:
    """Return one table of each of these studies."""
    studies = null_studies(config_name, all_if_none)
    return [f"results/{config_name}/evidence/{study}/{table}" for study in studies]


def nulls(config_name: str) -> list[str]:
    """Return what `snakemake null` makes: of the studies that are named, or else of all."""
    studies = null_studies(config_name, all_if_none=True)
    figures = [path for study in studies for path in figure_files(config_name, study, "null")]
    return [*null_tables(config_name, "null.tsv", all_if_none=True), *figures]


def fits_of_halves(wildcards) -> list[str]:
    grid = plan_of(wildcards).settings["selection"]
    return [
        SELECTION.format(**wildcards)
        + FIT_OF_HALVES.format(k=k, alpha=format(alpha, ".10g"), split=split)
        + ".tsv"
        for k in grid["k"]
        for alpha in grid["alpha"]
        for split in range(grid["splits"])
    ]


def enriched(config_name: str, study: str) -> bool:
    plan = PLANS[config_name]
    return bool(plan.gene_sets(study) and plan.enriched_methods(study))


def group_studies(config_name: str, group: str) -> list[str]:
    """Return the chosen studies of a group, or all of them where the configuration chose none.

    The user's own data are looked into where they are chosen, and are not run where they are not.
    """
    plan = PLANS[config_name]
    return plan.study_ids(group) or [
        study
        for study, row in plan.all_studies.items()
        if row["group"] == group and not is_own(row["dataset"])
    ]


def series_studies(config_name: str, group: str, series: str) -> list[str]:
    """Return the studies of a group that one figure of the series shows."""
    plan = PLANS[config_name]
    studies = group_studies(config_name, group)
    return [study for study in studies if plan.study(study)["series"] == series]


def studies_of(config_name: str, place: str, drawing) -> list[str]:
    """Return the studies that a figure shows; `place` is its folder: a study, or a group."""
    if drawing.asked == "each":
        return PLANS[config_name].study_ids(place)
    return series_studies(config_name, place, drawing.series) if drawing.series else [place]


def series_figures(config_name: str, studies: list[str]) -> list[str]:
    """Return the figures across studies of which these are members."""
    plan = PLANS[config_name]
    rows = [plan.study(study) for study in studies]
    each = [row for row in rows if row["each"] and plan.answered_runs(row["study"])]
    files = []
    for drawing in FIGURES.values():
        if drawing.of_group:
            of_series = [row for row in rows if row["series"] == drawing.series]
            groups = [row["group"] for row in (of_series if drawing.series else each)]
            for group in dict.fromkeys(groups):
                files += figure_files(config_name, group, drawing.name)
    return files


def all_figures(config_name: str) -> list[str]:
    studies = PLANS[config_name].study_ids()
    files = [path for study in studies for path in study_figures(config_name, study)]
    return files + series_figures(config_name, studies)


def group_outputs(config_name: str, group: str) -> list[str]:
    """Return tables and figures of one group of studies."""
    studies = group_studies(config_name, group)
    files = [f"results/{config_name}/tables/studies/{study}.scores.tsv" for study in studies]
    files += [path for study in studies for path in study_figures(config_name, study)]
    return files + series_figures(config_name, studies)


def named_figures(config_name: str, column: str, name: str) -> list[str]:
    """Return the figures of the chosen studies that a column of the sheet names, else of all."""
    plan = PLANS[config_name]
    having = [study for study, row in plan.all_studies.items() if row[column] == name]
    studies = [study for study in plan.study_ids() if study in having] or having
    if column == "series":
        return series_figures(config_name, studies)
    return [path for study in studies for path in figure_files(config_name, study, name)]


def digits_figures(config_name: str) -> list[str]:
    """Return the figures of digits of the chosen studies: on natural images, and on texture."""
    plan = PLANS[config_name]
    texture = plan.study_ids("digits_texture")
    of_texture = [path for study in texture for path in study_figures(config_name, study)]
    if texture and not plan.study_ids("digits"):
        return of_texture
    return named_figures(config_name, "figure", "digits") + of_texture


def method_labels(config_name: str, drawing, studies: list[str]) -> dict:
    """Return method -> name in figures, in the order of the configuration."""
    plan = PLANS[config_name]
    rows = [row for study in studies for row in plan.method_rows(study)]
    labels = {row["method"]: row["label"] for row in rows}
    if drawing.asked == "gene_sets":
        return {name: labels[name] for name in plan.enriched_methods(studies[0])}
    if drawing.asked == "null_test":
        return {
            run.method: labels[run.method] for run in plan.answered_runs(studies[0], "null_test")
        }
    if drawing.asked in ("answer", "each"):
        return {run.method: labels[run.method] for run in plan.answered_runs(studies[0])}
    return labels


def shown_labels(config_name: str, drawing, studies: list[str]) -> dict:
    """Return the same of the methods that a figure shows."""
    labels = method_labels(config_name, drawing, studies)
    return {name: labels[name] for name in shown_methods(drawing, list(labels))}


def described(methods) -> str:
    """Return the method that a figure or text is about: the contrast, else the last one."""
    return "bcnmf" if "bcnmf" in methods else list(methods)[-1]


def report_texts(wildcards) -> list[str]:
    """Return the captions and the template that the report is rendered from."""
    texts = sorted((WORKFLOW / "report").iterdir())
    templates = sorted((WORKFLOW / "bcnmf_pipeline" / "report" / "templates").iterdir())
    return [*map(str, texts), *map(str, templates)]


def run_outputs(config_name: str) -> list[str]:
    folder = f"results/{config_name}"
    return [
        f"{folder}/report.html",
        f"{folder}/tables/scores.tsv",
        f"{folder}/tables/summary.tsv",
        f"{folder}/tables/reported_vs_reproduced.tsv",
        f"{folder}/tables/methods.md",
        f"{folder}/provenance.json",
        f"{folder}/config.yaml",
        *joint_enrichment(config_name),
        *joint_answer(config_name),
        *evidence_tables(config_name, PLANS[config_name].study_ids(), "diagnosis.tsv"),
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


def selection_advice(config_name: str) -> dict[str, str]:
    """Return what `snakemake select` said of each chosen study, where it was run."""
    found = {}
    for study in PLANS[config_name].study_ids():
        path = Path(RESULTS, config_name, "selection", study, "advice.txt")
        if path.exists():
            found[study] = " ".join(path.read_text(encoding="utf-8").split())
    return found


def joint_enrichment(config_name: str) -> list[str]:
    """Return the tables of all studies, if any is tested against gene sets."""
    folder = f"results/{config_name}/tables"
    found = enrichment_tables(config_name, "ora")
    return [f"{folder}/enrichment_ora.tsv", f"{folder}/enrichment_gsea.tsv"] if found else []


def joint_answer(config_name: str) -> list[str]:
    """Return the table of all studies, if any is cross-fitted."""
    found = answer_tables(config_name, PLANS[config_name].study_ids(), "shares.tsv")
    return [f"results/{config_name}/tables/shares.tsv"] if found else []


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
        *[
            path
            for table in ("samples.parquet", "shares.tsv")
            for path in answer_tables(config_name, PLANS[config_name].study_ids(), table)
        ],
        *joint_answer(config_name),
        *[
            path
            for table in ("programs.tsv", "diagnosis.tsv")
            for path in evidence_tables(config_name, PLANS[config_name].study_ids(), table)
        ],
        *null_tables(config_name, "null.tsv"),
    ]


def report_figures(wildcards, input) -> list[dict]:
    """Return where each figure is and what it shows, in the order of the report."""
    config_name = wildcards.config
    found = []
    for path in input.figures:
        place, drawing = Path(path).parent.name, FIGURES[Path(path).stem]
        studies = studies_of(config_name, place, drawing)
        if path.endswith(".png"):
            found.append(
                {
                    "name": drawing.name,
                    "study": place,
                    "png": path,
                    "pdf": str(Path(path).with_suffix(".pdf")),
                    "studies": studies,
                    "labels": shown_labels(config_name, drawing, studies),
                }
            )
    return found
