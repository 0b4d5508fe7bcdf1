"""Take some images of a study for its figure."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.examples import example_images
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    target, background = (read_h5ad(snakemake.input[name]) for name in ("target", "background"))
    examples = example_images(target, background, target.uns["study"]["label"])
    write_table(examples, snakemake.output[0])
