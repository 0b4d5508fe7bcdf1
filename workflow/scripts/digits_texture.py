"""Lay the embedded digits over photographs of texture."""

from bcnmf.files import atomic_path
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.digits import digits_on_texture
from bcnmf_pipeline.record.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    seed = derive_seed("digits_texture", snakemake.wildcards.replicate)
    digits_on_texture(random_state=seed, **snakemake.params.sizes).write_h5ad(path)
