"""Figures as the report takes them, made up."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

CAPTIONS = Path(__file__).resolve().parents[2] / "workflow" / "report"


def tiny_png(width=30, height=12):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def figure_of(folder, study_name, name, **more):
    folder.mkdir(parents=True, exist_ok=True)
    png = folder / f"{study_name}_{name}.png"
    png.write_bytes(tiny_png())
    return {
        "study": study_name, "name": name, "png": png, "pdf": png.with_suffix(".pdf"),
        "caption_file": CAPTIONS / f"{name}.rst", "alt": f"{name} of {study_name}", "fields": {},
    } | more  # fmt: skip


def shares_of(study, groups, *, method="bcnmf", whole=None, **more):
    """Return rows of `tables/shares.tsv`; groups: (column, group) -> (above, n, low, high)."""
    rows = {("", ""): whole or (50, 100, 0.40, 0.60), **groups}
    key = {"study": study, "method": method, "k": 15, "alpha": 1.0, "seed": 0}
    return [
        key | {"column": column, "group": group, "n": n, "n_above": above, "share": above / n,
               "low": low, "high": high, "n_units": 3, "chance": 0.05,
               "auroc": float("nan") if column else 0.9}
        | more
        for (column, group), (above, n, low, high) in rows.items()
    ]  # fmt: skip
