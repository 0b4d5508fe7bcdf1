"""Which number of topics and which contrast, chosen without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bcnmf import progress
from bcnmf.checks import check_integer, import_extra
from bcnmf.selection.choice import MIN_SPECIFICITY, Selection, summarise
from bcnmf.selection.halves import fit_split, matched_cosine

__all__ = ["MIN_SPECIFICITY", "Selection", "fit_split", "matched_cosine", "select", "summarise"]


def select(
    target: Any,
    background: Any,
    *,
    n_components: Sequence[int],
    alphas: Sequence[float],
    n_splits: int = 3,
    min_specificity: float = MIN_SPECIFICITY,
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
    sample_weight: Any = None,
    background_weight: Any = None,
    **parameters: Any,
) -> Selection:
    """Fit halves of the data over a grid, and recommend reproducible topics of the target's own.

    Target and background are split into halves at random, and each half is fitted from a start of
    its own. Where both sides have four units or more, halves are of whole units: what sets one
    donor apart then does not reproduce. Measured are, as means over splits:

    - stability: cosine between the topics of the two halves, assigned one to one, mean over topics;
      stability_starts is the same of two starts on one half.
    - specificity: of each topic, its mean squared usage per sample in the target over that in the
      background, both of the half that was left out; median over topics. Shared topics have 1.
    - explained_contrast: the share of the left-out target's energy that the topics explain, less
      their share of the left-out background's.
    - null_stability, null_contrast: the same of quarters of the background, one as the target of
      another: what comes of nothing.

    See `summarise` for which settings are refused, and which of the others is recommended.

    Parameters
    ----------
    target, background : ndarray, scipy sparse, torch.Tensor or AnnData, samples x features
        In memory.
    n_components : sequence of int
        Numbers of topics to try.
    alphas : sequence of float
        Contrasts to try.
    n_splits : int
        Random splits; a setting takes five fits a split, three of half of the data and two of a
        quarter. The spread over splits is the error, so one split alone has the least error that is
        taken.
    min_specificity : float
        At least 1.
    random_state : int
        Seed of splits and starts.
    units, background_units : array of shape (n,), (m,), optional
        What each sample comes from, for instance its donor.
    sample_weight, background_weight : array of shape (n,), (m,), optional
        See `BCNMF.fit`.
    **parameters
        Further parameters of `BCNMF`, the same in all fits; squared error only.

    Returns
    -------
    Selection
        Nothing is recommended where no setting is eligible; `Selection.advice` says why.

    Raises
    ------
    InputError
        Nothing to try, data on disk, a Poisson loss, halves too small for the topics, or anything
        that `BCNMF` refuses.

    References
    ----------
    Kotliar et al. 2019, eLife 8:e43803 (stability of topics over replicates); Lange et al. 2004,
    Neural Computation 16:1299 (stability over halves of the data).
    """
    check_integer("n_splits", n_splits, 1)
    tables = import_extra("pandas")
    splits = [
        fit_split(
            target, background, split, n_components=n_components, alphas=alphas,
            random_state=random_state, units=units, background_units=background_units,
            sample_weight=sample_weight, background_weight=background_weight, **parameters,
        )
        for split in progress.counted(range(n_splits), "random split", n_splits)
    ]  # fmt: skip
    return summarise(tables.concat(splits, ignore_index=True), min_specificity)
