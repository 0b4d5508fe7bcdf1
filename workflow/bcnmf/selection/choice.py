"""Which settings are recommended, which are as good as these, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf.checks import check_number

if TYPE_CHECKING:
    import pandas as pd

MIN_SPECIFICITY = 2.0
MIN_STABILITY = 0.7
MIN_CONTRAST = 0.01
MIN_CONVERGED = 0.5
# What differs by less than this is not told apart, however alike the splits are.
_LEAST_ERROR = 0.02


@dataclass(frozen=True)
class Selection:
    """What every number of topics and contrast came to, and which is recommended, if any.

    Attributes
    ----------
    fits : DataFrame
        One row a fit of a half: k, alpha, split, half; stability (of both halves), stability_starts
        (of two starts of the first half), null_stability and null_contrast (of parts of the
        background, as if one were a target); of the samples left out explained_target,
        explained_background, explained_contrast and specificity; converged.
    summary : DataFrame
        One row a setting, means over splits: k, alpha, stability, stability_sd, stability_starts,
        null_stability, specificity, explained_target, explained_background, explained_contrast,
        explained_contrast_sd, null_contrast, converged (share of fits), eligible, reason (why it is
        not, in words; else empty), equally_good, recommended.
    n_components, alpha : int, float, or None
        The recommended setting; None where no setting is eligible.
    """

    fits: pd.DataFrame
    summary: pd.DataFrame
    n_components: int | None
    alpha: float | None

    def advice(self) -> str:
        """Return the recommendation, with what is as good, or why there is none, in sentences."""
        if self.n_components is None:
            return f"no setting is recommended: {_refusal(self.summary)}"
        row = self.summary[self.summary["recommended"]].iloc[0]
        region = self.summary[self.summary["equally_good"] & ~self.summary["recommended"]]
        others = (
            f"as good within the error of the splits: {_named(region)}"
            if len(region)
            else "no other setting is as good within the error of the splits"
        )
        return (
            f"recommended: K = {self.n_components}, alpha = {self.alpha:g} (stability "
            f"{row['stability']:.2f}; the target uses its topics {row['specificity']:.1f} times as "
            f"strongly as the background; they explain {row['explained_contrast']:.1%} of left-out "
            f"samples beyond the background); {others}"
        )


def summarise(
    fits: pd.DataFrame,
    min_specificity: float = MIN_SPECIFICITY,
    min_converged: float = MIN_CONVERGED,
) -> Selection:
    """Average over splits, refuse settings that show nothing, and recommend one of the others.

    A setting is refused, with the reason in words, where

    - stability is below 0.7: topics of the halves are not the same ones,
    - the target uses topics less than `min_specificity` times as strongly as the background,
    - explained contrast of left-out samples is below 1%, unless it is more than nothing by more
      than twice its error: more than zero, and more than parts of the background show,
    - fewer of the fits than `min_converged` met their stopping rule.

    Of the others the most stable one is found, and all that are as stable within the error are
    equally good: the standard error over splits, of the best one or of the difference to it, 0.02
    at least. Of these the one of the fewest topics is recommended, and of the least contrast.

    Parameters
    ----------
    fits : DataFrame
        Rows of `fit_split`, of one or more splits.
    min_specificity : float
        At least 1.
    min_converged : float
        Share of a setting's fits, in [0, 1].

    Returns
    -------
    Selection
    """
    check_number("min_specificity", min_specificity, 1.0, np.inf)
    check_number("min_converged", min_converged, 0.0, 1.0)
    summary = _means(fits)
    summary["reason"] = [
        _reason(row, min_specificity, min_converged) for row in summary.itertuples()
    ]
    summary["eligible"] = summary["reason"] == ""
    summary["equally_good"] = _region(fits, summary)
    region = summary[summary["equally_good"]].sort_values(["k", "alpha"])
    best = region.index[0] if len(region) else None
    summary["recommended"] = summary.index == best
    return Selection(
        fits=fits,
        summary=summary,
        n_components=None if best is None else int(summary.loc[best, "k"]),
        alpha=None if best is None else float(summary.loc[best, "alpha"]),
    )


def _means(fits: pd.DataFrame) -> pd.DataFrame:
    """Return one row a setting: means over splits, and how far splits are apart."""
    settings = fits.groupby(["k", "alpha"])
    per_split = fits.groupby(["k", "alpha", "split"])[["stability", "explained_contrast"]].mean()
    spread = per_split.groupby(["k", "alpha"]).std()
    means = settings[
        ["stability", "stability_starts", "null_stability", "explained_target",
         "explained_background", "explained_contrast", "null_contrast", "converged"]
    ].mean()  # fmt: skip
    means.insert(1, "stability_sd", spread["stability"])
    means.insert(4, "specificity", settings["specificity"].median())
    means.insert(8, "explained_contrast_sd", spread["explained_contrast"])
    means["n_splits"] = settings["split"].nunique()
    return means.reset_index()


def _region(fits: pd.DataFrame, summary: pd.DataFrame) -> np.ndarray:
    """Return which eligible settings are as stable as the most stable one, within the error."""
    eligible: np.ndarray = summary["eligible"].to_numpy(dtype=bool)
    if not eligible.any():
        return eligible
    splits = fits.groupby(["k", "alpha", "split"])["stability"].first().groupby(["k", "alpha"])
    table = np.array([part.to_numpy() for _, part in splits])
    best = np.argmax(np.where(eligible, table.mean(axis=1), -np.inf))
    behind = table[best] - table
    error = np.full(len(table), _LEAST_ERROR)
    if table.shape[1] > 1:
        # Of the best one and of differences to it: of so few splits, either may be small by luck.
        own, apart = (np.std(one, axis=-1, ddof=1) for one in (table[best], behind))
        error = np.maximum(error, np.maximum(own, apart) / np.sqrt(table.shape[1]))
    found: np.ndarray = eligible & (behind.mean(axis=1) <= error)
    return found


def _reason(row: Any, min_specificity: float, min_converged: float) -> str:
    """Return why a setting shows nothing, or an empty text."""
    found = []
    # Also where the number is missing: what is not known is no evidence.
    if not row.stability >= MIN_STABILITY:
        found.append(
            f"halves find different topics (stability {row.stability:.2f}, below {MIN_STABILITY:g})"
        )
    if not row.specificity >= min_specificity:
        found.append(
            f"the target uses its topics {row.specificity:.1f} times as strongly as the "
            f"background, below {min_specificity:g}"
        )
    if not (row.explained_contrast >= MIN_CONTRAST or _stands_out(row)):
        found.append(
            f"topics explain {row.explained_contrast:.1%} of left-out samples beyond the "
            f"background, below {MIN_CONTRAST:.0%} and no more than comes of nothing"
        )
    if not row.converged >= min_converged:
        found.append(f"{row.converged:.0%} of the fits met their stopping rule: raise max_iter")
    return "; ".join(found)


def _stands_out(row: Any) -> bool:
    """Return whether explained contrast is beyond that of nothing by more than chance."""
    error = 2 * row.explained_contrast_sd / np.sqrt(row.n_splits)
    nothing = np.nanmax([0.0, row.null_contrast])
    return bool(row.explained_contrast - error > nothing)


def _refusal(summary: pd.DataFrame) -> str:
    """Return why no setting at all is eligible: how many fail at what, and what comes nearest."""
    counts = {
        "topics of halves are not alike": summary["reason"].str.contains("different topics"),
        "topics are not specific to the target": summary["reason"].str.contains("as strongly"),
        "no more is explained than comes of nothing": summary["reason"].str.contains("explain "),
        "most fits did not converge": summary["reason"].str.contains("stopping rule"),
    }
    words = [
        f"{what} ({int(hit.sum())} of {len(hit)} settings)"
        for what, hit in counts.items()
        if hit.any()
    ]
    nearest = summary.loc[summary["stability"].fillna(-1.0).idxmax()]
    return (
        f"{'; '.join(words)}. The most stable setting, K = {nearest['k']:g}, alpha = "
        f"{nearest['alpha']:g}: {nearest['reason']}. Try other contrasts or another background; "
        "where that does not help, the target shows nothing of its own"
    )


def _named(settings: pd.DataFrame) -> str:
    """Return settings in words, by K."""
    return "; ".join(
        f"K = {k} with alpha = {', '.join(format(alpha, 'g') for alpha in sorted(part['alpha']))}"
        for k, part in settings.groupby("k")
    )
