"""Lay MNIST digits over natural images."""

from bcnmf.files import atomic_path
from bcnmf_pipeline.datasets.idx import read_digits
from bcnmf_pipeline.datasets.mnist_images import TEN, TWO, digits_on_images
from bcnmf_pipeline.datasets.natural_images import read_crops
from bcnmf_pipeline.record.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    files = zip(snakemake.input.images, snakemake.input.labels, strict=True)
    digits_on_images(
        read_digits(list(files)),
        read_crops(snakemake.input.crops),
        classes={"two": TWO, "ten": TEN}[snakemake.wildcards.digits],
        share=snakemake.params.share,
        # The same split with two digits and with ten, published or not.
        split=f"split {snakemake.wildcards.replicate}",
        published=bool(snakemake.wildcards.protocol),
    ).write_h5ad(path)
