"""The target score of stored fits: how much of a sample only the target's topics explain."""

from __future__ import annotations

from functools import cache

import numpy as np
from anndata import AnnData

from bcnmf.persistence import Fit
from bcnmf.scoring import background_topics, target_score_of
from bcnmf_pipeline.fit.run import values_of


class TargetScores:
    """Target scores of the fits of one pair; topics of the background are fitted once.

    Usages are solved beside topics of the background, which may explain whatever they can: what is
    left for the topics of the fit is what the background lacks. See `bcnmf.scoring`.

    Parameters
    ----------
    target, background : AnnData
        The pair that was fitted.
    """

    def __init__(self, target: AnnData, background: AnnData) -> None:
        self._target = target
        self._background = background
        self._topics = cache(self._fit_topics)

    def of(self, fit: Fit) -> np.ndarray | None:
        """Return the score of every target sample, (samples,); None for signed methods."""
        if min(np.min(fit.usage), np.min(fit.components)) < 0:
            return None
        row = fit.info.get("row", {})
        values, loss = row.get("values") or "default", row.get("loss") or "squared_error"
        score, _ = target_score_of(
            values_of(self._target, values, "target score"),
            _target_topics(fit),
            # A model with topics that both sides share has those of the background already.
            _shared_topics(fit) if fit.shared_components.size else self._topics(values, loss),
            loss=loss,
            device="cpu",
        )
        return np.asarray(score, dtype=np.float64)

    def _fit_topics(self, values: str, loss: str) -> np.ndarray:
        data = values_of(self._background, values, "target score")
        return background_topics(data, loss=loss, device="cpu")


def _target_topics(fit: Fit) -> np.ndarray:
    """Return the topics, or of those that have a shared part the part of the target alone."""
    weight = fit.info.get("estimator", {}).get("fitted", {}).get("shared_weight_")
    if weight is None:
        return fit.components
    shared = np.asarray(weight)[:, None] * fit.shared_components
    return np.asarray(np.maximum(fit.components - shared, 0))


def _shared_topics(fit: Fit) -> np.ndarray:
    """Return the shared topics, and beside them those of the target where they differ."""
    if not fit.offsets.size or (fit.offsets == 1).all():
        return fit.shared_components
    of_target = fit.shared_components.copy()
    split = len(of_target) - fit.info["estimator"]["fitted"]["n_absent_"]
    of_target[:split] *= fit.offsets
    return np.concatenate([fit.shared_components, of_target])
