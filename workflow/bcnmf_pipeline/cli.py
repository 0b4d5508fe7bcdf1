"""Command line of the pipeline: ``bcnmf-pipeline new|show|simulate|archive|checksums``."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bcnmf import __version__
from bcnmf.cli import run
from bcnmf.errors import InputError
from bcnmf.files import check_writable
from bcnmf.options import add_command, add_quiet, output_path, program
from bcnmf.progress import doing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run(_parser(), arguments)


_EXAMPLES = """
  bcnmf-pipeline new mine --data cells.h5ad
  bcnmf-pipeline new mine --data cells.h5ad --target treatment=drug --background treatment=vehicle
  bcnmf-pipeline show results/mine
  bcnmf-pipeline archive results/mine
"""
_NEW_EXAMPLES = """
  bcnmf-pipeline new mine --data cells.h5ad
  bcnmf-pipeline new mine --data cells.h5ad --target treatment=drug --background treatment=vehicle
  bcnmf-pipeline new mine --data cells.h5ad --target treatment=drug quality=good \\
      --background treatment=vehicle quality=good --unit donor --each cell_type
  bcnmf-pipeline new --check mine.yaml

Several conditions must hold all; several values, with commas, are any of them: treatment=drug,both.
Put names with spaces into quotes: --target 'cell type=B cell'.
"""
_SIMULATE = """
  bcnmf-pipeline simulate --beta 2 --out drawn.h5ad
  bcnmf-pipeline simulate --beta 0 --genes 1500 --cells 200 --seed 1 --out drawn.h5ad
"""
_SHOW = """
  bcnmf-pipeline show results/quick
"""
_ARCHIVE = """
  bcnmf-pipeline archive results/quick
  bcnmf-pipeline archive results/quick --with-fits --out quick.zip
"""
_CHECKSUMS = """
  bcnmf-pipeline checksums --dataset mnist --mirror /path/to/files
