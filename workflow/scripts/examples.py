"""Take some images of a study for its figure."""

from bcnmf.examples import example_images
from bcnmf.io import read_h5ad, write_table
from bcnmf.job import logged

with logged(snakemake):
    target, background = (read_h5ad(snakemake.input[name]) for name in ("target", "background"))
    examples = example_images(target, background, target.uns["study"]["label"])
    write_table(examples, snakemake.output[0])
