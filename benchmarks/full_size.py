"""Time and memory of the single-cell studies at their full size, on sources that were drawn.

    python benchmarks/full_size.py --out results/bench            all three; an hour, 30 GB of disk
    python benchmarks/full_size.py --studies leukemia --out /tmp/bench

The count matrices of the studies are large and belong to others, so the files are written here:
same formats and shapes, about the same number of genes a cell, at random places. They go into a
mirror, and the pipeline runs from there: reading, pairing, one bcNMF fit with the published
settings, scores. Of each step the table has the seconds and the largest resident memory that
Snakemake saw, and for the reader the size of the matrix that it wrote. Scores mean nothing here.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import yaml

from bcnmf_pipeline.acquire.registry import load_registry
from bcnmf_pipeline.record.tables import write_table

ROOT = Path(__file__).resolve().parents[1]
N_10X, N_MDD, N_CODING = 32738, 36588, 20000
_CELLS_A_BLOCK = 2000


def main() -> None:
    """Write sources, run the pipeline, print and write the table."""
    arguments = _arguments()
    rows: list[dict] = []
    for study in arguments.studies:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            rows += _run(study, Path(folder), arguments)
        write_table(pd.DataFrame(rows), arguments.out / "studies.tsv")
    print(pd.DataFrame(rows).to_string(index=False))


def _run(study: str, folder: Path, arguments: argparse.Namespace) -> Iterator[dict]:
    cells = _WRITERS[study](folder / "mirror", arguments.genes_per_cell, arguments.share)
    print(f"{study}: sources written", flush=True)
    settings = {
        "name": study, "title": study, "studies": [study], "methods": ["bcnmf"],
        "seeds": {"default": [0]}, "mirror": str(folder / "mirror"),
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
            "--directory", str(folder), "--configfile", str(folder / "config.yaml"), "--cores", "1",
            f"results/{study}/evaluation/{study}/0/scores.tsv", "--quiet", "all",
        ],
        check=True,
    )  # fmt: skip
    tables = sorted((folder / "results" / study / "benchmarks").rglob("*.tsv"))
    for path in tables:
        measured = pd.read_csv(path, sep="\t").iloc[0]
        step = path.relative_to(folder / "results" / study / "benchmarks").parts[0]
        row = {
            "study": study, "cells_in_file": cells, "step": step,
            "seconds": float(measured["s"]), "peak_MB": float(measured["max_rss"]),
        }  # fmt: skip
        if step == "datasets":
            [data] = (folder / "results" / study / "datasets").rglob("*.h5ad")
            row |= _size(data)
        yield row


def _size(path: Path) -> dict[str, float]:
    """Return the size of the sparse matrix that the reader wrote, as it lies in memory."""
    matrix = ad.read_h5ad(path, backed="r").X
    values, indices = matrix.group["data"], matrix.group["indices"]
    stored = values.shape[0]
    return {
        "matrix_MB": stored * (values.dtype.itemsize + indices.dtype.itemsize) / 2**20,
        "stored_values": stored,
    }


def _entries(
    n_cells: int, n_genes: int, per_cell: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield gene, cell (from 1) and count, some cells at a time, each place once."""
    for start in range(0, n_cells, _CELLS_A_BLOCK):
        here = min(_CELLS_A_BLOCK, n_cells - start)
        sizes = rng.poisson(per_cell, here)
        cells = np.repeat(np.arange(here), sizes)
        # Few genes are in most cells, most in few.
        genes = (n_genes * rng.random(len(cells)) ** 2).astype(np.int64)
        places = np.unique(cells * n_genes + genes)
        counts = 1 + rng.poisson(0.7, len(places))
        yield places % n_genes + 1, start + places // n_genes + 1, counts


def write_matrix(
    open_stream: Callable[[], io.BufferedIOBase], n_cells: int, n_genes: int, per_cell: int
) -> None:
    """Write a Matrix Market file, genes x cells: counted in a first pass, written in a second."""
    total = sum(len(counts) for *_, counts in _entries(n_cells, n_genes, per_cell, _rng()))
    form = pa.csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
    with open_stream() as stream:
        head = f"%%MatrixMarket matrix coordinate integer general\n{n_genes} {n_cells} {total}\n"
        stream.write(head.encode())
        for parts in _entries(n_cells, n_genes, per_cell, _rng()):
            block = io.BytesIO()
            pa.csv.write_csv(pa.table(dict(zip("gcv", parts, strict=True))), block, form)
            stream.write(block.getvalue())


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _place(mirror: Path, dataset: str, part: str) -> Path:
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    path = mirror / dataset / registry.choose(dataset, part, ROOT / "nowhere").file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _genes(n: int) -> list[tuple[str, str]]:
    return [(f"ENSG{i:011d}", f"GENE{i}") for i in range(n)]


def _barcodes(n: int) -> list[str]:
    letters = np.array(list("ACGT"))
    return ["".join(row) + "-1" for row in letters[_rng().integers(0, 4, (n, 16))]]


def _gencode(mirror: Path, n: int) -> None:
    with gzip.open(_place(mirror, "gencode", "annotation"), "wt", compresslevel=1) as stream:
        for identifier, symbol in _genes(n)[:N_CODING]:
            stream.write(
                f'chr1\tHAVANA\tgene\t1\t9\t.\t+\t.\tgene_id "{identifier}.1"; '
                f'gene_type "protein_coding"; gene_name "{symbol}";\n'
            )


