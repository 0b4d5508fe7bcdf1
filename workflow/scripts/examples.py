"""Take some images of a study for its figure."""

import anndata as ad

from bcnmf.examples import example_images
from bcnmf.io import write_table
from bcnmf.job import logged

with logged(snakemake):
    target, background = (ad.read_h5ad(snakemake.input[name]) for name in ("target", "background"))
    examples = example_images(target, background, target.uns["study"]["label"])
    write_table(examples, snakemake.output[0])
