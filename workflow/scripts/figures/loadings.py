"""Top features of the most associated topics of bcNMF."""

from bcnmf_pipeline.figures.loadings import plot_loadings
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    # The contrast is what the study is about; a run without it shows its last method.
    method = "bcnmf" if "bcnmf" in labels else list(labels)[-1]
    figure = plot_loadings(
        read_table(snakemake.input.loadings),
        read_table(snakemake.input.topics),
        read_table(snakemake.input.features),
        method=method,
        classes=read_table(snakemake.input.samples)["label"].unique(),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
