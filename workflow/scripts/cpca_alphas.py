"""Choose contrastive PCA's alphas by its published automatic scheme."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.fit.run import values_of
from bcnmf_pipeline.methods.cpca import automatic_alphas
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_json

with logged(snakemake):
    limit_threads(snakemake.threads)
    where = f"study {snakemake.wildcards.study}, method {snakemake.wildcards.method}"
    target, background = (
        values_of(read_h5ad(snakemake.input[name]), snakemake.params.values, where)
        for name in ("target", "background")
    )
    alphas = automatic_alphas(target, background, int(snakemake.wildcards.k))
    write_json(
        {f"auto{i}": alpha for i, alpha in enumerate(sorted(a for a in alphas if a > 0), start=1)},
        snakemake.output[0],
    )
