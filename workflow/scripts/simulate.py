"""Draw one data set of the count simulation."""

from bcnmf.files import atomic_path
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    simulate_counts(
        beta=float(snakemake.wildcards.beta),
        # The same replicate at another beta differs in beta alone.
        random_state=derive_seed("simulation", snakemake.wildcards.replicate),
        **snakemake.params.sizes,
    ).write_h5ad(path)
