"""Set up .venv with the versions of requirements.lock: `make setup` runs this.

The standard library is enough. uv installs the lock, or pip where uv cannot be had, and compares
checksums. torch follows in the build for this machine: with an NVIDIA driver that for CUDA, else
that for the processor, which is a tenth in size. What was cut off is begun anew by the next call,
from the packages that were downloaded.

    python3.13 envs/setup.py [python3.12 ...]

The further Pythons are gone over to where torch without CUDA can be had for one of these alone.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / os.environ.get("BCNMF_VENV", ".venv")
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
NAMES = ROOT / "requirements.in"
TOOLS = ("pip", "uv")
# Exists while .venv is being made: what is there may be half of something.
UNFINISHED = VENV / ".unfinished"
INSTALLED = VENV / ".installed"
# PyTorch's own index of builds for the processor, or a mirror of it.
CPU_INDEX = os.environ.get("BCNMF_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
# GB as measured on Linux: what there is to download for torch, and .venv with everything in it.
SIZES = {"CPU": (0.2, 2.2), "CUDA": (2.7, 5.8)}


class SetupError(Exception):
    """What stopped the set-up, and what to do about it."""


def say(text: str) -> None:
    """Print a line before the programs that are run next print theirs."""
    print(text, flush=True)


def run(*command: str | Path, **variables: str) -> None:
    """Run a program; where it fails, say so, and which disk is full."""
    # Not into the user's own folder, and no gigabytes through a small /tmp.
    settings = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(VENV / "tmp")}
    try:
        code = subprocess.run(
            command, env=os.environ | settings | variables, check=False
        ).returncode
    except OSError as error:  # as a program that was built for another system
        say(f"{error}")
        code = 1
    if code:
        raise SetupError(f"This failed: {shlex.join(map(str, command))}{full_disks()}")


def output(*command: str | Path) -> str:
    """Return what a program prints, stripped; nothing where it fails or does not exist."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def full_disks() -> str:
    """Return which of the folders that are written to is full, and the remedy."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    full = [
        f"\nNo room is left on the disk of {folder}: make some, or have {name}"
        for folder, name in (
            (VENV, "make .venv a link to a folder elsewhere"),
            (cache, "the cache of downloads elsewhere, XDG_CACHE_HOME=/path"),
        )
        if folder.exists() and shutil.disk_usage(folder).free < 0.2e9
    ]
    return "".join(full)


# .venv ------------------------------------------------------------------------


def version_of(python: str | Path) -> str:
    """Return the version of a Python, as 3.12; empty where the lock is not made for it."""
    found = output(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    return found if found in ("3.11", "3.12", "3.13", "3.14") else ""


def make_venv(python: str | Path) -> bool:
    """Make .venv, unless one is there that is whole, whoever made it; return whether it is new.

    One that was cut off, or whose Python has gone, is made anew.
    """
    there = version_of(PYTHON)
    whole = bool(there and output(PYTHON, "-m", "pip", "--version")) and not UNFINISHED.exists()
    if whole:
        if there != version_of(python):
            say(f".venv has Python {there} and keeps it; for another, delete .venv first")
    else:
        if not output(python, "-c", "import ensurepip, venv; print('here')"):
            raise SetupError(
                f"{python} has no ensurepip, so it cannot make .venv. Debian and Ubuntu have it in "
                f"a package: apt-get install python{version_of(python)}-venv (as root). "
                "Or name another Python: make PYTHON=/path/to/python3"
            )
        VENV.mkdir(exist_ok=True)
        UNFINISHED.touch()
        run(python, "-m", "venv", "--clear", VENV, TMPDIR=tempfile.gettempdir())
    INSTALLED.unlink(missing_ok=True)
    UNFINISHED.touch()
    (VENV / "tmp").mkdir(exist_ok=True)
    for tool in TOOLS:
        install_tool(tool)
    return not whole


# The lock ---------------------------------------------------------------------


def pinned(name: str, file: Path = LOCK) -> str:
    """Return the lines of one package in a file, checksums included."""
    found = re.search(rf"^{name}==.*(?:\n +--hash.*)*", file.read_text(), re.MULTILINE)
    if not found:
        raise SetupError(f"{file}: no line {name}==<version>; `make lock` writes the lock")
    return found.group()


def install_tool(name: str) -> None:
    """Install pip or uv as locked; without either, the pip of this Python does everything."""
    lines = VENV / "tmp" / f"{name}.txt"
    lines.write_text(pinned(name))
    try:
        run(
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "-r",
            lines,
        )
    except SetupError as error:
        say(f"{error}\nIt goes on without this {name}")


def install_lock() -> None:
    """Install all that is locked but the tools, which not every machine can have."""
    rest = VENV / "tmp" / "lock.txt"
    lines = LOCK.read_text()
    for tool in TOOLS:
        lines = lines.replace(pinned(tool), "")
    rest.write_text(lines)
    n = len(re.findall(r"^[\w.-]+==", lines, re.MULTILINE))
    say(f"Installing {n} packages of {LOCK.name}, then torch; what was downloaded once is kept")
    install("--no-deps", "--require-hashes", "-r", rest)


def settings_for_uv() -> dict[str, str] | None:
    """Return what uv has to know of pip's settings; None where these keep pip from the network."""
    listed = output(PYTHON, "-m", "pip", "config", "list").splitlines()
    found = {
        key.rpartition(".")[2]: ast.literal_eval(value)
        for key, _, value in (line.partition("=") for line in listed)
    }
    if found.get("no-index", "false").lower() in ("1", "true", "yes", "on"):
        return None
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY"}
    return {names[key]: value for key, value in found.items() if key in names}


