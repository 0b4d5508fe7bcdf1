"""Write the blood cells that ship with scanpy."""

from bcnmf.files import atomic_path
from bcnmf_pipeline.datasets.pbmc import pbmc68k_reduced
from bcnmf_pipeline.record.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    pbmc68k_reduced().write_h5ad(path)
