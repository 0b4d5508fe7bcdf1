"""What jobs ask for: memory and time by the size of their input, and GPUs."""

import math
import os


def by_size(base: float, per_mb: float = 0):
    """Return a function for `resources`: more for larger input, and at each attempt.

    Input that is not there yet has no size: a dry run shows <TBD>, a job is asked again before it
    starts.
    """

    def amount(wildcards, input, attempt):
        return math.ceil((base + per_mb * sum(map(megabytes, input))) * attempt)

    return amount


def megabytes(path: str) -> float:
    """Return the size of a file, or of all within a folder: a store of zarr, say."""
    place = Path(path)
    files = filter(Path.is_file, place.rglob("*")) if place.is_dir() else [path]
    return sum(map(os.path.getsize, files)) / 1e6


def of_pair(wildcards, input, attempt):
    """Return the memory of a pair: of what rows can be read from, no more is held than is selected."""
    by_rows = Path(input.data).suffix in (".h5ad", ".zarr")
    return by_size(*((1000, 8) if by_rows else (1500, 15)))(wildcards, input, attempt)


# MB and minutes, about twice what was measured: docs/clusters.md.
SMALL = {"mem_mb": by_size(1000, 20), "runtime": by_size(30)}
OF_DATA = {"mem_mb": by_size(1500, 15), "runtime": by_size(60, 0.5)}
OF_PAIRS = OF_DATA | {"mem_mb": of_pair}
OF_DOWNLOADS = {"mem_mb": by_size(4000, 15), "runtime": by_size(60, 0.5)}
OF_FITS = {"mem_mb": by_size(4000, 8), "runtime": by_size(120, 2)}
OF_GRIDS = OF_FITS | {"runtime": by_size(240, 2)}


def gpus_of(wildcards) -> int:
    """Return how many GPUs a fit asks for: one where the configuration names CUDA."""
    return int(plan_of(wildcards).settings["compute"]["device"].startswith("cuda"))
