"""Components as images."""

import json
from pathlib import Path

from bcnmf_pipeline.figures.basis import plot_basis
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_basis(
        read_table(snakemake.input.loadings),
        json.loads(Path(snakemake.input.record).read_text())["image_shape"],
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
