"""Write the blood cells that ship with scanpy."""

from bcnmf.data.pbmc import pbmc68k_reduced
from bcnmf.io import atomic_path
from bcnmf.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    pbmc68k_reduced().write_h5ad(path)
