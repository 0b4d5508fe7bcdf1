"""The target score of fitted models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from bcnmf import scoring
from bcnmf.matrices.base import Matrix


class TargetScore(ABC):
    """Scores of samples by topics of the target, beside topics of the background."""

    components_: np.ndarray

    def target_score(self, X: Any) -> np.ndarray:
        """Return how much of each sample the target topics hold, beside topics of the background.

        Usages of both kinds of topics are solved together; the score is the square root of the sum
        of those of the target topics, see `target_usage`.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
            Samples: those that were fitted, background samples, or new ones. Of samples that were
            fitted the score is too high to say how many hold something new, see `bcnmf.crossfit`.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            Anything `transform` refuses, or there are no topics of a background.
        """
        return scoring.score_of(self.target_usage(X))

    def target_usage(self, X: Any) -> np.ndarray:
        """Return the usages (n, K) of the target topics beside topics of the background.

        They belong to topics of unit norm, and with a Poisson loss they are shares of each sample.
        Parameters and errors are those of `target_score`.
        """
        return scoring.usage_beside(
            self._new_samples(X), self._target_topics(), self._beside(), self._loss(),
            self._precision_and_device(),
        )  # fmt: skip

    def _target_topics(self) -> np.ndarray:
        return self.components_

    @abstractmethod
    def _beside(self) -> np.ndarray:
        """Return the topics of the background."""

    @abstractmethod
    def _new_samples(self, X: Any) -> Matrix:
        """Return checked data that have the features of the fit."""

    @abstractmethod
    def _loss(self) -> str: ...

    @abstractmethod
    def _precision_and_device(self) -> Any: ...
