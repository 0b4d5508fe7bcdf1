"""What a fit came to on units that it has not seen, in few iterations."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from bcnmf.device import as_float64, device_of_passes, gram_float64, resolve_dtype
from bcnmf.errors import InputError
from bcnmf.estimators.background_topics import WithBackgroundTopics
from bcnmf.estimators.contrast import NMF
from bcnmf.evidence.arrangements import Fold, Rows
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.divergence import squared_error
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.sklearn_errors import ConvergenceWarning
from bcnmf.solvers.usage import flat_usage, solve_usage

# A step of the safeguarded solver is worth many updates, and a hundred of these come before it.
_ITERATIONS, _SAFEGUARDED, _TOL = 100, 10, 1e-4


class Refit:
    """Fits an estimator to each fold in few iterations; returns the contrast that is explained.

    Parameters
    ----------
    estimator : BCNMF, NMF, SharedTargetNMF or CombinedBasisNMF
        How to fit.
    values : ndarray or csr_matrix of shape (samples, features)
        All samples, of both sides.
    weights : ndarray of shape (samples,), or None
        Of the samples.
    max_iter : int or None
        Iterations at most.
    seed : int
        Seed of all starts.

    Attributes
    ----------
    hurried : str
        What is done less than by the estimator.
    """

    def __init__(
        self, estimator: Any, values: Any, weights: np.ndarray | None, max_iter: int | None,
        seed: int,
    ) -> None:  # fmt: skip
        if not hasattr(estimator, "target_score"):
            raise InputError(
                f"{type(estimator).__name__} has no target topics; give BCNMF, NMF, "
                "SharedTargetNMF or CombinedBasisNMF"
            )
        self._values, self._weights = values, weights
        default = _SAFEGUARDED if getattr(estimator, "solver", "") == "safeguarded" else _ITERATIONS
        changes = {
            "max_iter": min(estimator.max_iter, default if max_iter is None else max_iter),
            "tol": max(estimator.tol, _TOL),
            "n_init": 1,
            "verbose": 0,
            "random_state": seed,
        }
        if not isinstance(estimator.init, str):
            # It may know which samples are the target.
            changes["init"] = inspect.signature(type(estimator)).parameters["init"].default
        self._estimator = clone(estimator).set_params(**changes)
        self._loss = getattr(estimator, "loss", "squared_error")
        device = device_of_passes(estimator.device)
        self._precision = resolve_dtype(estimator.dtype, device), device
        totals = np.asarray(values.sum(0), dtype=np.float64).reshape(1, -1)
        self._share = self._topics(totals / totals.sum())
        self.hurried = (
            f"every fit from one start, of at most {changes['max_iter']} iterations with "
            f"tol={changes['tol']:g}"
        )

    def __call__(self, folds: list[Fold]) -> float:
        """Return T: the mean over left-out target units minus that over background units."""
        gains: tuple[list[float], list[float]] = ([], [])
        for fold in folds:
            topics, beside = self._fitted(fold)
            for side, left_out in zip(gains, (fold.left_target, fold.left_background), strict=True):
                side += [self._gain(rows, topics, beside) for rows in left_out]
        return float(np.mean(gains[0]) - np.mean(gains[1]))

    def _fitted(self, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
        """Return target topics, and topics of the background to set them beside."""
        target, background = self._values[fold.target], self._values[fold.background]
        weights = (
            {}
            if self._weights is None
            else {
                "sample_weight": self._weights[fold.target],
                "background_weight": self._weights[fold.background],
            }
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = clone(self._estimator).fit(target, background=background, **weights)
            if not isinstance(model, WithBackgroundTopics):
                return model._target_topics(), model._beside()
            beside = NMF(
                max(1, min(model.n_background, *(size // 2 for size in background.shape))),
                loss=model.loss, solver="mu" if model.solver == "mu" else "safeguarded",
                max_iter=model.max_iter, tol=_TOL, device=model.device,
                dtype=model.dtype, random_state=model.random_state,
            )  # fmt: skip
            beside.fit(background, sample_weight=weights.get("background_weight"))
        return model.components_, beside.components_

    def _gain(self, rows: Rows, topics: np.ndarray, beside: np.ndarray) -> float:
        """Return the share of the samples' energy that topics explain beside others."""
        data = as_matrix(self._values[rows], "samples", *self._precision)
        if data.total == 0:
            return 0.0
        if self._loss == "poisson":
            # A gene that no topic of the background has would cost without limit.
            beside = np.concatenate([beside, self._share.cpu().numpy()])
        without, everything = (
            self._divergence(data, self._topics(one))
            for one in (beside, np.concatenate([beside, topics]))
        )
        if self._loss == "squared_error":
            return (without - everything) / data.squared_norm
        # Of the deviance from one profile, that of all data, which no arrangement changes.
        totals = data.times(torch.ones_like(self._share))
        return (without - everything) / float(data.poisson_loss(self._share, totals))

    def _divergence(self, data: Matrix, topics: torch.Tensor) -> float:
        if self._loss == "poisson":
            usage = flat_usage(data, topics)
            solve_usage(data, topics, usage, "poisson")
            return float(data.poisson_loss(topics, usage))
        cross, gram = data.times(topics), gram_float64(topics)
        usage = topics.new_zeros((data.shape[0], len(topics)))
        usage = nonnegative_least_squares(cross, gram, usage)
        solved = as_float64(usage)
        fit = (as_float64(cross) * solved).sum()
        return float(squared_error(data.squared_norm, fit, solved.T @ solved, gram))

    def _topics(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=self._precision[0]).to(self._precision[1])