"""


def _parser() -> argparse.ArgumentParser:
    parser, commands = program(
        "bcnmf-pipeline", "Around runs of the bcNMF pipeline.", _EXAMPLES, __version__
    )

    _add_new(commands)

    simulate = add_command(commands, "simulate", "draw the paper's count simulation", _SIMULATE)
    simulate.add_argument("--beta", type=float, required=True, help="strength of shared programs")
    simulate.add_argument("--genes", type=int, default=3000, help="how many")
    simulate.add_argument("--cells", type=int, default=1000, help="cells in each of the two sides")
    simulate.add_argument("--seed", type=int, default=0, help="of all that is random")
    simulate.add_argument(
        "--out", required=True, type=output_path, help=".h5ad, column `side` in obs"
    )
    add_quiet(simulate)
    simulate.set_defaults(command=_simulate)

    show = add_command(commands, "show", "print the answer and the scores of a finished run", _SHOW)
    show.add_argument("folder", type=Path, help="for instance results/quick")
    add_quiet(show)
    show.set_defaults(command=_show)

    archive = add_command(
        commands,
        "archive",
        "a finished run as one .zip with RO-Crate metadata, for Zenodo and the like",
        _ARCHIVE,
    )
    archive.add_argument("folder", type=Path, help="for instance results/paper")
    archive.add_argument("--out", type=output_path, help="default: in the folder of the run")
    archive.add_argument("--with-fits", action="store_true", help="also the fits")
    add_quiet(archive)
    archive.set_defaults(command=_archive)

    checksums = add_command(
        commands,
        "checksums",
        "fetch files whose checksum is pending, and write it into the sheet",
        _CHECKSUMS,
    )
    checksums.add_argument(
        "--sheet", type=Path, default=Path("config/datasets.tsv"), help="of data sets"
    )
    checksums.add_argument(
        "--folder", type=Path, default=Path("resources/downloads"), help="of downloads"
    )
    checksums.add_argument("--dataset", nargs="*", default=[], help="only these; default: all")
    checksums.add_argument("--mirror", help="folder or base URL that is asked first")
    add_quiet(checksums)
    checksums.set_defaults(command=_checksums)
    return parser


def _add_new(commands: Any) -> None:
    new = add_command(
        commands,
        "new",
        "start with your own data: look into the file, write its sheet and configuration",
        _NEW_EXAMPLES,
        " NAME.tsv and NAME.yaml, which the pipeline runs, are written into this folder; without "
        "--target it shows what the file holds, and writes nothing.",
    )
    new.add_argument("name", nargs="?", metavar="NAME", help="of the study; letters, digits, _, -")
    new.add_argument("--data", metavar="FILE", help="samples x features; README.md names formats")
    for side, what in (("target", "hold what you look for"), ("background", "are the comparison")):
        new.add_argument(
            f"--{side}", nargs="+", metavar="COLUMN=VALUE", help=f"the samples that {what}"
        )
    new.add_argument("--unit", metavar="COLUMN", help="what was replicated: donor, mouse, dish")
    new.add_argument(
        "--batch",
        metavar="COLUMN",
        help="batches, which then count alike: run, library; several with commas",
    )
    new.add_argument("--label", metavar="COLUMN", help="held out; topics are compared with it")
    new.add_argument("--each", metavar="COLUMN", help="a study for each value, as of cell_type")
    new.add_argument("--layer", help="raw, or a layer, to take in place of X")
    new.add_argument(
        "--values", choices=("auto", "counts", "log", "raw"), default="auto", help="of the matrix"
    )
    new.add_argument(
        "--gene-sets", metavar="NAMES", help="what topics are tested against; default: core"
    )
    new.add_argument("--title", help="of the report")
    new.add_argument("--force", action="store_true", help="write over files that are there")
    new.add_argument(
        "--check", type=Path, metavar="SHEET", help="only look at a .tsv or .yaml that is there"
    )
    add_quiet(new)
    new.set_defaults(command=_new)


def _new(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.start.check import check_file
    from bcnmf_pipeline.start.new import start

    if options.check is not None:
        with doing(f"checking {options.check}"):
            found = check_file(options.check)
        print(found)
        return
    with doing(f"looking into {options.data}"):
        found = start(
            options.name,
            options.data,
            {
                "target": ";".join(options.target or []),
                "background": ";".join(options.background or []),
                "unit": options.unit,
                "batch": options.batch,
                "label": options.label,
                "each": options.each,
                "layer": options.layer,
                "values": options.values.removeprefix("auto"),
                "gene_sets": options.gene_sets,
            },
            title=options.title,
            force=options.force,
        )
    print(found)


def _simulate(options: argparse.Namespace) -> int:
    from bcnmf.saving import save
    from bcnmf.tools import write
    from bcnmf_pipeline.datasets.simulation import simulate_counts

    with doing("drawing counts"):
        drawn = simulate_counts(
            beta=options.beta,
            n_genes=options.genes,
            n_target=options.cells,
            n_background=options.cells,
            random_state=options.seed,
        )
    if not save(partial(write, drawn), options.out):
        return 2
    print(f"{options.out}: {drawn.n_obs} cells x {drawn.n_vars} genes")
    return 0


def _archive(options: argparse.Namespace) -> int:
    from bcnmf.saving import save
    from bcnmf_pipeline.record.archive import write_archive

    run = options.folder
    path = options.out or check_writable(run / f"bcnmf-{run.resolve().name}.zip")
    root = Path(__file__).resolve().parents[2]
    if not save(partial(write_archive, root, run, with_fits=options.with_fits), path):
        return 2
    with zipfile.ZipFile(path) as archive:
        n = len(archive.namelist())
    print(f"{path}: {n} files, {path.stat().st_size / 2**20:.1f} MB, ro-crate-metadata.json inside")
    return 0


def _checksums(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.acquire.checksums import fill_checksums

    failed = fill_checksums(
        check_writable(options.sheet),
        options.folder,
        datasets=tuple(options.dataset),
        mirror=options.mirror,
    )
    if failed:
        raise InputError("could not be had:\n  - " + "\n  - ".join(failed))


def _show(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.record.tables import read_table
    from bcnmf_pipeline.report.front import answer_text
    from bcnmf_pipeline.report.tables import scores_text_table

    with doing(f"reading {options.folder}"):
        answer = answer_text(options.folder)
        summary = read_table(options.folder / "tables" / "summary.tsv")
    print(answer)
    if scores := scores_text_table(summary):
        print(scores)
    print(f"Report: {options.folder / 'report.html'}")
