"""Small files in the formats of the published single-cell studies, with planted programs."""

import csv
import gzip
import io
import tarfile
import zipfile
from itertools import combinations

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


# --- MIX-seq -----------------------------------------------------------------

MIXSEQ_FOLDERS = {"idasanutlin": "Idasanutlin_24hr_expt1", "dmso": "DMSO_24hr_expt1"}
# Line -> DepMap id; the first three are wild type.
LINES = {f"LINE{i}_LUNG": f"ACH-{i:06d}" for i in range(6)}
WILD_TYPE = tuple(LINES)[:3]
P53_TARGETS = ("MDM2", "CDKN1A", "TP53I3", "FDXR", "GDF15")


def zipped(path, members):
    """Write members to a .zip, folders among them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in dict.fromkeys(name.split("/")[0] for name in members):
            archive.writestr(f"{folder}/", b"")
        for name, content in members.items():
            archive.writestr(name, content)


def csv_text(rows):
    """Return rows as R and others write them: commas, text in quotes where it needs them."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


def classifications(codes, lines, seed=0):
    """Return the text of classifications.csv, with all the columns of the source."""
    rng = np.random.default_rng(seed)
    names = (
        "barcode", "singlet_ID", "num_SNPs", "singlet_dev", "singlet_dev_z", "singlet_margin",
        "singlet_z_margin", "doublet_z_margin", "tot_reads", "doublet_dev_imp", "doublet_CL1",
        "doublet_CL2", "percent.mito", "cell_det_rate", "cell_quality", "doublet_GMM_prob",
        "DepMap_ID",
    )  # fmt: skip
    rows = [names]
    qualities = rng.choice(["normal", "doublet", "empty_droplet", "low_quality"], len(codes),
                           p=[0.9, 0.05, 0.03, 0.02])  # fmt: skip
    qualities[:4] = ["normal", "doublet", "empty_droplet", "low_quality"]
    for code, line, quality in zip(codes, lines, qualities, strict=True):
        numbers = [f"{value:.6g}" for value in rng.random(7)]
        rows.append((
            code, line, 800, *numbers[:5], 1500, numbers[5], line, "OTHER_LUNG", "6.5", numbers[6],
            quality, "" if quality == "empty_droplet" else "0.01", LINES[line],
        ))  # fmt: skip
    return csv_text(rows)


def mixseq_members(arm, n_cells=90, seed=0):
    """Return member -> content of an arm: a program a line, and in treated cells one a status."""
    rng = np.random.default_rng(seed)
    lines = rng.choice(list(LINES), n_cells)
    number = np.array([list(LINES).index(line) for line in lines])
    rates = np.full((n_cells, N_GENES), 0.05)
    for cell, line in enumerate(number):
        rates[cell, 15 * line : 15 * line + 15] += 1.5
    if arm == "idasanutlin":
        rates[np.isin(lines, WILD_TYPE), 100:130] += 1.0
        rates[~np.isin(lines, WILD_TYPE), 130:160] += 1.0
    values = sp.csr_matrix(rng.poisson(rates * rng.lognormal(0, 0.3, (n_cells, 1))))
    codes = barcodes(n_cells, seed)
    genes = "".join(f"{identifier}\t{symbol}\n" for identifier, symbol in gene_table())
    folder = MIXSEQ_FOLDERS[arm]
    return {
        f"{folder}/matrix.mtx": matrix_market(values),
        f"{folder}/genes.tsv": genes.encode(),
        f"{folder}/barcodes.tsv": ("\n".join(codes) + "\n").encode(),
        f"{folder}/classifications.csv": classifications(codes, lines, seed),
    }


