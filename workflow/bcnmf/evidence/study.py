"""What is to be said of a target and a background before any program is looked at.

Thresholds are those of docs/how_sure_evidence.md, where what they were measured on stands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bcnmf import batches
from bcnmf.evidence.findings import Finding

# Background samples: below the first, topics of the background are chance; below the second, weak.
FEWEST, FEW = 50, 100
# Ratio of the median totals, or of the median numbers of features found, of a sample.
UNEQUAL_DEPTH = 2.0
# As many features as might lack on one side by chance, over all of them.
_BY_CHANCE = 0.01
_NAMED = 5


def study_findings(
    target: Any,
    background: Any,
    names: np.ndarray | None,
    units: tuple[Any, Any],
    batch: tuple[Any, Any],
) -> list[Finding]:
    """Return what is found of checked data, features in columns, without any fit."""
    ours, theirs = _Side(target), _Side(background)
    return [
        _size(theirs.n),
        _replicates(*units),
        *_batches(*batch),
        _depth(ours, theirs),
        _one_sided(ours, theirs, names),
    ]


class _Side:
    """How large the samples of a side are, and in how many of them each feature is found."""

    def __init__(self, data: Any) -> None:
        self.n = data.shape[0]
        self.totals = np.asarray(data.sum(1), dtype=np.float64).ravel()
        there = data > 0
        self.found = np.asarray(there.mean(0)).ravel()
        self.features = np.asarray(there.sum(1)).ravel()


def _size(m: int) -> Finding:
    code = "background_size"
    if m >= FEW:
        return Finding(code, 0, "ok", m, f"The background has {m} samples, which is enough.")
    return Finding(
        code, 0, "fault" if m < FEWEST else "unclear", m,
        f"The background has {m} samples: programs that it has may look as if it lacked them.",
        f"Add samples to the background, {FEW} at least.",
    )  # fmt: skip


def _replicates(units: Any, background_units: Any) -> Finding:
    code = "units"
    if units is None or background_units is None:
        return Finding(
            code, 0, "unclear", np.nan,
            "Nothing is known of which donor, animal or patient a sample comes from: what sets one "
            "of them apart looks as if it were the condition.",
            "Name the unit of each sample on both sides (--unit, or column unit of the sheet).",
        )  # fmt: skip
    counts = [len(np.unique(batches.named(side, "units"))) for side in (units, background_units)]
    least = min(counts)
    have = f"The target has {counts[0]} units, the background {counts[1]}"
    if least > 2:
        return Finding(code, 0, "ok", least, f"{have}.")
    if least == 2:
        return Finding(
            code, 0, "unclear", least, f"{have}: two are too few to say how much units differ.",
            "Add donors, animals or patients; three a side at least, six to test anything.",
        )  # fmt: skip
    return Finding(
        code, 0, "batch", least,
        f"{have}: with one on a side, what sets it apart cannot be told from the condition.",
        "Add donors, animals or patients to the side that has one.",
    )  # fmt: skip


def _batches(batch: Any, background_batch: Any) -> list[Finding]:
    if batch is None or background_batch is None:
        return []
    sides = [_columns(side) for side in (batch, background_batch)]
    found = []
    for ours, theirs in zip(*sides, strict=True):
        one = batches.one_sided(ours, theirs)
        share = max(one.share_target, one.share_background)
        if not one.sentence:
            found.append(Finding("confounded", 0, "ok", share, "Every batch is on both sides."))
            continue
        verdict = "batch" if one.confounded else "unclear"
        said, remedy = (f"{text[0].upper()}{text[1:]}." for text in (one.sentence, one.remedy))
        found.append(Finding("confounded", 0, verdict, share, said, remedy))
    return found


def _columns(batch: Any) -> list[np.ndarray]:
    """Return each column of batches (n,): one that coincides with the side may hide in several."""
    table = np.asarray(batch, dtype=object)
    return [table] if table.ndim == 1 else list(table.T)


def _depth(target: _Side, background: _Side) -> Finding:
    code = "library_sizes"
    ratios = {
        what: (np.median(ours) or 1e-9) / (np.median(theirs) or 1e-9)
        for what, ours, theirs in (
            ("total", target.totals, background.totals),
            ("number of features found", target.features, background.features),
        )
    }
    what, ratio = max(ratios.items(), key=lambda item: abs(np.log(item[1])))
    factor = float(max(ratio, 1 / ratio))
    if factor < UNEQUAL_DEPTH:
        return Finding(code, 0, "ok", ratio, "Samples of both sides were measured alike deep.")
    side = "target" if ratio > 1 else "background"
    return Finding(
        code, 0, "unclear", ratio,
        f"Samples of the {side} were measured deeper: the median {what} of a sample is "
        f"{factor:.1f} times that of the other side, so faint features are found there alone.",
        f"Take counts of the {side} down to those of the other side "
        "(scanpy.pp.downsample_counts), or fit counts with SharedTargetNMF, where depth does not "
        "matter.",
    )  # fmt: skip


def _one_sided(target: _Side, background: _Side, names: np.ndarray | None) -> Finding:
    code = "one_sided"
    told = []
    for one, other, side in ((target, background, "target"), (background, target, "background")):
        # How likely so many samples without it are, if it were as common there.
        chance = np.power(1 - one.found, other.n)
        lacking = (other.found == 0) & (chance * len(chance) < _BY_CHANCE)
        if lacking.any():
            order = np.flatnonzero(lacking)[np.argsort(-one.found[lacking])]
            told.append((side, [_name(names, place) for place in order]))
    count = sum(len(features) for _, features in told)
    if not count:
        return Finding(code, 0, "ok", 0, "No feature is found on one side alone.")
    listed = " and ".join(
        f"{len(features)} {'are' if len(features) > 1 else 'is'} found in the {side} alone "
        f"({', '.join(features[:_NAMED])}{', ...' if len(features) > _NAMED else ''})"
        for side, features in told
    )
    many = count > _BY_CHANCE * len(target.found)
    return Finding(
        code, 0, "batch" if many else "unclear", count,
        f"Of the features, {listed}.",
        "See whether both sides were counted with the same annotation and kit; features that one "
        "side could not have are to be left out."
        if many
        else "See whether these are what the condition switches on; if not, leave them out.",
    )  # fmt: skip


def _name(names: np.ndarray | None, place: int) -> str:
    return f"feature {place}" if names is None else str(names[place])
