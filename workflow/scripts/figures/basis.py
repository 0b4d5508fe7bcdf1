"""Components as images."""

import json
from pathlib import Path

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.basis import plot_basis
from bcnmf.plotting.style import save

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_basis(
        read_table(snakemake.input.loadings),
        json.loads(Path(snakemake.input.record).read_text())["image_shape"],
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