def install(*arguments: str | Path, by_uv: bool = True, hidden: bool = False) -> None:
    """Install by uv if that is there and can, else by pip; a terminal shows how far it is."""
    quiet = ["--quiet"] if hidden or not sys.stderr.isatty() else []
    uv = VENV / "bin" / "uv"
    settings = settings_for_uv() if by_uv and uv.exists() else None
    if settings is not None:
        try:
            # Compiled now: who may not write beside a module compiles it again each time.
            run(
                uv,
                "pip",
                "install",
                "--compile-bytecode",
                "--python",
                PYTHON,
                *quiet,
                *arguments,
                **settings,
            )
            return
        except SetupError as error:
            if full_disks():
                raise
            say(f"{error}\nIt goes on by pip, which takes longer")
    run(PYTHON, "-m", "pip", "install", *quiet, *arguments)


# torch ------------------------------------------------------------------------


def has_driver() -> bool:
    """Return whether there is an NVIDIA driver, without which CUDA is of no use."""
    return Path("/proc/driver/nvidia/version").exists() or bool(shutil.which("nvidia-smi"))


def answers(index: str) -> bool:
    """Return whether an index of packages answers soon, and has torch."""
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=8):
            return True
    except (OSError, ValueError):
        return False


def pip_has_cpu_build(torch: str, version: str) -> bool:
    """Return whether pip has torch for a Python in a build labelled as for the processor."""
    dry = ["--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report", "-"]
    there = ["--python-version", version, "--only-binary=:all:", "--target", str(VENV)]
    report = output(PYTHON, "-m", "pip", "install", *dry, *there, torch)
    return bool(report) and "cpu" in json.loads(report)["install"][0]["metadata"]["version"]


def choose_torch(others: list[str]) -> tuple[str, list[str], bool]:
    """Return which build of torch to take, the arguments that install it, and whether uv may.

    Where torch without CUDA can be had for one of the `others` alone, .venv is made anew with it.
    """
    torch = pinned("torch", NAMES)
    if given := os.environ.get("TORCH"):
        return f"as TORCH says, {given}", shlex.split(given), False
    there = output(PYTHON, "-c", "from importlib.metadata import version; print(version('torch'))")
    if there.partition("+")[0] == torch.partition("==")[2]:
        return f"{there}, which is there", [torch], False
    if sys.platform != "linux":
        return "the build for this machine", [torch], True
    if has_driver():
        return "CUDA", [torch], True
    if answers(CPU_INDEX):
        return "CPU", ["--index-url", CPU_INDEX, "--no-deps", torch], True
    here = version_of(PYTHON)
    for python in [str(PYTHON), *others]:
        version = version_of(python)
        if version and pip_has_cpu_build(torch, version):
            if version != here:
                say(
                    f"Python {version} in place of {here}, for which torch comes with CUDA alone "
                    f"({CPU_INDEX} does not answer); to have {here}: make PYTHON=python{here}"
                )
                make_venv(python)
            return "CPU", [torch], False
    say(
        "There is no NVIDIA driver, but torch cannot be had without CUDA either "
        f"({CPU_INDEX} does not answer)"
    )
    return "CUDA", [torch], True


def announce(build: str) -> None:
    """Say which torch is taken and how much comes with it; stop where there is no room for that."""
    if build not in SIZES:
        say(f"torch: {build}")
        return
    download, whole = SIZES[build]
    say(
        f"torch: the {build} build; about {download} GB to download, 0.4 for all else, {whole} GB "
        f"on the disk. Another: make setup TORCH='{pinned('torch', NAMES)} <options of pip>'"
    )
    free = shutil.disk_usage(VENV).free / 1e9
    if free < whole:
        raise SetupError(
            f"The disk of {VENV} has {free:.1f} GB left: make room, or make .venv a link to a "
            "folder elsewhere"
        )


def main(others: list[str]) -> None:
    """Set everything up; the mark that all is there comes last."""
    if odd := re.search(r"[^\w./+@%=,:~-]", str(VENV)):
        raise SetupError(
            f"The path of this checkout, {ROOT}, has a {odd.group()!r}. Snakemake calls "
            "Python by its path and does not quote it: move the checkout to a path without it"
        )
    new = make_venv(sys.executable)
    build, torch, by_uv = choose_torch(others if new else [])
    announce(build)
    install_lock()
    install(*torch, by_uv=by_uv)
    install("--no-deps", "--no-build-isolation", "-e", ROOT, by_uv=False, hidden=True)
    run(PYTHON, "-m", "pip", "check")
    command = VENV / "bin" / "bcnmf-pipeline"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(PYTHON))} -m bcnmf_pipeline "$@"\n')
    command.chmod(0o755)
    shutil.rmtree(VENV / "tmp")
    UNFINISHED.unlink()
    INSTALLED.touch()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (SetupError, OSError) as error:
        sys.exit(f"{error}\nThe set-up is not finished. The same command takes it up again.")
    except KeyboardInterrupt:
        sys.exit("\nThe set-up was cut off. The same command takes it up again.")
