"""The paper's figure of digits on natural images."""

import json
from pathlib import Path

from bcnmf_pipeline.figures.digits import plot_digits
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    tables = ("examples", "samples", "topics", "loadings", "scores")
    figure = plot_digits(
        *[read_table(snakemake.input[name]) for name in tables],
        json.loads(Path(snakemake.input.record).read_text())["image_shape"],
        labels=snakemake.params.labels,
        label_name=snakemake.params.label_name,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