def depmap(folder, lines=None, mutant=None):
    """Write mutation calls and the cell-line table of DepMap, with the columns of 19Q3.

    The wild-type lines have other mutations, one of them a silent one of TP53.
    """
    lines = dict(LINES) if lines is None else lines
    mutant = [name for name in lines if name not in WILD_TYPE] if mutant is None else mutant
    names = (
        "", "Hugo_Symbol", "Entrez_Gene_Id", "NCBI_Build", "Chromosome", "Variant_Classification",
        "Variant_Type", "isDeleterious", "Variant_annotation", "DepMap_ID",
    )  # fmt: skip
    rows = [names]
    for at, (line, identifier) in enumerate(lines.items()):
        kinds = [("KRAS", "Missense_Mutation")]
        if line in mutant:
            kinds.append(("TP53", ("Missense_Mutation", "Nonsense_Mutation")[at % 2]))
        else:
            kinds += [("TP53", "Silent"), ("TP53BP1", "Frame_Shift_Del")]
        rows += [
            (len(rows) + i, gene, 1, 37, 17, kind, "SNP", "False", "other", identifier)
            for i, (gene, kind) in enumerate(kinds)
        ]
    rows.append((len(rows), "TP53", 1, 37, 17, "Missense_Mutation", "SNP", "", "", "ACH-999999"))
    mutations, table = folder / "CCLE_mutations.csv", folder / "sample_info.csv"
    mutations.write_bytes(csv_text(rows))
    rows = [("DepMap_ID", "stripped_cell_line_name", "CCLE Name", "alias", "lineage")]
    rows += [(identifier, line.split("_")[0], line, "a, b", "lung")
             for line, identifier in lines.items()]  # fmt: skip
    rows.append(("ACH-999998", "NAMELESS", "", "", ""))
    table.write_bytes(csv_text(rows))
    return mutations, table


def mixseq(folder, n_cells=90):
    """Write the files of the MIX-seq study; return arm -> zip, mutations and cell lines."""
    zips = {}
    for seed, arm in enumerate(MIXSEQ_FOLDERS):
        zips[arm] = folder / f"{arm}.zip"
        zipped(zips[arm], mixseq_members(arm, n_cells - 20 * seed, seed + 10))
    return zips, *depmap(folder)


def mixseq_with_real_tables(folder, tables, n_entries=60, seed=0):
    """Write the study with the source's own tables of genes and cells, and drawn counts.

    Seven lines that together have 671 treated cells are made wild type; the genes that p53 acts on
    are planted in their treated cells. Which lines are wild type in truth is not known here.
    """
    zips, wild_type, known = {}, (), {}
    for at, (arm, name) in enumerate(MIXSEQ_FOLDERS.items()):
        texts = {
            file: gzip.decompress((tables / name / f"{file}.gz").read_bytes())
            for file in ("genes.tsv", "barcodes.tsv", "classifications.csv")
        }
        cells = list(csv.DictReader(io.StringIO(texts["classifications.csv"].decode())))
        lines = np.array([cell["singlet_ID"] for cell in cells])
        if arm == "idasanutlin":
            known = {cell["singlet_ID"]: cell["DepMap_ID"] for cell in cells}
            names, sizes = np.unique(lines, return_counts=True)
            wild_type = next(
                tuple(names[list(chosen)])
                for chosen in combinations(range(len(names)), 7)
                if sizes[list(chosen)].sum() == 671
            )
        symbols = [line.split("\t")[1] for line in texts["genes.tsv"].decode().splitlines()]
        rng = np.random.default_rng(seed + at)
        rows = np.repeat(np.arange(len(lines)), n_entries)
        values = sp.coo_matrix(
            (np.ones(len(rows), int), (rows, rng.integers(0, 2000, len(rows)))),
            (len(lines), len(symbols)),
        ).tolil()
        if arm == "idasanutlin":
            for gene in P53_TARGETS:
                values[np.flatnonzero(np.isin(lines, wild_type)), symbols.index(gene)] = 5
        members = {f"{name}/{file}": content for file, content in texts.items()}
        members[f"{name}/matrix.mtx"] = matrix_market(values.tocsr())
        zips[arm] = folder / f"{arm}.zip"
        zipped(zips[arm], members)
    mutant = [line for line in known if line not in wild_type]
    return zips, *depmap(folder, known, mutant), wild_type


# --- depression --------------------------------------------------------------

