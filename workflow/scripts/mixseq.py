"""Read both arms of the MIX-seq experiment."""

import warnings

from bcnmf.data.mixseq import changed, read_mixseq
from bcnmf.io import atomic_path, write_table
from bcnmf.job import logged

with logged(snakemake):
    data = read_mixseq(
        {arm: snakemake.input[arm] for arm in ("idasanutlin", "dmso")},
        snakemake.input.mutations,
        snakemake.input.cell_lines,
    )
    for text in [*data.uns.pop("warnings"), *changed(data)]:
        warnings.warn(str(text), UserWarning, stacklevel=1)
    write_table(data.uns.pop("qc").rename_axis("arm").reset_index(), snakemake.output.qc)
    with atomic_path(snakemake.output.data) as path:
        data.write_h5ad(path)
