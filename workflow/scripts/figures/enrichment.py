"""Gene sets that topics of the contrast are enriched for."""

from bcnmf_pipeline.figures.enrichment import plot_enrichment
from bcnmf_pipeline.figures.representative import setting_text
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    ora = read_table(snakemake.input.ora)
    labels = snakemake.params.labels
    found = list(dict.fromkeys(ora["method"]))
    # The contrast is what the study is about; a run without it shows its last method.
    method = "bcnmf" if "bcnmf" in labels or not found else found[-1]
    rows = ora[ora["method"] == method]
    title = labels.get(method, method)
    if len(rows):
        title += f", {setting_text(rows['k'].iloc[0], rows['alpha'].iloc[0])}"
    save(plot_enrichment(rows, title=title), snakemake.output.pdf, snakemake.output.png)
