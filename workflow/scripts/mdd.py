"""Read the nuclei of the donors of the depression study."""

import warnings

from bcnmf.data.mdd import changed, read_mdd
from bcnmf.data.single_cell import EntriesRead
from bcnmf.io import atomic_path, write_table
from bcnmf.job import logged

with logged(snakemake):
    files = snakemake.input
    data = read_mdd(
        files.matrix,
        files.genes,
        files.cells,
        files.donors,
        files.gencode,
        progress=EntriesRead("GSE213982"),
    )
    for text in [*data.uns.pop("warnings"), *changed(data)]:
        warnings.warn(str(text), UserWarning, stacklevel=1)
    write_table(data.uns.pop("qc").rename_axis("donor").reset_index(), snakemake.output.qc)
    with atomic_path(snakemake.output.data) as path:
        data.write_h5ad(path)
