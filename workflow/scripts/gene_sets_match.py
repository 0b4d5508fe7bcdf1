"""Whether a study's genes are in its gene sets."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.enrich.gene_sets import SetSizes, check_gene_sets_match
from bcnmf_pipeline.enrich.specificity import gene_names
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    params = snakemake.params
    found = check_gene_sets_match(
        gene_names(read_h5ad(snakemake.input.target, backed=True))["symbol"],
        {name: snakemake.input[name] for name in params.collections},
        SetSizes(params.sizes["min_size"], params.sizes["max_size"]),
        params.where,
    )
    write_table(found, snakemake.output[0])
