"""Time per iteration, memory, cost per stored value, and the distance to the machine's limits.

    python benchmarks/speed.py --out results/bench          all sizes, some of them for minutes
    python benchmarks/speed.py --out /tmp/bench --quick     tiny sizes, to see that it works
    python benchmarks/speed.py --out results/bench_cuda --device cuda

`docs/benchmarks.md` says what is measured and how.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import charts
import limits
import memory
import timing
from bcnmf.device import resolve_device
from bcnmf.memory import free
from bcnmf_pipeline.record.tables import write_json, write_table
from contestants import (
    CONTESTANTS,
    OURS,
    PUBLISHED,
    SAFEGUARDED,
    UPDATES_ONLY,
    Contestant,
    Run,
    unavailable,
)
from machine import describe, usable_cores
from problems import DENSITY, Problem, Size, parse_size, random_data
from timing import Measurement

LOSSES = ("squared_error", "poisson")
SIZES = ("1000+1000", "8000+2000", "50000+20000")
CUDA_SIZE = "800000+200000"
# Upper bound of what sparse contestants keep per stored value (transposes, maps, buffers).
_BYTES_PER_STORED_VALUE = 48
QUICK_SIZES = ("160+80x100",)
SCALING_CELLS = (2000, 4000, 8000, 16000)
SCALING_DENSITIES = (0.025, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Settings:
    """What to measure and how often."""

    sizes: list[Size]
    ranks: list[int]
    rounds: int
    seconds: float
    devices: list[str]
    quick: bool


def main() -> None:
    """Measure, write tables, draw."""
    settings, out = _arguments()
    write_json(describe(), out / "machine.json")
    rounds = pd.DataFrame(row for device in settings.devices for row in _speed(settings, device))
    speed = summarise(rounds)
    write_table(rounds, out / "speed_rounds.tsv")
    write_table(speed, out / "speed.tsv")
    charts.speed(speed, out)
    if "cpu" in settings.devices:
        _write_cpu_tables(settings, out)
    if "cuda" not in settings.devices:
        print(
            "No CUDA rows: with a CUDA build of torch, "
            "python benchmarks/speed.py --device cuda --out results/bench_cuda"
        )


def _write_cpu_tables(settings: Settings, out: Path) -> None:
    measured_memory = pd.DataFrame(_memory(settings))
    write_table(measured_memory, out / "memory.tsv")
    charts.memory(measured_memory, out)
    scaling = pd.DataFrame(_scaling(settings))
    write_table(scaling, out / "scaling.tsv")
    charts.scaling(scaling, out)
    write_table(pd.DataFrame(_limits(settings)), out / "limits.tsv")


def _arguments() -> tuple[Settings, Path]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, seconds")
    parser.add_argument("--sizes", nargs="+", help="target+background[xgenes], e.g. 8000+2000")
    parser.add_argument("--ranks", nargs="+", type=int, help="numbers of topics")
    parser.add_argument("--rounds", type=int, help="measurements of which the median is taken")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    chosen = parser.parse_args()
    devices = {"auto": ["cpu", "cuda"]}.get(chosen.device, [chosen.device])
    if chosen.device == "cuda":
        resolve_device("cuda")
    elif not torch.cuda.is_available():
        devices = ["cpu"]
    sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    if "cuda" in devices and not chosen.sizes and not chosen.quick:
        sizes = (*sizes, CUDA_SIZE)
    settings = Settings(
        sizes=[parse_size(size) for size in sizes],
        ranks=chosen.ranks or ([4] if chosen.quick else [10, 20]),
        rounds=chosen.rounds or (2 if chosen.quick else 5),
        seconds=0.02 if chosen.quick else 0.5,
        devices=devices,
        quick=chosen.quick,
    )
    return settings, chosen.out


def _speed(settings: Settings, device: str) -> list[dict]:
    """Return a row per size, loss, K, contestant and round."""
    rows = []
    for size in settings.sizes:
        if device == "cpu" and str(size) == CUDA_SIZE:
            continue
        for loss in LOSSES:
            data = random_data(size, loss, device=device)
            for k in settings.ranks:
                print(f"{device}, {size} cells, {loss}, K={k}", flush=True)
                problem = Problem(data, k, loss)
                common = _common(problem) | {"device": device}
                rows += [common | row for row in _compete(problem, settings)]
    return rows


def _common(problem: Problem) -> dict:
    target, background, genes = problem.shape
    return {
        "genes": genes, "target_cells": target, "background_cells": background,
        "stored_values": problem.data.stored, "k": problem.k, "loss": problem.loss,
    }  # fmt: skip


def _compete(problem: Problem, settings: Settings) -> list[dict]:
    """Time all contestants of a problem in turns; a contestant that cannot run says why."""
    runs, spans, rows = {}, {}, []
    for contestant, n_threads in _entries(problem):
        entry = (contestant.name, n_threads)
        why = unavailable(contestant) or _does_not_fit(contestant, problem)
        try:
            if not why:
                runs[entry] = contestant.build(problem)
                spans[entry] = timing.warm_up(
                    runs[entry], n_threads, problem.data.device, settings.seconds
                )
        except Exception as error:  # a contestant's failure is a result, not the benchmark's
            runs.pop(entry, None)
            why = f"failed: {type(error).__name__}: {error}"
        if why:
            rows.append(_row(entry, None, None, 0, why))
    for number, entry in timing.in_turns(list(runs), settings.rounds):
        rows.append(_round(entry, runs[entry], number, spans[entry], problem.data.device))
    return rows


def _entries(problem: Problem) -> list[tuple[Contestant, int]]:
    fitting = [
        contestant
        for contestant in CONTESTANTS.values()
        if problem.loss in contestant.losses and problem.data.device in contestant.devices
    ]
    entries = [(contestant, 1) for contestant in fitting]
    if problem.data.device == "cpu" and usable_cores() > 1:
        entries += [
            (contestant, 2) for contestant in fitting if contestant.name in {OURS, SAFEGUARDED}
        ]
    return entries


def _round(entry: tuple[str, int], run: Run, number: int, span: int, device: str) -> dict:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        measured = timing.per_iteration(run, entry[1], device, span)
    except RuntimeError as error:
        return _row(entry, number, None, span, f"failed: {error}")
    row = _row(entry, number, measured, span, "measured")
    if device == "cuda":
        row["device_peak_MB"] = torch.cuda.max_memory_allocated() / 1e6
    return row


def _row(
    entry: tuple[str, int], number: int | None, measured: Measurement | None, span: int, status: str
) -> dict:
    name, n_threads = entry
    return {
        "contestant": name, "threads": n_threads, "round": number, "iterations": span,
        "ms_per_iteration": 1e3 * measured.wall if measured else np.nan,
        "processor_ms_per_iteration": 1e3 * measured.processor if measured else np.nan,
        "status": status, "what": CONTESTANTS[name].what,
    }  # fmt: skip


def _does_not_fit(contestant: Contestant, problem: Problem) -> str:
    """Return why the dense copies of a contestant do not fit into free memory, or nothing."""
    copies = dict(contestant.dense_copies).get(problem.loss, 0.0)
    target, background, genes = problem.shape
    dense = 4 * copies * (target + background) * genes
    needed = dense or _BYTES_PER_STORED_VALUE * problem.data.stored
    available = free(torch.device(problem.data.device))
    if needed < 0.9 * available:
        return ""
    return f"skipped: needs about {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free"


KEY = ["device", "genes", "target_cells", "background_cells", "stored_values", "k", "loss"]


def summarise(rounds: pd.DataFrame) -> pd.DataFrame:
    """Return medians over rounds, and ratios to the published loop of the same round."""
    if "device_peak_MB" not in rounds:
        rounds = rounds.assign(device_peak_MB=np.nan)
    rows = []
    for key, group in rounds.groupby(KEY, sort=False):
        times = group.pivot_table(
            index="round", columns=["contestant", "threads"], values="ms_per_iteration"
        )
        for entry, part in group.groupby(["contestant", "threads"], sort=False):
            rows.append(dict(zip(KEY, key, strict=True)) | _summary(entry, part, times))
    return pd.DataFrame(rows)


def _summary(entry: tuple[str, int], part: pd.DataFrame, times: pd.DataFrame) -> dict:
    wall = part["ms_per_iteration"]
    busy = part["processor_ms_per_iteration"] / wall
    return {
        "contestant": entry[0], "threads": entry[1],
        "ms_per_iteration": wall.median(),
        "ms_per_iteration_min": wall.min(),
        "ms_per_iteration_q25": wall.quantile(0.25), "ms_per_iteration_q75": wall.quantile(0.75),
        "processors_used": busy.median(),
        "processor_ms_per_iteration": part["processor_ms_per_iteration"].median(),
        "times_faster_than_published": _ratio(times, (PUBLISHED, 1), entry),
        "times_faster_than_published_updates_only": _ratio(times, (UPDATES_ONLY, 1), entry),
        "rounds": int(wall.notna().sum()),
        "iterations": part["iterations"].iloc[0],
        "device_peak_MB": part["device_peak_MB"].max(),
        "status": part["status"].iloc[0], "what": part["what"].iloc[0],
    }  # fmt: skip


def _ratio(times: pd.DataFrame, reference: tuple[str, int], entry: tuple[str, int]) -> float:
    if reference not in times or entry not in times:
        return float("nan")
    return float((times[reference] / times[entry]).median())


def _memory(settings: Settings) -> list[dict]:
    """Return a row per size, loss and contestant, for the largest K, one thread."""
    rows = []
    for size in settings.sizes:
        if str(size) == CUDA_SIZE:
            continue
        for loss in LOSSES:
            print(f"memory, {size} cells, {loss}", flush=True)
            problem = Problem(random_data(size, loss), max(settings.ranks), loss)
            entries = [contestant for contestant, n in _entries(problem) if n == 1]
            if settings.quick:  # every contestant costs a process
                entries = [one for one in entries if one.name in {PUBLISHED, OURS}]
            why = {
                contestant.name: unavailable(contestant) or _does_not_fit(contestant, problem)
                for contestant in entries
            }
            reports = memory.measure([name for name in why if not why[name]], problem)
            reports |= {name: {"status": reason} for name, reason in why.items() if reason}
            published = reports.get(PUBLISHED, {}).get("peak", np.nan)
            for contestant in entries:
                rows.append(
                    _common(problem)
                    | _memory_row(contestant.name, reports[contestant.name], published)
                )
    return rows


def _memory_row(name: str, report: dict, published: float) -> dict:
    least = report.get("sparse", np.nan) + report.get("factors", np.nan)
    peak = report.get("peak", np.nan)
    return {
        "contestant": name, "threads": 1,
        "sparse_data_MB": report.get("sparse", np.nan) / 1e6,
        "factors_MB": report.get("factors", np.nan) / 1e6,
        "data_loaded_MB": report.get("data_loaded", np.nan) / 1e6,
        "peak_MB": peak / 1e6,
        "peak_over_data_loaded_MB": (peak - report.get("data_loaded", np.nan)) / 1e6,
        "peak_of_sparse_data_and_factors": peak / least,
        "peak_of_published": peak / published,
        "status": report["status"],
    }  # fmt: skip


def _scaling(settings: Settings) -> list[dict]:
    """Return time against stored values for more cells and for denser data, with the lines."""
    k, shrink = max(settings.ranks), 50 if settings.quick else 1
    genes = 100 if settings.quick else 3000
    cells = [(n // shrink, DENSITY) for n in SCALING_CELLS]
    densities = [(SCALING_CELLS[2] // shrink, density) for density in SCALING_DENSITIES]
    rows = []
    for loss in LOSSES:
        for series, points in (("cells", cells), ("density", densities)):
            print(f"scaling with {series}, {loss}", flush=True)
            problems = [
                Problem(random_data(Size(4 * n // 5, n // 5, genes), loss, density), k, loss)
                for n, density in points
            ]
            times = _medians([CONTESTANTS[OURS].build(problem) for problem in problems], settings)
            line = fit_line([problem.data.stored for problem in problems], times)
            rows += [
                {
                    "series": series, "loss": loss, "k": k, "genes": genes, "cells": n,
                    "density": density, "stored_values": problem.data.stored, "threads": 1,
                    "ms_per_iteration": 1e3 * seconds,
                } | line
                for (n, density), problem, seconds in zip(points, problems, times, strict=True)
            ]  # fmt: skip
    return rows


def _medians(runs: list[Run], settings: Settings) -> list[float]:
    """Return the median seconds per iteration of each run, in turns."""
    spans = [timing.warm_up(run, 1, "cpu", settings.seconds) for run in runs]
    seconds: list[list[float]] = [[] for _ in runs]
    for _, place in timing.in_turns(list(range(len(runs))), settings.rounds):
        seconds[place].append(timing.per_iteration(runs[place], 1, "cpu", spans[place]).wall)
    return [float(np.median(times)) for times in seconds]


def fit_line(stored: list[int], seconds: list[float]) -> dict:
    """Fit seconds = a + b stored, and the exponent of seconds ~ stored ** p."""
    x, y = np.asarray(stored, float), np.asarray(seconds)
    slope, intercept = np.polyfit(x, y, 1)
    left = y - (intercept + slope * x)
    exponent = np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)[0]
    return {
        "slope_ns_per_stored_value": 1e9 * slope,
        "intercept_ms": 1e3 * intercept,
        "r_squared": 1 - float(left @ left) / float(((y - y.mean()) ** 2).sum()),
        "exponent": float(exponent),
    }


def _limits(settings: Settings) -> list[dict]:
    """Return ns per stored value and iteration of bounds, passes and estimators."""
    size = settings.sizes[min(1, len(settings.sizes) - 1)]
    stream = partial(limits.bandwidth, 8 if settings.quick else 512)
    rate = partial(limits.multiply_add_rate, 10_000 if settings.quick else 20_000_000)
    with timing.threads(1):
        gigabytes = max(stream() for _ in range(settings.rounds))
        multiply_adds = max(rate() for _ in range(settings.rounds))
    rows = []
    for loss in LOSSES:
        for k in settings.ranks:
            print(f"limits, {size} cells, {loss}, K={k}", flush=True)
            problem = Problem(random_data(size, loss), k, loss)
            measured = limits.nanoseconds(problem, settings.rounds, settings.seconds)
            bounds = {
                "bound: reading from memory": limits.stream_bound(gigabytes),
                "bound: multiply-adds": limits.arithmetic_bound(loss, k, multiply_adds),
            }
            for what, value in (bounds | measured).items():
                rows.append(
                    _common(problem)
                    | {
                        "threads": 1, "what": what, "ns_per_stored_value": value,
                        "of_bare_loop": value / measured["bound: bare loop"],
                        "memory_bandwidth_GB_per_s": gigabytes,
                        "multiply_adds_1e9_per_s": multiply_adds,
                    }
                )  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
