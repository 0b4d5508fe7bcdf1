"""What is to be said of programs, by samples that no fit has seen.

Thresholds were measured, see docs/how_sure_evidence.md.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from bcnmf.calibration import CHANCE, CrossFit
from bcnmf.evidence.beside import (
    Solving,
    capture_of,
    explained_by,
    kept_of,
    precision_of,
    scaled_to,
    topics_beside,
    unit,
)
from bcnmf.evidence.findings import Finding
from bcnmf.evidence.units import replicates

# Share in left-out target over share in left-out background: below the first nothing, from the
# second on a program; what the background hardly has from the third on.
NOTHING, PROGRAM, ABSENT = 1.3, 2.0, 20.0
# The second, where most features are measured unequally: that alone gave ratios up to 5.
PROGRAM_IF_UNEQUAL = 6.0
# What is left of a program's excess where topics of the background may have more or less of each
# feature: less than this, and unequal capture of features explains it.
KEPT = 1 / 6
# Share of a sample that holds it from which on a program is a kind of sample, rather than of what
# samples do.
KIND = 0.4
# Shares of a topic's energy that topics of the background explain; cosine of two programs; part of
# a program's excess that one of at least three units holds.
IN_PART, SAME, ONE_UNIT = 0.7, 0.95, 0.75
# Standard deviation of the logarithm of what a typical feature has in the target over what programs
# of the background would give it.
UNEQUAL_CAPTURE = 0.1
# Excess of all programs together over the background, as a share of a sample.
LITTLE = 0.01
_SURE = 1.645  # standard errors of a one-sided 95% bound


@dataclass(frozen=True)
class Judged:
    """Programs beside samples that no fit has seen.

    Attributes
    ----------
    model : estimator
        Whose programs they are.
    found : CrossFit
        Of halves, or of more parts.
    shares : tuple of ndarray of shape (n, K), (m, K)
        Share of each left-out sample's total that is the program's; NaN where its fit lacks it.
    kept : ndarray of shape (K,)
        What is left of the excess beside topics of the background that may have more or less of
        each feature.
    in_part : ndarray of shape (K,)
        Share of the program's energy that topics of the background explain.
    capture : float
        By how much a typical feature differs between the sides, where topics of the background
        explain both (log-sd); NaN where hardly any feature is found.
    """

    model: Any
    found: CrossFit
    shares: tuple[np.ndarray, np.ndarray]
    kept: np.ndarray
    in_part: np.ndarray
    capture: float

    @classmethod
    def of(cls, model: Any, x: Any, y: Any, found: CrossFit) -> Judged:
        """Solve what is to be solved."""
        topics = np.asarray(model.components_, dtype=np.float64)
        solving = Solving(getattr(model, "loss", "squared_error"), precision_of(model))
        beside = topics_beside(model, y, solving.loss)
        usages = ((x, found.usage), (y, found.background_usage))
        shares = [solving.shares(usage, topics, side) for side, usage in usages]
        strengths = [solving.strength(side, beside) for side in (x, y)]
        scaled = scaled_to(beside, strengths[0], x, solving.loss)
        kept = kept_of(solving, topics, beside, scaled, x, y, found)
        folds = (found.fold, found.background_fold)
        capture = capture_of(beside, strengths, (x, y), folds)
        return cls(
            model, found, (shares[0], shares[1]), kept, explained_by(topics, beside), capture
        )  # fmt: skip

    def measured(self) -> Finding:
        """Return whether features are measured alike on both sides.

        A program moves few features, a mixture of known kinds is explained. What moves most
        features is a batch, or kinds that the background does not have.
        """
        code, spread = "capture", self.capture
        if np.isnan(spread):
            return Finding(code, 0, "ok", spread, "Too few features to compare their measurement.")
        if spread < UNEQUAL_CAPTURE:
            return Finding(code, 0, "ok", spread, "Features are measured alike on both sides.")
        return Finding(
            code, 0, "unclear", spread,
            f"A typical feature is off by a factor of {np.exp(spread):.2f} in the target, beside "
            "what the background's programs would give it. Programs move some features; a batch, a "
            "kit, or kinds of samples that the background lacks move most of them.",
            "Compare samples of the same batch and kind; on counts, "
            "SharedTargetNMF(offsets='side') allows for unequally captured features.",
        )  # fmt: skip

    def explained(self, sure: bool) -> Finding:
        """Return how much of a target sample programs hold beyond the background."""
        means = [np.nan_to_num(_means(side)).sum() for side in self.shares]
        excess = float(means[0] - means[1])
        said = f"Beyond the background, programs make up {max(excess, 0):.2%} of a target sample"
        if excess >= LITTLE:
            return Finding("explained", 0, "ok", excess, f"{said}.")
        if sure:
            return Finding(
                "explained", 0, "ok", excess, f"{said}: little, but left-out samples confirm it."
            )
        return Finding(
            "explained", 0, "none", excess, f"{said}, and left-out samples do not confirm it.",
            "Take it that nothing was found; try another alpha, smaller if the fit warned that "
            "nothing stands out, and see that target and background are those that you mean.",
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """Return what is to be said of each program."""
        found: list[Finding | None] = []
        for place in range(len(self.model.components_)):
            looked = self._share, self._shared_part, self._duplicate, self._one_unit
            found += [look(place) for look in looked]
        return [one for one in found if one is not None]

    def _share(self, place: int) -> Finding:
        number = place + 1
        name, cosines = f"Program {number}", self.found.cosines[:, place]
        ours, theirs = (side[:, place] for side in self.shares)
        if np.isnan(ours).all() or np.isnan(theirs).all():
            return Finding(
                "share", number, "none", np.nan,
                f"{name} is not found again by fits to parts of the data (likeness "
                f"{cosines.mean():.2f}).",
                "Do not rely on it; fewer topics or more samples may make it reproducible.",
            )  # fmt: skip
        mean, other = np.nanmean(ours), np.nanmean(theirs)
        ratio = float(mean / other) if other > 0 else np.inf
        times = f"{ratio:.2g} times as much of" if ratio < np.inf else "what is nowhere in"
        said = f"{name}: left-out target samples hold {times} it as left-out background samples"
        if ratio == np.inf:
            said = f"{name} is nowhere in left-out background samples"
        bound = ratio / np.exp(_SURE * self._error(place))
        if ratio < NOTHING or mean == 0:
            return Finding(
                "share", number, "none", ratio, f"{said}: no evidence that it is the target's own.",
                "Do not rely on it; a larger alpha or more samples may find what there is.",
            )  # fmt: skip
        if ratio < PROGRAM or bound < NOTHING or np.isnan(cosines).any() or self._halved(place):
            return Finding(
                "share", number, "unclear", ratio,
                f"{said}{', in one part of the data alone' if self._halved(place) else ''}: "
                "more than nothing, too little to be sure.",
                "Add samples, or see whether it reproduces in other data.",
            )  # fmt: skip
        if (
            self.capture >= UNEQUAL_CAPTURE
            and ratio < PROGRAM_IF_UNEQUAL
            and not self._scaled(place)
        ):
            return Finding(
                "share", number, "unclear", ratio,
                f"{said}; but most features are measured unequally, which alone can look like "
                "this.",
                "Compare samples of the same batch and kind.",
            )  # fmt: skip
        above, held = self._carriers(place)
        spread = f"{above:.0%} of the target's samples hold more of it than 95% of the background's"
        if self._scaled(place):
            return Finding(
                "share", number, "batch", ratio,
                f"{said}, but background programs explain it once each feature may be measured "
                "more strongly in the target. A batch, donor or kit would look like this, and so "
                "would a program that all samples hold alike.",
                "Compare samples of the same batch; SharedTargetNMF(offsets='side') on counts sets "
                "unequally measured features apart.",
            )  # fmt: skip
        if ratio > ABSENT and held > KIND:
            return Finding(
                "share", number, "batch", ratio,
                f"{said}, and samples that hold it consist of it for {held:.0%}: it looks like a "
                "kind of sample that the background lacks.",
                "Add samples of this kind to the background, or leave them out of the target.",
            )  # fmt: skip
        return Finding("share", number, "ok", ratio, f"{said}; {spread}.")

    def _scaled(self, place: int) -> bool:
        """Whether topics of the background explain the program, once features may be scaled."""
        return bool(self.kept[place] < KEPT)

    def _halved(self, place: int) -> bool:
        """Whether some fits do not have the program."""
        return bool(np.isnan(self.shares[0][:, place]).any())

    def _error(self, place: int) -> float:
        """Return the standard error of the logarithm of the ratio, over units where there are."""
        error, sides = 0.0, (self.found.units, self.found.background_units)
        for shares, units in zip(self.shares, sides, strict=True):
            values = shares[:, place]
            if self.found.by_unit and units is not None:
                values = _unit_means(values, units)
            values = values[~np.isnan(values)]
            if len(values) > 1 and values.mean() > 0:
                error += float(values.var(ddof=1) / (len(values) * values.mean() ** 2))
        return float(np.sqrt(error))

    def _carriers(self, place: int) -> tuple[float, float]:
        """Return the share of target samples that hold more than the background, and how much."""
        above = np.zeros(len(self.found.fold), dtype=bool)
        ours, theirs = (side[:, place] for side in self.shares)
        for fold in np.unique(self.found.fold):
            rows, others = self.found.fold == fold, self.found.background_fold == fold
            above[rows] = ours[rows] > np.quantile(theirs[others], 1 - CHANCE, method="weibull")
        return float(above.mean()), float(np.median(ours[above])) if above.any() else 0.0

    def _shared_part(self, place: int) -> Finding | None:
        part = float(self.in_part[place])
        if part < IN_PART:
            return None
        return (
            Finding(
                "shared_part",
                place + 1,
                "unclear",
                part,
                f"Program {place + 1} is for {part:.0%} made of what the background's programs "
                "explain as well: its leading features are those of the background.",
                "Read its target score rather than its usage; a larger alpha, or more shared "
                "topics, leave more to the background.",
            )
        )  # fmt: skip

    def _duplicate(self, place: int) -> Finding | None:
        topics = unit(self.model.components_)
        alike = topics[:place] @ topics[place]
        if not len(alike) or alike.max() < SAME:
            return None
        return (
            Finding(
                "duplicate",
                place + 1,
                "unclear",
                float(alike.max()),
                f"Program {place + 1} is nearly the same as program {alike.argmax() + 1} (cosine "
                f"{alike.max():.2f}).",
                "Take the two as one, or lower the number of topics.",
            )
        )  # fmt: skip

    def _one_unit(self, place: int) -> Finding | None:
        units = self.found.units
        values = self.shares[0][:, place]
        if units is None or np.isnan(values).all():
            return None
        names, means = np.unique(units[~np.isnan(values)]), _unit_means(values, units)
        excess = np.maximum(means - np.nanmean(self.shares[1][:, place]), 0)
        if len(excess) < 3 or excess.sum() == 0 or excess.max() < ONE_UNIT * excess.sum():
            return None
        part = float(excess.max() / excess.sum())
        return (
            Finding(
                "one_unit",
                place + 1,
                "batch",
                part,
                f"Program {place + 1} is that of one unit: {names[excess.argmax()]} holds "
                f"{part:.0%} of what the target has more of it, of {len(names)} units.",
                "Take it for what sets this unit apart; leave the unit out, and see what stays.",
            )
        )  # fmt: skip


def _means(shares: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # A program that no fit has.
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(shares, axis=0))


def _unit_means(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return means of units, in the order of their names, without samples that have no value."""
    there = ~np.isnan(values)
    return replicates(np.zeros(there.sum()), units[there]).means(values[there, None])[:, 0]