# Donor -> diagnosis, age. By the rule (women, 40 to 60, paired by age): cases F1 F3 F5 F7 and
# controls F2 F4 F6 F8; F10 is left over, F9, F11 and F12 are of another age, M1 is no woman.
DONORS = {
    "F1": ("Case", 41), "F2": ("Control", 41), "F3": ("Case", 47), "F4": ("Control", 48),
    "F5": ("Case", 52), "F6": ("Control", 51), "F7": ("Case", 60), "F8": ("Control", 60),
    "F9": ("Case", 39), "F10": ("Control", 55), "F11": ("Control", 24), "F12": ("Case", 61),
    "M1": ("Case", 50), "M2": ("Control", 50),
}  # fmt: skip
BROAD = ("Ast", "Oli", "Mic")


def mdd_symbols():
    """Return the symbols as the source has them: a repeated one carries .1."""
    symbols = [symbol for _, symbol in gene_table()]
    symbols[7] += ".1"
    return symbols


def mdd_nuclei(per_type=12, seed=0, donors=DONORS):
    """Return names of nuclei, donor by donor, and counts: a program a type, and one in cases."""
    rng = np.random.default_rng(seed)
    names, rates = [], []
    for at, donor in enumerate(donors):
        for kind, broad in enumerate(BROAD):
            rate = np.full(N_GENES, 0.05)
            rate[20 * kind : 20 * kind + 20] += 1.5
            rate[100:125] += 1.2 * (donors[donor][0] == "Case")
            rates += [rate] * per_type
            codes = barcodes(per_type, 1000 * at + kind)
            names += [f"{donor}.{code}.{broad}.{broad}{i % 2 + 1}" for i, code in enumerate(codes)]
    rates = np.array(rates) * rng.lognormal(0, 0.3, (len(names), 1))
    return names, sp.csr_matrix(rng.poisson(rates))


def column_x(path, values):
    """Write what R's write.csv makes of a vector, gzipped."""
    text = "".join(f'"{value}"\n' for value in ["x", *values])
    path.write_bytes(gzip.compress(text.encode()))


def series_matrix(path, donors=DONORS, ages=True, title="{donor}", key="group"):
    """Write a GEO series matrix: lines about the series, about samples, and an empty table."""

    def line(name, values):
        return "\t".join([name, *(f'"{value}"' for value in values)])

    names = list(donors)
    lines = ['!Series_title\t"Cell type specific transcriptomic differences in depression"',
             '!Series_geo_accession\t"GSE213982"', ""]  # fmt: skip
    lines.append(line("!Sample_title", [title.format(donor=name) for name in names]))
    lines.append(line("!Sample_geo_accession", [f"GSM{6598000 + i}" for i in range(len(names))]))
    lines.append(line("!Sample_characteristics_ch1", ["tissue: dlPFC (BA9)"] * len(names)))
    lines.append(line("!Sample_characteristics_ch1",
                      [f"{key}: {donors[name][0]}" for name in names]))  # fmt: skip
    sexes = ["Female" if name[0] == "F" else "Male" for name in names]
    lines.append(line("!Sample_characteristics_ch1", [f"Sex: {sex}" for sex in sexes]))
    if ages:
        lines.append(line("!Sample_characteristics_ch1",
                          [f"age (years): {donors[name][1]}" for name in names]))  # fmt: skip
    lines += ["!series_matrix_table_begin", '"ID_REF"', "!series_matrix_table_end"]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def mdd(folder, per_type=12):
    """Write the files of the depression study; return their paths, in the order of the reader."""
    stem = "GSE213982_combined_counts_matrix"
    paths = {
        "matrix": folder / f"{stem}.mtx.gz",
        "genes": folder / f"{stem}_genes_rows.csv.gz",
        "cells": folder / f"{stem}_cells_columns.csv.gz",
        "donors": folder / "GSE213982_series_matrix.txt.gz",
        "gencode": folder / "gencode.v48.annotation.gtf.gz",
    }
    names, values = mdd_nuclei(per_type)
    paths["matrix"].write_bytes(gzip.compress(matrix_market(values), 1))
    column_x(paths["genes"], mdd_symbols())
    column_x(paths["cells"], names)
    series_matrix(paths["donors"])
    gtf(paths["gencode"])
    return paths
