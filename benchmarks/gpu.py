"""On a GPU: the numbers of the CPU, time per iteration, memory, and how far the memory's limit is.

    PYTHONPATH=workflow python benchmarks/gpu.py --out results/bench_gpu        less than 8 minutes
    PYTHONPATH=workflow python benchmarks/gpu.py --device cpu --quick --out /tmp/gpu    tiny sizes

It needs what the package needs, and a checkout. Each part runs in a process of its own, within a
time of its own, and writes a row as soon as it has it: what fails, or gets no turn, is said, and
costs no other part. `docs/benchmarks.md` says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import bcnmf
from bcnmf import ConvergenceWarning
from bcnmf.device import resolve_device
from bcnmf.errors import InputError
from gpu_parts import AGREES, PARTS, Bench, Row

# Seconds that each part may take, starts of their processes and the drawing of data included.
SECONDS = {
    "limits": 20, "passes": 45, "fits": 75, "peer": 65, "million": 140, "hundred": 50, "many": 60,
}  # fmt: skip
BUDGET = 465
TITLES = {
    "limits": "The machine's limits",
    "passes": "Passes over the data, float32 on the device against float64 on the CPU",
    "fits": "Fits, float32 on the device against float64 on the CPU, from the same start",
    "peer": "The peer's problem: 40,000 cells x 5000 genes, K=20, 20 iterations, no background",
    "million": "800,000 + 200,000 cells x 3000 genes, a tenth stored, K=20",
    "hundred": "80,000 + 20,000 cells x 3000 genes, a tenth stored, K=20",
    "many": "Several starts, one by one and together; data in blocks; 80,000 + 20,000 cells",
}
MEASURED, NO_TURN = "measured", "not run: no time was left"
# Twice what was calculated, in ms; seconds; and what was reported of RcppML 1.0 on an H100.
GOAL_MS = {"mu, squared_error": 24.0, "mu, poisson": 40.0}
GOAL_PEER, REPORTED_PEER = 0.3, 2.78


def main() -> int:
    """Measure all parts, write tables and a summary; 1 if anything failed or disagrees."""
    options = _arguments()
    if options.part:
        _measure(options)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + options.budget
    rows = {part: _run(part, options, until) for part in SECONDS}
    text = "\n".join(
        [f"# {_machine(options.device)}{', TINY SIZES' * options.quick}", "", *summary(rows), ""]
        + [line for part in SECONDS for line in ["", f"## {TITLES[part]}", "", *table(rows[part])]]
    )
    (options.out / "gpu.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(any(map(_bad, (row for part in rows.values() for row in part))))


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench_gpu"))
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it works")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds, all in all")
    parser.add_argument("--part", choices=SECONDS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device.split(":")[0] not in {"cpu", "cuda"}:
        parser.error(f"--device {options.device}: expected cuda, cuda:N or cpu")
    try:
        resolve_device(options.device)
    except InputError as error:
        parser.error(str(error))
    return options


def _run(part: str, options: Any, until: float) -> list[Row]:
    """Run a part in a process of its own; return its rows, and one that says how it ended."""
    seconds = min(1.5 * SECONDS[part], until - time.monotonic())
    path = options.out / f"{part}.jsonl"
    path.unlink(missing_ok=True)
    if seconds < 0.2 * SECONDS[part]:
        return [{"what": "all of it", "status": NO_TURN}]
    command = [sys.executable, __file__, "--part", part, "--seconds", str(seconds)]
    command += ["--out", str(options.out), "--device", options.device]
    print(f"{part}: at most {seconds:.0f} s", file=sys.stderr, flush=True)
    try:
        # It watches the time itself, between two measurements; this is for what hangs.
        code = subprocess.run(
            command + ["--quick"] * options.quick, timeout=seconds, check=False
        ).returncode
        ended = "" if code == 0 else f"failed: the process ended with {code}"
    except subprocess.TimeoutExpired:
        ended = f"failed: stopped after {seconds:.0f} s"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return rows + ([{"what": "the rest", "status": ended}] if ended else [])


def _measure(options: Any) -> None:
    """Do the measurements of a part, as far as time allows, and write each down at once."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # iterations are few on purpose
    until, last = time.monotonic() + options.seconds, 0.0
    bench = Bench(torch.device(options.device), options.quick)
    with (options.out / f"{options.part}.jsonl").open("w", encoding="utf-8") as file:
        for what, work in PARTS[options.part](bench):
            begun = time.monotonic()
            row: Row = {"what": what}
            if begun + last > until:
                row["status"] = NO_TURN
            else:
                try:
                    row |= work()
                    row["status"] = MEASURED
                except Exception as error:  # the failure is the result of this row, and counts
                    row["status"] = f"failed: {type(error).__name__}: {error}"
                last = time.monotonic() - begun
            file.write(json.dumps(row) + "\n")
            file.flush()


def _bad(row: Row) -> bool:
    same = row.get("agrees", True) and row.get("same_again", True)
    return row["status"].startswith("failed") or not same


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    held = {one: _version(one) for one in ("torch", "triton", "numba", "numpy", "scipy")}
    versions = ", ".join(f"{one} {number}" for one, number in held.items())
    return f"{name}: bcnmf {bcnmf.__version__}, Python {platform.python_version()}, {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def summary(rows: dict[str, list[Row]]) -> list[str]:
    """Return what came of the goals, each with its number, and what was not measured."""
    everything = [row for part in rows.values() for row in part]
    judged = [row for row in everything if "agrees" in row]
    agreeing = sum(row["agrees"] for row in judged)
    lines = [f"- Within {AGREES:g} of float64 on the CPU: {agreeing} of {len(judged)} comparisons."]
    again = [row["same_again"] for row in everything if "same_again" in row]
    lines += [f"- The same numbers when fitted again: {sum(again)} of {len(again)} fits."]
    for row in rows.get("million", []):
        if row["what"] in GOAL_MS and row["status"] == MEASURED:
            found, goal = row["ms_per_iteration"], GOAL_MS[row["what"]]
            lines += [
                f"- {TITLES['million']}, {row['what']}: {found:.3g} ms an iteration "
                f"(goal {goal:g}: {_reached(found, goal)}), {row['share_of_copy']:.0%} of what a "
                "plain copy moves."
            ]
    for row in rows.get("peer", []):
        if row["status"] == MEASURED:
            found = row["seconds_of_20_iterations"]
            lines += [
                f"- The peer's problem, {row['what']}: {found:.3g} s for 20 iterations (goal "
                f"{GOAL_PEER:g}: {_reached(found, GOAL_PEER)}), {row['seconds_of_fit']:.3g} s with "
                f"all that is around them; reported of the peer: {REPORTED_PEER:g} s."
            ]
    missing = [
        f"{TITLES[part]}: {row['what']}: {row['status']}"
        for part, found in rows.items()
        for row in found
        if row["status"] != MEASURED
    ]
    return lines + [f"- {one}" for one in missing or ["Everything was measured."]]


def _reached(found: float, goal: float) -> str:
    return "reached" if found <= goal else "missed"


def table(rows: list[Row]) -> list[str]:
    """Return rows as a table in Markdown: columns as they come, the status last."""
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name != "status"]
    lines = [[*names, "status"], ["---"] * (len(names) + 1)]
    lines += [[_cell(row.get(name)) for name in [*names, "status"]] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "none"
    return "" if value is None else str(value).replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
