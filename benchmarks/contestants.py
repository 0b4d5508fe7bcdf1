"""Who is compared. Each takes a problem and gives a function that runs some iterations of it."""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

import published
from bcnmf import BCNMF
from problems import Problem


@dataclass
class Fitted:
    """Components (K, genes), usages (cells, K) and how many iterations made them."""

    components: np.ndarray
    usage: np.ndarray
    background_usage: np.ndarray
    iterations: int


Run = Callable[[int], Fitted]


@dataclass(frozen=True)
class Contestant:
    """One way to factorise.

    Attributes
    ----------
    name, what : str
        For tables; `what` says what an iteration of it includes.
    losses, devices : tuple of str
        What it can do.
    dense_copies : dict of str to float
        Rough peak of dense single-precision copies of the data, by loss; empty if it stays sparse.
    build : callable
        Brings a problem into the contestant's own form (not timed) and returns its `Run`, which
        must not hold on to the problem.
    contrast : bool
        Whether it fits the contrast; the others fit plain NMF to target and background stacked.
    """

    name: str
    what: str
    build: Callable[[Problem], Run]
    losses: tuple[str, ...] = ("squared_error", "poisson")
    devices: tuple[str, ...] = ("cpu",)
    dense_copies: tuple[tuple[str, float], ...] = ()
    contrast: bool = True


def _published(literal: bool) -> Callable[[Problem], Run]:
    def build(problem: Problem) -> Run:
        X, Y = problem.data.dense
        start, loss, alpha = problem.draw_start(), problem.loss, problem.alpha

        def run(iterations: int) -> Fitted:
            steps = published.iterate(loss, X, Y, start, alpha, literal)
            *_, factors = islice(steps, iterations)
            return Fitted(*(factor.T.cpu().numpy() for factor in factors), iterations)

        return run

    return build


def _ours(solver: str) -> Callable[[Problem], Run]:
    def build(problem: Problem) -> Run:
        (target, background), start = problem.sides, problem.start
        background = background if background.shape[0] else None
        settings: dict[str, Any] = {
            "n_components": problem.k, "alpha": problem.alpha, "contrast": "absolute",
            "loss": problem.loss, "solver": solver, "tol": 0.0, "device": problem.data.device,
            "init": "random" if start is None else start, "damping": published.DAMPING,
        }  # fmt: skip
        if problem.seed is not None:
            settings |= {"init": "random", "random_state": problem.seed}

        def run(iterations: int) -> Fitted:
            model = BCNMF(max_iter=iterations, **settings)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                usage = model.fit_transform(target, background=background)
            return Fitted(model.components_, usage, model.background_usage_, model.n_iter_)

        return run

    return build


def _scikit_learn(solver: str) -> Callable[[Problem], Run]:
    def build(problem: Problem) -> Run:
        from sklearn.decomposition import NMF

        data, n = problem.data.stacked, problem.shape[0]
        components, *usages = (factor.numpy() for factor in problem.draw_start())
        usage = np.concatenate(usages)
        beta = {"squared_error": "frobenius", "poisson": "kullback-leibler"}[problem.loss]
        settings = {"n_components": problem.k, "solver": solver, "beta_loss": beta, "tol": 0.0}

        def run(iterations: int) -> Fitted:
            model = NMF(init="custom", max_iter=iterations, **settings)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                solved = model.fit_transform(data, W=usage.copy(), H=components.copy())
            return Fitted(model.components_, solved[:n], solved[n:], model.n_iter_)

        return run

    return build


def _nmf_torch(problem: Problem) -> Run:
    from nmf.nmf_models import NMFBatchMU

    device, n = problem.data.device, problem.shape[0]
    # Its own cast of a numpy array copies; a tensor is taken as it is.
    data = torch.cat([side.T for side in problem.data.dense]).contiguous()
    settings = {
        "n_components": problem.k, "init": "random",
        "beta_loss": {"squared_error": 2, "poisson": 1}[problem.loss], "tol": 0.0,
        "random_state": 0, "alpha_W": 0.0, "l1_ratio_W": 0.0, "alpha_H": 0.0, "l1_ratio_H": 0.0,
        "fp_precision": "float", "device_type": device,
    }  # fmt: skip

    def run(iterations: int) -> Fitted:
        model = NMFBatchMU(max_iter=iterations, **settings)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its loss
            usage = model.fit_transform(data).cpu().numpy()
        return Fitted(model.W.cpu().numpy(), usage[:n], usage[n:], model.num_iters)

    return run


PUBLISHED = "published loop"
UPDATES_ONLY = "published updates only"
OURS = "bcnmf mu"
SAFEGUARDED = "bcnmf safeguarded"
SKLEARN_MU, SKLEARN_CD = "scikit-learn mu sparse", "scikit-learn cd sparse"
NMF_TORCH = "nmf-torch mu dense"

CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(
            PUBLISHED,
            "dense torch, evaluated as the authors' loop does, its loss every iteration",
            _published(literal=True),
            devices=("cpu", "cuda"),
            dense_copies=(("squared_error", 4.0), ("poisson", 6.0)),
        ),
        Contestant(
            UPDATES_ONLY,
            "the same updates, dense torch, without loss and without matrices of ones",
            _published(literal=False),
            devices=("cpu", "cuda"),
            dense_copies=(("squared_error", 1.5), ("poisson", 4.0)),
        ),
        Contestant(
            OURS,
            "BCNMF(solver='mu'), sparse, the true objective every iteration",
            _ours("mu"),
            devices=("cpu", "cuda"),
        ),
        Contestant(
            SAFEGUARDED,
            "BCNMF(solver='safeguarded'), sparse, exact usages and the true objective every "
            "iteration",
            _ours("safeguarded"),
            losses=("squared_error",),
            devices=("cpu", "cuda"),
        ),
        Contestant(
            SKLEARN_MU,
            "plain NMF of target and background stacked, sparse, without loss",
            _scikit_learn("mu"),
            contrast=False,
        ),
        Contestant(
            SKLEARN_CD,
            "plain NMF of target and background stacked, sparse, without loss",
            _scikit_learn("cd"),
            losses=("squared_error",),
            contrast=False,
        ),
        Contestant(
            NMF_TORCH,
            "plain NMF of target and background stacked, dense, its loss every ten iterations",
            _nmf_torch,
            losses=("squared_error",),
            devices=("cpu", "cuda"),
            dense_copies=(("squared_error", 2.5),),
            contrast=False,
        ),
    )
}


def unavailable(contestant: Contestant) -> str:
    """Return why a contestant cannot run here, or an empty string."""
    if contestant.name != NMF_TORCH:
        return ""
    try:
        importlib.import_module("nmf.nmf_models")
    except ImportError as error:
        return f"nmf-torch cannot be imported ({error}); pip install -r benchmarks/requirements.txt"
    return ""
