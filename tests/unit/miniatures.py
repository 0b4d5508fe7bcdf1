"""Small files in the formats of the published single-cell studies, with planted programs."""

import gzip
import io
import tarfile

import numpy as np
import scipy.sparse as sp

# In one release of the 10x files: genes of which some are not coding, and a symbol that repeats.
N_GENES, N_NOT_CODING = 240, 40


def gene_table():
    """Return (Ensembl id, symbol) of every gene of the miniatures."""
    symbols = [f"GENE{i}" for i in range(N_GENES)]
    symbols[7] = symbols[3]
    return [(f"ENSG{i:011d}", symbol) for i, symbol in enumerate(symbols)]


def gtf(path):
    """Write a GTF that calls the first genes protein-coding, and others something else."""
    with gzip.open(path, "wt") as stream:
        stream.write("##description: evidence-based annotation, miniature\n")
        for i, (identifier, symbol) in enumerate(gene_table()):
            kind = "protein_coding" if i < N_GENES - N_NOT_CODING else "lncRNA"
            about = f'gene_id "{identifier}.{i % 9}"; gene_type "{kind}"; gene_name "{symbol}";'
            stream.write(f"chr1\tHAVANA\tgene\t1\t9\t.\t+\t.\t{about}\n")
            stream.write(f"chr1\tHAVANA\texon\t1\t9\t.\t+\t.\t{about}\n")


def counts(n_cells, program, strength=1.0, shared=5, seed=0):
    """Draw cells x genes: each cell has one shared program, and the one that was asked for."""
    rng = np.random.default_rng(seed)
    rates = np.full((n_cells, N_GENES), 0.05)
    for cell, block in enumerate(rng.integers(0, shared, n_cells)):
        rates[cell, 20 * block : 20 * block + 20] += 1.5
    if program is not None:
        rates[:, 100 + 25 * program : 125 + 25 * program] += strength
    return sp.csr_matrix(rng.poisson(rates * rng.lognormal(0, 0.3, (n_cells, 1))))


def matrix_market(cells_by_genes, kind="integer"):
    """Return the text of a Matrix Market file, genes x cells, entries cell by cell as 10x does."""
    stored = sp.coo_matrix(cells_by_genes)
    lines = [f"%%MatrixMarket matrix coordinate {kind} general", "%"]
    lines.append(f"{stored.shape[1]} {stored.shape[0]} {stored.nnz}")
    lines += [
        f"{gene + 1} {cell + 1} {value:d}"
        for cell, gene, value in zip(stored.row, stored.col, stored.data, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def barcodes(n_cells, seed=0):
    """Return barcodes as 10x has them."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(n_cells)]


def tenx_members(cells_by_genes, seed=0):
    """Return member -> content of a filtered_gene_bc_matrices archive."""
    folder = "filtered_matrices_mex/hg19"
    codes = barcodes(cells_by_genes.shape[0], seed)
    genes = "".join(f"{identifier}\t{symbol}\n" for identifier, symbol in gene_table())
    return {
        f"{folder}/genes.tsv": genes.encode(),
        f"{folder}/barcodes.tsv": ("\n".join(codes) + "\n").encode(),
        f"{folder}/matrix.mtx": matrix_market(cells_by_genes),
    }  # fmt: skip


def tar(path, members):
    """Write members to a .tar.gz, folders among them."""
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo("filtered_matrices_mex/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def leukemia(folder, n_cells=60):
    """Write the files of the leukemia study; return sample -> path, and the GTF."""
    sides = {
        "pre": ("aml027_pre_transplant", counts(n_cells, 0, seed=1)),
        "post": ("aml027_post_transplant", counts(n_cells + 10, 1, seed=2)),
        "healthy": ("frozen_bmmc_healthy_donor1", counts(n_cells - 10, None, seed=3)),
    }
    paths = {}
    for seed, (sample, (name, values)) in enumerate(sides.items()):
        paths[sample] = folder / f"{name}_filtered_gene_bc_matrices.tar.gz"
        tar(paths[sample], tenx_members(values, seed))
    gencode = folder / "gencode.v48.annotation.gtf.gz"
    gtf(gencode)
    return paths, gencode
