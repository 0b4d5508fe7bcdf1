"""What a run was made with: versions, machines, the commit of the code, the user's own files."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcnmf_pipeline.record.provenance import WORKFLOW, file_digest

PACKAGES = (
    "numpy", "scipy", "pandas", "scikit-learn", "numba", "torch", "anndata", "h5py", "scanpy",
    "scikit-image", "umap-learn", "gseapy", "matplotlib",
)  # fmt: skip
UNKNOWN = "unknown"


def versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that this environment holds."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # each environment holds what its own rules need
    return found


def machine(device: str) -> dict[str, Any]:
    """Return what this process computes on.

    Parameters
    ----------
    device : str
        Where a fit was computed, for instance "cpu" or "cuda:0".

    Returns
    -------
    dict
        `platform`, `cpu` (its model), `device` ("cpu", or the name of the GPU), `threads` and
        `torch` (its build).
    """
    import torch  # takes a second, and is there already but for fits of PCA alone

    cuda = device.startswith("cuda")
    return {
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": torch.cuda.get_device_name(device) if cuda else device,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }


def _cpu() -> str:
    """Return the model of the processor, as the system calls it."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", listed.read_text(), flags=re.MULTILINE)
    else:  # macOS
        named = re.search("(.+)", said_by("sysctl", "-n", "machdep.cpu.brand_string"))
    return named[1].strip() if named else platform.processor() or platform.machine()


def checkout(root: Path = WORKFLOW.parent) -> dict[str, Any]:
    """Return the commit of the repository, and the files that differ from it.

    Returns
    -------
    dict
        `commit`, "unknown" where git does not know it: an unpacked archive, no git, another user's
        folder; and, where it does, `changed`, a list of files.
    """
    # Where another workflow imports this one, a commit is unpacked into a folder of its name.
    if re.fullmatch("[0-9a-f]{40}", root.name):
        return {"commit": root.name, "changed": []}
    top = said_by("git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD").splitlines()
    # An archive that was unpacked inside of another repository is no commit of that one.
    if len(top) < 2 or not Path(top[0]).exists() or not Path(top[0]).samefile(root):
        return {"commit": UNKNOWN}
    # What users put beside the code has its own digests; what they add to it counts.
    changed = said_by("git", "-C", str(root), "diff", "-z", "--name-only", "HEAD")
    new = ("ls-files", "-z", "--others", "--exclude-standard", "--", "workflow")
    files = {*changed.split("\0"), *said_by("git", "-C", str(root), *new).split("\0")} - {""}
    return {"commit": top[1], "changed": sorted(files)}


def said_by(*command: str) -> str:
    """Return what a program prints; nothing if it fails, or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return ""
    return "" if done.returncode else done.stdout.decode(errors="replace")


def own_files(paths: Iterable[str]) -> list[dict[str, Any]]:
    """Return path, size in bytes and SHA-256 of files.

    A folder stands for those of its files that are named too, or for all of them.
    """
    named = list(map(Path, paths))
    files: list[Path] = []
    for path in named:
        if path.is_file():
            files.append(path)
        elif not any(path in other.parents for other in named):
            files += sorted(file for file in path.rglob("*") if file.is_file())
    return [
        {"file": str(file), "bytes": file.stat().st_size, "sha256": file_digest(file)}
        for file in files
    ]


def fits_of(lists: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is stated beside each fit of these lists, <fits>/<study>/<replicate>/x.json."""
    return [
        json.loads((Path(path).parents[2] / file).with_suffix(".json").read_text(encoding="utf-8"))
        for path in lists
        for file in json.loads(Path(path).read_text(encoding="utf-8"))["fits"]
    ]


def machines(fits: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the machines that fits were computed on, each with the number of its `fits`.

    Of fits that were made before this was recorded, the machine is unknown.
    """
    counted: dict[str, dict[str, Any]] = {}
    for fit in fits:
        known = fit.get("machine") or {"cpu": UNKNOWN, "device": fit["device"]}
        entry = counted.setdefault(json.dumps(known, sort_keys=True), {"fits": 0, **known})
        entry["fits"] += 1
    return list(counted.values())


def joined_versions(
    environments: Mapping[str, Mapping[str, str]], fits: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Return each package once: its version, or all of them and where each was used.

    Parameters
    ----------
    environments : mapping of name to versions
        What `versions` found in each environment.
    fits : sequence of mapping
        What is stated beside each fit; older ones may have been made with other `versions`.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for name, held in environments.items():
        for package, version in held.items():
            found.setdefault(package, {}).setdefault(version, []).append(name)
    for package, used in found.items():
        made = [fit["versions"].get(package, "") for fit in fits]
        for version in dict.fromkeys(made):
            if version and version not in used and version != "not installed":
                used[version] = [f"{made.count(version)} of {len(made)} fits"]
    return {
        package: next(iter(used))
        if len(used) == 1
        else "; ".join(f"{version} ({', '.join(names)})" for version, names in used.items())
        for package, used in found.items()
    }
