"""The commands of conda that Snakemake gives, carried out by py-rattler. This is not conda.

It reads the channels, their priority and alias of the file in $CONDARC as conda does, solves an
environment's file against these channels, and installs the packages of the solution.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path

import rattler
import yaml


def main() -> None:
    parser = argparse.ArgumentParser(prog="conda", description=__doc__)
    # The oldest whose interface Snakemake takes.
    parser.add_argument("--version", action="version", version="conda 24.7.1 (by py-rattler)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info").add_argument("--json", action="store_true", required=True)
    config = commands.add_parser("config")
    config.add_argument("--json", action="store_true", required=True)
    config.add_argument("--get", choices=["channel_priority"], required=True)
    create = commands.add_parser("env").add_subparsers(required=True).add_parser("create")
    create.add_argument("--quiet", action="store_true")
    create.add_argument("--no-default-packages", action="store_true")
    create.add_argument("--file", type=Path, required=True)
    create.add_argument("--prefix", type=Path, required=True)
    clean = commands.add_parser("clean")
    clean.add_argument("--yes", "-y", action="store_true", required=True)
    clean.add_argument("--tarballs", action="store_true", required=True)
    given = parser.parse_args()
    settings = yaml.safe_load(Path(os.environ["CONDARC"]).read_text())
    if given.command == "info":
        platform = str(rattler.Subdir.current())
        print(json.dumps({"conda_prefix": os.environ["CONDA_ROOT"], "platform": platform}))
    elif given.command == "config":
        print(json.dumps({"get": {given.get: settings[given.get]}}))
    elif given.command == "clean":
        for file in Path(os.environ["CONDA_PKGS_DIRS"]).glob("*.conda"):
            file.unlink()
    else:
        environment = yaml.safe_load(given.file.read_text())
        asyncio.run(install(environment, given.prefix, settings))


async def install(environment: dict, prefix: Path, settings: dict) -> None:
    """Solve an environment and install what the solution holds."""
    alias = rattler.ChannelConfig(channel_alias=settings["channel_alias"].rstrip("/") + "/")
    records = await rattler.solve(
        sources=[rattler.Channel(name, alias) for name in environment["channels"]],
        specs=environment["dependencies"],
        gateway=rattler.Gateway(cache_dir=Path(os.environ["CONDA_PKGS_DIRS"], "repodata")),
        virtual_packages=rattler.VirtualPackage.detect(),
        channel_priority=getattr(
            rattler.ChannelPriority, settings["channel_priority"].capitalize()
        ),
    )
    await rattler.install(
        records,
        target_prefix=prefix,
        cache_dir=Path(os.environ["CONDA_PKGS_DIRS"]),
        show_progress=False,
    )
    for record in sorted(records, key=lambda one: one.name.normalized):
        print(f"{record.name.normalized} {record.version} from {record.channel}")


if __name__ == "__main__":
    main()
