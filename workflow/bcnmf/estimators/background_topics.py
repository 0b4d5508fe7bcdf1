"""Models that bring topics of their background, to score samples beside them."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np

from bcnmf import scoring
from bcnmf.errors import InputError
from bcnmf.estimators.base import Factorisation
from bcnmf.estimators.reading import Given
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.sources import is_on_disk
from bcnmf.matrices.weighting import Weighting
from bcnmf.persistence import Fit


class WithBackgroundTopics(Factorisation):
    """Models that fit topics of the background when they are first asked for.

    Until then the user's data themselves are kept, not a copy. They never go into a copy or a
    pickle of the model: its topics do.
    """

    n_background: int
    _background: Any = None
    _background_weighting: Weighting | None = None
    _background_topics: np.ndarray | None = None

    @property
    def background_components_(self) -> np.ndarray:
        """Topics of the background, (n_background, features)."""
        if self._background_topics is None:
            self._background_topics = self._fit_background_topics()
            self._background = self._background_weighting = None
        return self._background_topics

    @property
    def has_target_score(self) -> bool:
        """Whether there are topics of a background to score beside, or a background to fit."""
        return self._background is not None or self._background_topics is not None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fitted model as .npz (no pickles), topics of its background with it."""
        self._settle()
        super().save(path)

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, with topics of the background if they are fitted."""
        fit = super().to_fit()
        if self._background_topics is not None:
            fit.background_components = self._background_topics
        return fit

    @classmethod
    def _from_fit(cls, fit: Fit, path: str | os.PathLike[str]) -> Self:
        model = super()._from_fit(fit, path)
        if fit.background_components.size:
            model._background_topics = fit.background_components
        return model

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return dict(super().__getstate__())

    def _beside(self) -> np.ndarray:
        return self.background_components_

    def _finish(self, target: Matrix, background: Matrix | None, given: Given) -> None:
        super()._finish(target, background, given)
        self._background, self._background_topics = given.sides["background"], None
        self._background_weighting = given.weightings.get("background")
        # A file may be closed, or gone, when the topics are asked for.
        if self._background is not None and is_on_disk(self._background):
            self._settle()

    def _settle(self) -> None:
        """Fit the topics of a background that is still kept."""
        if self._background is not None:
            _ = self.background_components_

    def _fit_background_topics(self) -> np.ndarray:
        if self._background is None:
            raise InputError(
                f"this {type(self).__name__} has no topics of a background to score beside: it was "
                "fitted without one, or comes from a file that holds none; fit it with "
                "background=..."
            )
        try:
            return scoring.topics_of(
                self._matrix(self._background, "background", None, self._background_weighting),
                int(self.n_background), self._loss(), self.seed_, self._precision_and_device(),
            )  # fmt: skip
        except InputError as error:
            raise InputError(
                f"topics of the background cannot be fitted any more ({error}); leave the "
                "background as it is until target_score or save was called"
            ) from error
