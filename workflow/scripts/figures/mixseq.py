"""Cell lines under idasanutlin, in one figure; targets of p53 have bold names."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.single_cell import plot_single_cell
from bcnmf.plotting.style import save

# Direct targets of p53 that the paper looks for (its section on MIX-seq).
P53_TARGETS = ("MDM2", "CDKN1A", "TP53I3", "FDXR", "GDF15")

with logged(snakemake):
    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    labels = snakemake.params.labels
    figure = plot_single_cell(
        **tables,
        labels=labels,
        label_name=snakemake.params.label_name,
        unit=snakemake.params.unit,
        method="bcnmf" if "bcnmf" in labels else list(labels)[-1],
        marked=P53_TARGETS,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
