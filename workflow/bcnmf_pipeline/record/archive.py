"""A finished run as one file for a repository such as Zenodo, described as an RO-Crate."""

from __future__ import annotations

import json
import mimetypes
import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.record.made_with import said_by
from bcnmf_pipeline.record.provenance import file_digest

# Of a run: what a reader wants. Fits and pairs can be made again from these and the downloads.
PARTS = (
    "config.yaml", "provenance.json", "report.html", "tables", "figures", "enrichment", "answer",
    "evidence", "selection",
)  # fmt: skip
WITH_FITS = ("fits",)
# Data that others own, and what a run leaves on its way.
_NEVER = {"downloads", "resources", "datasets", "pairs", ".snakemake", ".git"}
# Zip files have no earlier one; a fixed one makes equal content equal bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_TYPES = {
    ".tsv": "text/tab-separated-values", ".yaml": "application/yaml", ".smk": "text/plain",
    ".parquet": "application/vnd.apache.parquet", ".lock": "text/plain", ".cff": "text/plain",
    ".npz": "application/octet-stream", ".md": "text/markdown", ".gmt": "text/plain",
}  # fmt: skip


def write_archive(
    root: Path, run: Path, path: str | os.PathLike[str], with_fits: bool = False
) -> int:
    """Write code, configuration, tables, figures and report of a run into one .zip.

    Downloads and the data sets that were made from them are left out: most may not be
    redistributed, and `config/datasets.tsv`, which is in, says where they come from and what they
    must be. Equal content gives equal bytes.

    Parameters
    ----------
    root : Path
        The repository.
    run : Path
        Folder of a finished run, ``results/<name>``.
    path : path
        The .zip to write.
    with_fits : bool
        Also the fits.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    InputError
        The run has not finished.
    """
    missing = [name for name in PARTS[:4] if not (run / name).exists()]
    if missing:
        raise InputError(
            f"{run}: lacks {', '.join(missing)}; finish the run first: snakemake {run.name}"
        )
    results = [*PARTS, *(WITH_FITS if with_fits else ())]
    files = {f"code/{name}": root / name for name in code_files(root)}
    for part in results:
        for file in sorted(_below(run / part, follow=True)):
            files[f"results/{file.relative_to(run).as_posix()}"] = file
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    metadata = json.dumps(crate(files, run, citation), indent=2, sort_keys=True, ensure_ascii=False)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, file in sorted(files.items()):
            entry = _entry(name)
            entry.file_size = file.stat().st_size  # Says whether its header needs 64 bits.
            with file.open("rb") as content, archive.open(entry, "w") as stored:
                shutil.copyfileobj(content, stored)
        archive.writestr(_entry("ro-crate-metadata.json"), metadata + "\n")
    return len(files) + 1


def code_files(root: Path) -> list[str]:
    """Return the files of the repository: those that git knows, else all that are no results."""
    names = [name for name in said_by("git", "-C", str(root), "ls-files", "-z").split("\0") if name]
    if not names:
        names = [
            file.relative_to(root).as_posix()
            for file in _below(root)
            if not {"results", "logs", ".venv", "__pycache__"} & set(file.relative_to(root).parts)
        ]
    return sorted(
        name
        for name in names
        if not _NEVER & set(Path(name).parts[:-1]) and (root / name).is_file()
    )


def crate(files: Mapping[str, Path], run: Path, citation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an RO-Crate 1.1 that holds these files.

    References
    ----------
    Soiland-Reyes et al. 2022, Packaging research artefacts with RO-Crate, Data Science 5:97.
    """
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    settings = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    authors = [
        {"@id": f"#author-{place}", "@type": "Person",
         "name": " ".join(filter(None, [one.get("given-names"), one.get("family-names")]))
         or one.get("name", "")}
        for place, one in enumerate(citation.get("authors", []), 1)
    ]  # fmt: skip
    software = [
        {"@id": f"#software-{name}", "@type": "SoftwareApplication", "name": name,
         "softwareVersion": str(version)}
        for name, version in sorted(provenance["versions"].items())
    ]  # fmt: skip
    results = [name for name in files if name.startswith("results/")]
    parts = [_entity(name, file) for name, file in sorted(files.items())]
    dataset = {
        "@id": "./", "@type": "Dataset", "name": settings["title"],
        "description": f"Run {settings['name']!r} of the bcNMF pipeline: code, configuration, "
        "tables, figures and report. Input data are not included; code/config/datasets.tsv says "
        "where they come from.",
        "license": {"@id": f"https://spdx.org/licenses/{citation.get('license', 'MIT')}"},
        "author": [{"@id": one["@id"]} for one in authors],
        "hasPart": [{"@id": one["@id"]} for one in parts],
        "mentions": [{"@id": "#run"}],
    }  # fmt: skip
    action = {
        "@id": "#run", "@type": "CreateAction", "name": f"snakemake {settings['name']}",
        "instrument": [{"@id": "code/Snakefile"}, *({"@id": one["@id"]} for one in software)],
        "object": [{"@id": "results/config.yaml"}],
        "result": [{"@id": name} for name in sorted(results)],
        "description": f"machines: {json.dumps(provenance['machines'], sort_keys=True)}; "
        f"commit: {provenance['workflow']['commit']}",
    }  # fmt: skip
    descriptor = {
        "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }  # fmt: skip
    licence = {
        "@id": dataset["license"]["@id"], "@type": "CreativeWork",
        "name": citation.get("license", "MIT"),
    }  # fmt: skip
    graph = [descriptor, dataset, action, licence, *authors, *software, *parts]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _entity(name: str, file: Path) -> dict[str, Any]:
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    types: Any = "File"
    if name == "code/Snakefile":
        types = ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    return {
        "@id": name, "@type": types, "name": Path(name).name, "encodingFormat": kind,
        "contentSize": str(file.stat().st_size), "sha256": file_digest(file),
    }  # fmt: skip


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _below(path: Path, follow: bool = False) -> Iterable[Path]:
    """Return the files of a folder; of what links lead to, only where they are to be followed."""
    if path.is_file():
        return [path]
    files = []
    for folder, below, names in os.walk(path, followlinks=follow):
        here = Path(folder)
        # A link may lead back to where it is.
        below[:] = [
            one for one in below if not here.resolve().is_relative_to((here / one).resolve())
        ]
        files += [here / name for name in names]
    return [
        file
        for file in files
        if file.is_file() and (follow or not file.is_symlink()) and not file.name.startswith(".")
        and not _NEVER & set(file.relative_to(path).parts[:-1])
    ]  # fmt: skip
