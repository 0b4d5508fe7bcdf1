"""A methods section and its references, from the configuration of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BCNMF = (
    "@article{bcnmf, author = {Li and Yang and Li}, title = {Disentangling Shared and "
    "Target-Enriched Topics via Background-Contrastive Non-negative Matrix Factorization}, "
    "journal = {arXiv}, eprint = {2602.22387}}"
)
REFERENCES = {
    "bcnmf": BCNMF,
    "nmf": "@article{nmf, author = {Lee, D. D. and Seung, H. S.}, title = {Learning the parts of "
    "objects by non-negative matrix factorization}, journal = {Nature}, volume = {401}, "
    "pages = {788--791}, year = {1999}}",
    "cpca": "@article{cpca, author = {Abid, A. and Zhang, M. J. and Bagaria, V. K. and Zou, J.}, "
    "title = {Exploring patterns enriched in a dataset with contrastive principal component "
    "analysis}, journal = {Nature Communications}, volume = {9}, pages = {2134}, year = {2018}}",
    "crossfit": "@article{crossfit, author = {Chernozhukov, V. and Chetverikov, D. and Demirer, M. "
    "and Duflo, E. and Hansen, C. and Newey, W. and Robins, J.}, title = {Double/debiased machine "
    "learning for treatment and structural parameters}, journal = {The Econometrics Journal}, "
    "volume = {21}, pages = {C1--C68}, year = {2018}}",
    "sklearn": "@article{sklearn, author = {Pedregosa, F. and others}, title = {Scikit-learn: "
    "machine learning in Python}, journal = {Journal of Machine Learning Research}, volume = {12}, "
    "pages = {2825--2830}, year = {2011}}",
    "scanpy": "@article{scanpy, author = {Wolf, F. A. and Angerer, P. and Theis, F. J.}, title = "
    "{SCANPY: large-scale single-cell gene expression data analysis}, journal = {Genome Biology}, "
    "volume = {19}, pages = {15}, year = {2018}}",
    "umap": "@article{umap, author = {McInnes, L. and Healy, J. and Melville, J.}, title = {UMAP: "
    "Uniform Manifold Approximation and Projection for Dimension Reduction}, journal = {arXiv}, "
    "eprint = {1802.03426}, year = {2018}}",
    "gseapy": "@article{gseapy, author = {Fang, Z. and Liu, X. and Peltz, G.}, title = {GSEApy: a "
    "comprehensive package for performing gene set enrichment analysis in Python}, journal = "
    "{Bioinformatics}, volume = {39}, pages = {btac757}, year = {2023}}",
    "snakemake": "@article{snakemake, author = {M{\\\"o}lder, F. and others}, title = {Sustainable "
    "data analysis with Snakemake}, journal = {F1000Research}, volume = {10}, pages = {33}, "
    "year = {2021}}",
}  # fmt: skip
_LOSSES = {"squared_error": "squared error", "poisson": "Poisson likelihood"}
_USED = {"log": "Log values were used as they are", "raw": "Values were used as they are"}
_SCALED = "scaled to 10,000 per sample and log1p-transformed"


def methods_text(
    settings: Mapping[str, Any],
    studies: Sequence[Mapping[str, str]],
    rows: Mapping[str, Sequence[Mapping[str, str]]],
    seeds: Mapping[str, int],
    replicates: Mapping[str, int],
    provenance: Mapping[str, Any],
    records: Mapping[str, Mapping[str, Any]],
    answered: Mapping[str, Sequence[str]],
) -> str:
    """Return paragraphs for a methods section, then BibTeX entries.

    Parameters
    ----------
    settings : mapping
        The merged configuration.
    studies : sequence of mapping
        Rows of the studies sheet that were run.
    rows : mapping of study to rows
        Rows of the methods sheet that each study was fitted with.
    seeds, replicates : mapping of study to int
        How many fit seeds and data replicates.
    provenance : mapping
        What `provenance.json` states: `versions`, `workflow`, `machines`.
    records : mapping of study to mapping
        What the pairing recorded.
    answered : mapping of study to sequence of str
        Names of the methods whose fits were cross-fitted.
    """
    groups = _alike(studies, rows, seeds, replicates, records)
    parts = [
        _study(one, rows[one[0]["study"]], seeds, replicates, records[one[0]["study"]])
        for one in groups
    ]
    parts.append(_evaluation(settings, studies))
    crossfitted = list(dict.fromkeys(name for names in answered.values() for name in names))
    if crossfitted:
        parts.append(_answer(settings, studies, rows, crossfitted))
    enriched = [row for row in studies if row.get("gene_sets")]
    if enriched:
        parts.append(_enrichment(settings, enriched))
    parts.append(_software(provenance))
    algorithms = {row["algorithm"] for group in rows.values() for row in group}
    keys = _cited(algorithms, studies, bool(crossfitted), bool(enriched))
    return "\n\n".join([*parts, "\n".join(REFERENCES[key] for key in keys)]) + "\n"


def _alike(
    studies: Sequence[Mapping[str, str]],
    rows: Mapping[str, Sequence[Mapping[str, str]]],
    seeds: Mapping[str, int],
    replicates: Mapping[str, int],
    records: Mapping[str, Mapping[str, Any]],
) -> list[list[Mapping[str, str]]]:
    """Gather studies of one group that were treated alike: they share a paragraph."""
    found: dict[tuple[Any, ...], list[Mapping[str, str]]] = {}
    for row in studies:
        name = row["study"]
        treated = tuple(str(sorted(one.items())) for one in rows[name])
        key = (
            row["group"], _values(records[name]), row["n_top_features"], treated, seeds[name],
            replicates[name], row.get("batch", ""),
        )  # fmt: skip
        found.setdefault(key, []).append(row)
    return list(found.values())


def _study(
    group: Sequence[Mapping[str, str]],
    rows: Sequence[Mapping[str, str]],
    seeds: Mapping[str, int],
    replicates: Mapping[str, int],
    record: Mapping[str, Any],
) -> str:
    first = group[0]
    titles = "; ".join(row["title"] for row in group)
    text = (
        f"{titles}. Targets were the samples with {first['target']}, backgrounds those with "
        f"{first['background']}. {_values(record)}. "
    )
    text += f"Fitted were {_listed([_method(row) for row in rows])}. "
    if first.get("batch"):
        unit = f" and, within it, every {first['unit']}" if first.get("unit") else ""
        text += (
            f"In fits of bcNMF, NMF and models of shared topics, and in cross-fits, samples were "
            f"weighted so that every batch ({first['batch']}){unit} counted alike on each side. "
        )
    runs = [_count(seeds[first["study"]], "seed")]
    if replicates[first["study"]] > 1:
        runs.append(_count(replicates[first["study"]], "data replicate"))
    return text + f"Every iterative method was run with {_listed(runs)}."


def _values(record: Mapping[str, Any]) -> str:
    """Return what was done to the values, in the order in which it was done."""
    study = record["study"]
    n_top = study.get("n_top_features")
    chosen = (
        f"the {n_top} most variable features of target and background together were kept (scanpy, "
        "flavour 'seurat')"
    )
    if study["values"] != "counts":
        used = _USED[study["values"]]
        return f"{used}, and {chosen}" if n_top else used
    if record["scaled_over"] == "all":
        scaled = f"Counts were {_SCALED}, over all features of the data"
        return f"{scaled}; then {chosen}" if n_top else scaled
    if n_top:
        return f"First {chosen}; then the counts of these were {_SCALED}"
    return f"Counts were {_SCALED}"


def _method(row: Mapping[str, str]) -> str:
    k = row["k"].replace(",", ", ")
    kind = row["algorithm"]
    if kind == "pca":
        return f"PCA with {k} components"
    if kind == "cpca":
        alpha = (
            "contrasts of its automatic scheme"
            if row["alpha"] == "auto"
            else f"alpha = {row['alpha'].replace(',', ', ')}"
        )
        return f"contrastive PCA with {k} components ({alpha}) [cpca]"
    limit = f"at most {row['max_iter']}" if float(row["tol"] or 0) > 0 else row["max_iter"]
    if kind == "combined":
        return (
            f"the model of combined bases with K = {k} topics of a shared and a target part "
            f"(squared error, penalty {row['penalty']} on their overlap, {limit} iterations) "
            "[bcnmf]"
        )
    loss = _LOSSES[row["loss"]]
    data = " on counts" if row["values"] == "counts" else ""
    if kind == "shared":
        return (
            f"the model of {row['n_shared']} shared and {k} target topics{data} ({loss}, {limit} "
            f"iterations a stage{_of_misfit(row)})"
        )
    solver = (
        "multiplicative updates"
        if row["solver"] == "mu"
        else "the safeguarded solver, descent on the reduced objective"
    )
    if row["loss"] == "poisson" and row["damping"]:
        solver += f" damped with exponent {row['damping']}"
    if kind == "nmf":
        return f"NMF{data} ({loss}, K = {k}, {solver}, {limit} iterations) [nmf]"
    alpha = row["alpha"].replace(",", ", ")
    relative = (
        ", relative to the energies of target and background"
        if row["contrast"] == "relative"
        else ""
    )
    return (
        f"bcNMF{data} ({loss}, K = {k}, contrast alpha = {alpha}{relative}; {solver}, {limit} "
        "iterations) [bcnmf]"
    )


def _of_misfit(row: Mapping[str, str]) -> str:
    """Return what is done where the background does not fit."""
    said = {
        ("shared_from", "both"): "shared topics of target and background together",
        ("second_round", "auto"): "a second round of target topics where the background lacks some",
        ("second_round", "always"): "a second round of target topics",
        ("offsets", "side"): "offsets of features between target and background",
    }
    found = [text for (column, value), text in said.items() if row.get(column) == value]
    return "".join(f"; {text}" for text in found)


def _evaluation(settings: Mapping[str, Any], studies: Sequence[Mapping[str, str]]) -> str:
    how = settings["evaluation"]
    umap = (
        f"a two-dimensional UMAP of the usages ({how['umap_neighbors']} neighbours, minimal "
        f"distance {how['umap_min_dist']:g}) [umap]"
    )
    labels = list(dict.fromkeys(row["label"] for row in studies if row["label"]))
    if not labels:
        return f"No label was held out. Samples are shown on {umap}."
    text = (
        f"Labels ({_listed(labels)}) were held out from all fits. Usages, usages divided by their "
        f"sum, and {umap} were clustered by k-means with as many clusters as classes (10 starts) "
        "and compared with the labels by the adjusted Rand index. Topics were tested for "
        "association with the label by Welch's test over samples"
    )
    if any(row["unit"] for row in studies):
        text += (
            "; where samples are replicates of a unit they are not independent, and the test on "
            "means of units counts (paired where units hold both classes). For units, scores were "
            "computed by majority, with 95% intervals from "
            f"{how['bootstrap']} resamples of whole units"
        )
    return f"{text}. P-values were adjusted over the topics of a fit (Benjamini-Hochberg)."


def _answer(
    settings: Mapping[str, Any],
    studies: Sequence[Mapping[str, str]],
    rows: Mapping[str, Sequence[Mapping[str, str]]],
    methods: Sequence[str],
) -> str:
    used = [row for group in rows.values() for row in group if row["label"] in methods]
    solved = "by non-negative least squares"
    if any(row["loss"] == "poisson" for row in used):
        solved += " (of Poisson models by likelihood, as shares of what is fitted to the sample)"
    folds = settings["answer"]["folds"]
    with_units = any(row["unit"] for row in studies)
    parts = ", where both sides have several units, of whole units" if with_units else ""
    drawn = "samples"
    drawn += ", or of whole units where a side has several," if with_units else ""
    return (
        "The target score of a sample is the square root of the sum of its usages of the target's "
        f"topics, which are solved {solved} beside at most 10 topics of the "
        "background, fitted to it by NMF [nmf]: the background may explain what it can. How many "
        f"samples hold something that the background does not was cross-fitted [crossfit] "
        f"({_listed(methods)}): target and background were split into {folds} parts at random"
        f"{parts}, and each sample was scored by a fit to the other parts. It counts if its score "
        "exceeds the 95% point of the background samples that were left out with it, so that 5% "
        "are expected by chance. Intervals (95%) are over draws of "
        f"{drawn} of target and background. What there is to see beside topics was found in the "
        "same way by a classifier: logistic regression of target against background, with balanced "
        "classes, on at most 50 principal "
        "components [sklearn]."
    )


def _enrichment(settings: Mapping[str, Any], studies: Sequence[Mapping[str, str]]) -> str:
    how = settings["enrichment"]
    names = list(dict.fromkeys(n for row in studies for n in row["gene_sets"].split(",")))
    files = [f"{name} ({how['collections'][name]})" for name in names]
    return (
        f"Topics were tested against gene sets ({_listed(files)}) with GSEApy [gseapy]: "
        f"over-representation among the {how['n_top']} genes with the largest scores (loading "
        "times contrast specificity) by the hypergeometric test against the genes of the fit, and "
        f"pre-ranked GSEA with {how['permutations']} permutations; sets of {how['min_size']} to "
        f"{how['max_size']} genes; p-values adjusted over all topics and sets (Benjamini-Hochberg)."
    )


def _software(provenance: Mapping[str, Any]) -> str:
    shown = [f"{name} {version}" for name, version in provenance["versions"].items()]
    workflow = provenance["workflow"]
    ours = f"version {workflow['version']}"
    if workflow.get("changed") is not None:  # git knows the checkout
        changes = ", with changes" if workflow["changed"] else ""
        ours += f", commit {workflow['commit'][:12]}{changes}"
    return (
        f"The analysis was run with Snakemake [snakemake] and the bcNMF workflow ({ours}); "
        f"software: {', '.join(shown)}. Fits were computed on "
        f"{_listed([_machine(one) for one in provenance['machines']])}."
    )


def _machine(one: Mapping[str, Any]) -> str:
    gpu = "" if one["device"] == "cpu" else f"{one['device']} with "
    threads = f", {_count(one['threads'], 'thread')}" if "threads" in one and not gpu else ""
    torch = f", torch {one['torch']}" if "torch" in one else ""
    cpu = "an unknown processor" if one["cpu"] == "unknown" else one["cpu"]
    return f"{gpu}{cpu} ({_count(one['fits'], 'fit')}{threads}{torch})"


def _cited(
    algorithms: set[str],
    studies: Sequence[Mapping[str, str]],
    crossfitted: bool,
    enriched: bool,
) -> list[str]:
    keys = ["bcnmf"] if algorithms & {"bcnmf", "shared", "combined"} else []
    keys += ["nmf"] if crossfitted or "nmf" in algorithms else []
    keys += ["cpca"] if "cpca" in algorithms else []
    keys += ["crossfit", "sklearn"] if crossfitted else []
    if any(row["n_top_features"] for row in studies):
        keys.append("scanpy")
    return [*keys, "umap", *(["gseapy"] if enriched else []), "snakemake"]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
