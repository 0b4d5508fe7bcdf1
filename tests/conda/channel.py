"""A conda channel of the packages that are installed here, so that no other need be reached.

Each distribution of the running Python becomes a conda package of the same version, with its own
dependencies, under the name that it has on conda-forge. Python becomes one that makes of an
environment a virtual environment of the interpreter here. Scripts are left out: none is run.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import io
import json
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from conda_package_streaming.create import conda_builder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import Subdir
from rattler.index import index_fs

_CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
_DISTRIBUTIONS = {name: one for one, name in _CONDA_NAMES.items()} | {"pytorch-cpu": "torch"}
# Channels beside conda-forge, by the packages that stand there.
_OTHER_CHANNELS = {"gseapy": "bioconda"}
_MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
_SITE = f"lib/python{_MINOR}/site-packages"
_PYTHON = ".".join(map(str, sys.version_info[:3]))


def make_channels(folder: Path, wanted: Iterable[str]) -> None:
    """Write channels into a folder, with packages of these names and all that they need."""
    found = _needed(_DISTRIBUTIONS.get(name, name) for name in wanted)
    for name, (distribution, depends) in found.items():
        version = Version(distribution.version).public
        _write(folder, _CONDA_NAMES.get(name, name), version, depends, _files(distribution))
    torch = Version(found["torch"][0].version).public
    _write(folder, "pytorch-cpu", torch, [f"pytorch =={torch}"], {})
    _write(folder, "python", _PYTHON, [], _interpreter())
    for channel in folder.iterdir():
        (channel / "noarch").mkdir()
        asyncio.run(index_fs(channel))


def _needed(wanted: Iterable[str]) -> dict[str, tuple[importlib.metadata.Distribution, list[str]]]:
    """Return each distribution with its dependencies as conda writes them."""
    found: dict[str, tuple[importlib.metadata.Distribution, list[str]]] = {}
    waiting = [Requirement(name) for name in wanted]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in found:
            continue
        distribution = importlib.metadata.distribution(name)
        needs = [Requirement(text) for text in distribution.requires or ()]
        needs = [one for one in needs if not one.marker or one.marker.evaluate({"extra": ""})]
        depends = [f"python {_MINOR}.*"]
        for one in needs:
            its = canonicalize_name(one.name)
            depends.append(f"{_CONDA_NAMES.get(its, its)} {one.specifier}".strip())
        found[name] = distribution, depends
        waiting += needs
    return found


def _files(distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    places = [place for place in distribution.files or () if not str(place).startswith("..")]
    return {f"{_SITE}/{place}": Path(place.locate()) for place in places}


def _interpreter() -> dict[str, Path | bytes]:
    """Return what makes a folder a virtual environment; paths to elsewhere become links."""
    base = Path(sys._base_executable).resolve()
    names = ("python", "python3", f"python{_MINOR}")
    settings = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {_PYTHON}\n"
    return {"pyvenv.cfg": settings.encode(), **dict.fromkeys((f"bin/{one}" for one in names), base)}


def _write(
    folder: Path, name: str, version: str, depends: list[str], files: dict[str, Path | bytes]
) -> None:
    platform = str(Subdir.current())
    place = folder / _OTHER_CHANNELS.get(name, "conda-forge") / platform
    place.mkdir(parents=True, exist_ok=True)
    about = {
        "name": name, "version": version, "build": "0", "build_number": 0,
        "subdir": platform, "depends": depends,
    }  # fmt: skip
    paths = []
    with conda_builder(f"{name}-{version}-0", place, compression_level=1) as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            linked = isinstance(content, Path) and path.startswith("bin/")
            if linked:
                entry.type, entry.linkname, data = tarfile.SYMTYPE, str(content), b""
            elif isinstance(content, Path):
                entry = archive.gettarinfo(content, arcname=path)
                data = content.read_bytes()
            else:
                data = content
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
            digest = hashlib.sha256(data).hexdigest()
            kind = "softlink" if linked else "hardlink"
            paths.append(
                {"_path": path, "path_type": kind, "sha256": digest, "size_in_bytes": len(data)}
            )
        for file, content in {
            "index.json": about,
            "paths.json": {"paths": paths, "paths_version": 1},
        }.items():
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(f"info/{file}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
