"""Read the mouse protein table."""

from bcnmf.data.mouse import read_mouse
from bcnmf.io import atomic_path
from bcnmf.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    read_mouse(snakemake.input[0]).write_h5ad(path)