def _leukemia(mirror: Path, per_cell: int, share: float) -> int:
    sizes = {"aml027_pre_transplant": 3933, "aml027_post_transplant": 3965,
             "frozen_bmmc_healthy_donor1": 1985}  # fmt: skip
    for part, size in sizes.items():
        size = int(size * share)
        with tempfile.TemporaryDirectory(dir=mirror.parent) as scratch:
            matrix = Path(scratch) / "matrix.mtx"
            write_matrix(lambda path=matrix: path.open("wb"), size, N_10X, per_cell)
            texts = {
                "genes.tsv": "".join(f"{i}\t{s}\n" for i, s in _genes(N_10X)),
                "barcodes.tsv": "\n".join(_barcodes(size)) + "\n",
            }
            with tarfile.open(_place(mirror, "leukemia", part), "w:gz", compresslevel=1) as archive:
                archive.add(matrix, "filtered_matrices_mex/hg19/matrix.mtx")
                for name, text in texts.items():
                    member = tarfile.TarInfo(f"filtered_matrices_mex/hg19/{name}")
                    member.size = len(text)
                    archive.addfile(member, io.BytesIO(text.encode()))
    _gencode(mirror, N_10X)
    return int(sum(sizes.values()) * share)


def _mixseq(mirror: Path, per_cell: int, share: float) -> int:
    lines = {f"LINE{i}_LUNG": f"ACH-{i:06d}" for i in range(24)}
    arms = {"idasanutlin": ("Idasanutlin_24hr_expt1", 3097), "dmso": ("DMSO_24hr_expt1", 2831)}
    for arm, (folder, size) in arms.items():
        size = int(size * share)
        named = [list(lines)[i] for i in _rng().integers(0, len(lines), size)]
        codes = _barcodes(size)
        table = [("barcode", "singlet_ID", "percent.mito", "cell_quality", "DepMap_ID")]
        table += [(c, n, "5.0", "normal", lines[n]) for c, n in zip(codes, named, strict=True)]
        with zipfile.ZipFile(
            _place(mirror, "mixseq", arm), "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive:
            write_matrix(
                lambda archive=archive, folder=folder: archive.open(
                    f"{folder}/matrix.mtx", "w", force_zip64=True
                ),
                size, N_10X, 2 * per_cell,
            )  # fmt: skip
            genes = "".join(f"{i}\t{s}\n" for i, s in _genes(N_10X))
            archive.writestr(f"{folder}/genes.tsv", genes)
            archive.writestr(f"{folder}/barcodes.tsv", "\n".join(codes) + "\n")
            archive.writestr(f"{folder}/classifications.csv", _csv(table))
    mutations = [
        ("Hugo_Symbol", "Variant_Classification", "DepMap_ID"),
        ("KRAS", "Silent", "ACH-000000"),
    ]
    mutations += [("TP53", "Missense_Mutation", name) for name in list(lines.values())[7:]]
    mutations += [("KRAS", "Missense_Mutation", name) for name in lines.values()]
    _place(mirror, "depmap_19q3", "mutations").write_text(_csv(mutations))
    known = [
        ("DepMap_ID", "CCLE Name"),
        *((identifier, line) for line, identifier in lines.items()),
    ]
    _place(mirror, "depmap_19q3", "cell_lines").write_text(_csv(known))
    return int((3097 + 2831) * share)


def _mdd(mirror: Path, per_cell: int, share: float) -> int:
    n = int(160_711 * share)
    donors = [f"F{i}" for i in range(1, 39)] + [f"M{i}" for i in range(1, 35)]
    kinds = ["Ast", "Oli", "ExN", "InN", "Mic", "OPC"]
    rng = _rng()
    owner = np.sort(rng.integers(0, len(donors), n))
    kind = rng.choice(len(kinds), n, p=[0.1, 0.2, 0.4, 0.2, 0.05, 0.05])
    codes = _barcodes(n)
    names = [
        f"{donors[d]}.{code}.{kinds[k]}.{kinds[k]}1"
        for d, k, code in zip(owner, kind, codes, strict=True)
    ]
    for part, values in (("cells", names), ("genes", [s for _, s in _genes(N_MDD)])):
        with gzip.open(_place(mirror, "mdd", part), "wt", compresslevel=1) as stream:
            stream.write("\n".join(['"x"', *(f'"{value}"' for value in values)]) + "\n")
    with gzip.open(_place(mirror, "mdd", "donors"), "wt") as stream:
        for key, cells in (
            ("title", donors),
            ("characteristics_ch1", [f"group: {('Case', 'Control')[i % 2]}" for i in range(72)]),
            (
                "characteristics_ch1",
                [f"Sex: {'Female' if d[0] == 'F' else 'Male'}" for d in donors],
            ),
            ("characteristics_ch1", [f"age (years): {41 + i % 19}" for i in range(72)]),
        ):
            stream.write("\t".join([f"!Sample_{key}", *(f'"{cell}"' for cell in cells)]) + "\n")
        stream.write('!series_matrix_table_begin\n"ID_REF"\n!series_matrix_table_end\n')
    path = _place(mirror, "mdd", "matrix")
    write_matrix(lambda: gzip.GzipFile(path, "wb", compresslevel=1), n, N_MDD, per_cell)
    _gencode(mirror, N_MDD)
    return n


def _csv(rows: list[tuple]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


_WRITERS = {"leukemia": _leukemia, "mixseq": _mixseq, "mdd": _mdd}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", nargs="+", choices=list(_WRITERS), default=list(_WRITERS))
    parser.add_argument("--genes-per-cell", type=int, default=1500)
    parser.add_argument("--share", type=float, default=1.0, help="of the cells, to try it out")
    parser.add_argument("--scratch", type=Path, help="folder for the sources; default: temporary")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
