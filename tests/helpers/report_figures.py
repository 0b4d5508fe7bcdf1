"""Figures as the report takes them, made up."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pandas as pd

from bcnmf_pipeline.evaluate.reproduced import reproduced

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


def reproduced_of(scores, labels, rest=(), **more):
    """Return the table of reported against reproduced, of what scores say is reported."""
    known = scores[scores["reported"].notna()].drop_duplicates(["study", "method", "score"])
    empty = dict.fromkeys(
        ("sd", "low", "high", "n", "note", "spread_source", "verdict", "why", "representation"), ""
    )
    rows = [
        empty
        | {"study": row.study, "method": row.method, "score": row.score, "source": row.source,
           "value": f"{row.reported:.4f}"}
        | more
        for row in known.itertuples()
    ]  # fmt: skip
    setting = scores["alpha"].map(lambda alpha: "" if pd.isna(alpha) else f"{alpha:.12g}")
    return reproduced(
        scores if "alpha_setting" in scores else scores.assign(alpha_setting=setting),
        [*rows, *(empty | one for one in rest)],
        labels,
    )


EVIDENCE_KEY = {"study": "mouse", "method": "bcnmf", "k": 15, "alpha": 1.0, "seed": 0}


def programs_of(p_units, *, contrast="target against background", test="exact, 924 arrangements",
                tested="left-out units", **more):  # fmt: skip
    """Return rows of `evidence/<study>/programs.tsv`: the target score, then programs."""
    return pd.DataFrame(
        [
            EVIDENCE_KEY
            | {"program": place, "contrast": contrast, "tested": tested, "effect": 0.5 + place,
               "low": 0.1, "high": 0.9 + place, "n_units_first": 6, "n_units_second": 6,
               "paired": False, "p_units": p, "q_units": min(2 * p, 1) if p == p else p,
               "p_cells": 1e-9, "q_cells": 1e-8, "test": test}
            | more
            for place, p in enumerate(p_units)
        ]
    )  # fmt: skip


def null_of(sentence, by="units", p_value=0.004):
    """Return one row of `evidence/<study>/null.tsv`."""
    return pd.DataFrame(
        [EVIDENCE_KEY | {"by": by, "contrast": "target against background", "statistic": 0.2,
                         "n_refits": 200, "p_value": p_value, "sentence": sentence}]
    )  # fmt: skip


def diagnosis_of(*findings, overall="All is in order."):
    """Return rows of `evidence/<study>/diagnosis.tsv`; findings: (program, code, verdict)."""
    rows = [(0, "overall", "ok" if all(one[2] == "ok" for one in findings) else "fault")]
    return pd.DataFrame(
        [
            EVIDENCE_KEY
            | {"program": program, "code": code, "verdict": verdict, "value": 1.0,
               "sentence": overall if code == "overall" else f"{code} of {program} is {verdict}.",
               "remedy": "" if verdict == "ok" or code == "overall" else f"Mend {code}."}
            for program, code, verdict in [*rows, *findings]
        ]
    )  # fmt: skip
