"""Gene scores of one fit, and which gene sets its topics are enriched for."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.enrich.enrichment import How, enrichr, over_representation, ranked_enrichment
from bcnmf_pipeline.enrich.gene_sets import SetSizes, read_gmt
from bcnmf_pipeline.enrich.specificity import gene_scores
from bcnmf_pipeline.fit.made import read_made_fit
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import write_table

_KEY = ("study", "method", "k", "alpha", "seed")

with logged(snakemake):
    settings = snakemake.params.how
    how = How(
        n_top=settings["n_top"],
        sizes=SetSizes(settings["min_size"], settings["max_size"]),
        permutations=settings["permutations"],
    )
    fit = read_made_fit(snakemake.params.fit, snakemake.input.list)
    layer = "" if snakemake.params.values == "default" else snakemake.params.values
    target = read_h5ad(snakemake.input.target)
    background = read_h5ad(snakemake.input.background)
    genes = gene_scores(fit, target, background, layer, target.uns["study"]["unit"])
    where = f"study {snakemake.wildcards.study}, method {snakemake.wildcards.method}"
    collections = {name: read_gmt(snakemake.input[name]) for name in snakemake.params.collections}
    tables = {
        "genes": genes[genes["rank"] <= settings["genes"]],
        "ora": over_representation(genes, collections, how, where),
        "gsea": ranked_enrichment(genes, collections, how, where),
    }
    if settings["enrichr"]:
        tables["ora"] = enrichr(genes, settings["enrichr"], how, where, beside=tables["ora"])
    for name, table in tables.items():
        for place, key in enumerate(_KEY):
            table.insert(place, key, fit.info[key])
        write_table(table, snakemake.output[name])
