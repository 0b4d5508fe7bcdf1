"""Command line of the pipeline: ``bcnmf-pipeline simulate|show|archive|checksums``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bcnmf import __version__
from bcnmf.cli import output_path, run
from bcnmf.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bcnmf-pipeline", description="Around runs of the bcNMF pipeline."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    simulate = commands.add_parser("simulate", help="draw the paper's count simulation")
    simulate.add_argument("--beta", type=float, required=True, help="strength of shared programs")
    simulate.add_argument("--genes", type=int, default=3000)
    simulate.add_argument("--cells", type=int, default=1000, help="cells in each of the two sides")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument(
        "--out", required=True, type=output_path, help=".h5ad, column `side` in obs"
    )
    simulate.set_defaults(command=_simulate)

    show = commands.add_parser("show", help="print the scores of a finished run")
    show.add_argument("folder", type=Path, help="for instance results/quick")
    show.set_defaults(command=_show)

    archive = commands.add_parser(
        "archive", help="a finished run as one .zip with RO-Crate metadata, for Zenodo and the like"
    )
    archive.add_argument("folder", type=Path, help="for instance results/paper")
    archive.add_argument("--out", type=output_path, help="default: in the folder of the run")
    archive.add_argument("--with-fits", action="store_true", help="also the fits")
    archive.set_defaults(command=_archive)

    checksums = commands.add_parser(
        "checksums", help="fetch files whose checksum is pending, and write it into the sheet"
    )
    checksums.add_argument("--sheet", type=Path, default=Path("config/datasets.tsv"))
    checksums.add_argument("--folder", type=Path, default=Path("resources/downloads"))
    checksums.add_argument("--dataset", nargs="*", default=[], help="only these; default: all")
    checksums.add_argument("--mirror", help="folder or base URL that is asked first")
    checksums.set_defaults(command=_checksums)
    return parser


def _simulate(options: argparse.Namespace) -> None:
    from bcnmf.tools import write
    from bcnmf_pipeline.datasets.simulation import simulate_counts

    drawn = simulate_counts(
        beta=options.beta,
        n_genes=options.genes,
        n_target=options.cells,
        n_background=options.cells,
        random_state=options.seed,
    )
    write(drawn, options.out)
    print(f"{options.out}: {drawn.n_obs} cells x {drawn.n_vars} genes")


def _archive(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.record.archive import write_archive

    run = options.folder
    path = options.out or run / f"bcnmf-{run.resolve().name}.zip"
    root = Path(__file__).resolve().parents[2]
    n = write_archive(root, run, path, options.with_fits)
    print(f"{path}: {n} files, {path.stat().st_size / 2**20:.1f} MB, ro-crate-metadata.json inside")


def _checksums(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.acquire.checksums import fill_checksums

    failed = fill_checksums(
        options.sheet,
        options.folder,
        datasets=tuple(options.dataset),
        mirror=options.mirror,
    )
    if failed:
        raise InputError("could not be had:\n  - " + "\n  - ".join(failed))


def _show(options: argparse.Namespace) -> None:
    from bcnmf_pipeline.record.tables import read_table
    from bcnmf_pipeline.report.tables import scores_text_table

    summary = options.folder / "tables" / "summary.tsv"
    if not summary.exists():
        raise InputError(f"{summary}: no such file; run `snakemake {options.folder.name}` first")
    print(scores_text_table(read_table(summary)))
    print(f"Report: {options.folder / 'report.html'}")
