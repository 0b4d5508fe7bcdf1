"""Read a leukemia patient and a healthy donor from the archives of 10x Genomics."""

import warnings

from bcnmf.data.leukemia import SAMPLES, changed, read_leukemia
from bcnmf.io import atomic_path, write_table
from bcnmf.job import logged

with logged(snakemake):
    paths = {sample: snakemake.input[sample] for sample in SAMPLES}
    data = read_leukemia(paths, snakemake.input.gencode)
    for text in changed(paths, data):
        warnings.warn(text, UserWarning, stacklevel=1)
    quality = data.uns.pop("qc")
    write_table(quality.rename_axis("sample").reset_index(), snakemake.output.qc)
    with atomic_path(snakemake.output.data) as path:
        data.write_h5ad(path)
