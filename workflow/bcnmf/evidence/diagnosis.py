"""Diagnostics that name the trouble: of each program, and of target and background.

A program is judged by samples that no fit has seen: its share in the target over that in the
background. Where there is nothing, it is about 1. Thresholds: docs/how_sure_evidence.md.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone

from bcnmf import checks
from bcnmf.calibration import CrossFit
from bcnmf.crossfitting import crossfit
from bcnmf.errors import ImpossibleResult, InputError
from bcnmf.evidence.findings import Diagnosis, Finding, diagnosis_of
from bcnmf.evidence.judged import Judged
from bcnmf.evidence.study import study_findings
from bcnmf.matrices.inputs import check_non_negative, host_array, is_anndata
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed
from bcnmf.sklearn_errors import ConvergenceWarning

# Share of the whole descent that the last ten values of a fit without stopping rule may make.
_MOVING, _LAST = 0.01, 10
_MOST_SAMPLES = 5000


def diagnose(
    estimator: Any,
    X: Any,
    background: Any = None,
    units: Any = None,
    background_units: Any = None,
    batch: Any = None,
    background_batch: Any = None,
    found: CrossFit | None = None,
    random_state: int = 0,
    sample_weight: Any = None,
    background_weight: Any = None,
) -> Diagnosis:
    """Say of a fit what may be wrong with it, its programs and its data.

    Parameters
    ----------
    estimator : BCNMF, NMF, SharedTargetNMF or CombinedBasisNMF
        Fitted to these data: its programs are judged. Else it is fitted, as a copy.
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Target. Of data on disk (a backed AnnData) 5000 random samples a side are read.
    background : as X, of shape (m, features)
        Background; required.
    units, background_units : array of shape (n,), (m,), optional
        What each sample comes from, for instance its donor; whole units are left out.
    batch, background_batch : array of shape (n,), (m,), or with a column for each kind of batch
        What each sample was measured in.
    found : CrossFit, optional
        Of this estimator and these data, in memory; else halves of both sides are fitted.
    random_state : int
        Seed of the halves.
    sample_weight, background_weight : array of shape (n,), (m,), optional
        What each sample weighs in fits, see `BCNMF.fit`.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InputError
        No background, data in a file that is no AnnData, or anything that the estimator refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, diagnose
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((120, 12)), rng.random((120, 12))
    >>> diagnose(BCNMF(1, random_state=0), X, background=Y).verdict(program=1)
    'none'
    """
    if background is None:
        raise InputError("background is missing: a program is one beside it; pass background=...")
    names = [checks.feature_names(data) for data in (X, background)]
    checks.check_same_names(names[1], names[0], "background", "target")
    x, units, batch, weights = _in_memory(X, "target", random_state, units, batch, sample_weight)
    y, background_units, background_batch, others = _in_memory(
        background, "background", random_state, background_units, background_batch,
        background_weight,
    )  # fmt: skip
    weighted: dict[str, Any] = {"sample_weight": weights, "background_weight": others}
    with warnings.catch_warnings():
        # Whether it has converged is a finding; halves of a fit that has not need not say it again.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = hasattr(estimator, "components_")
        model = estimator if fitted else clone(estimator).fit(x, background=y, **weighted)
        refused = None
        if found is None:
            # Factors that were given are of all samples.
            start = {} if isinstance(model.init, str) else {"init": "random"}
            again = clone(model).set_params(**start)
            try:
                found = crossfit(
                    again, x, y, 2, random_state, units, background_units,
                    reference=model.components_, **weighted,
                )  # fmt: skip
            except ImpossibleResult:
                raise
            except InputError as error:
                refused = _refused(error)
        study = [_converged(model)]
        study += study_findings(
            x, y, names[0], (units, background_units), (batch, background_batch)
        )
        if found is None or refused is not None:
            return diagnosis_of([*study, refused] if refused else study, [])
        judged = Judged.of(model, x, y, found)
    programs = judged.findings()
    sure = any(one.code == "share" and one.verdict == "ok" for one in programs)
    return diagnosis_of([*study, judged.measured(), judged.explained(sure)], programs)


def _refused(error: InputError) -> Finding:
    return Finding(
        "left_out", 0, "fault", np.nan,
        f"No half of the samples could be left out to judge programs by: {error}.",
        "Add samples, or lower the number of topics.",
    )  # fmt: skip


def _in_memory(data: Any, name: str, seed: int, *of_samples: Any) -> tuple[Any, ...]:
    """Return values that samples can be taken of, and what belongs to each: unit, batch, weight."""
    if is_on_disk(data):
        if not is_anndata(data):
            raise InputError(
                f"{name}: is a data set in a file, of which no samples can be taken; pass a backed "
                "AnnData (anndata.read_h5ad(path, backed='r')), or read it into memory"
            )
        rng = np.random.default_rng(derive_seed("diagnosis", name, seed))
        rows = np.sort(rng.permutation(data.shape[0])[:_MOST_SAMPLES])
        data = data[rows].to_memory()
        of_samples = tuple(None if one is None else np.asarray(one)[rows] for one in of_samples)
    values = host_array(data, name)
    check_non_negative(values, name)
    return values, *of_samples


def _converged(model: Any) -> Finding:
    code = "converged"
    path = np.asarray(model.objective_)
    if model.converged_:
        return Finding(code, 0, "ok", 0, f"The fit has settled, after {model.n_iter_} iterations.")
    whole = np.ptp(path) if len(path) else 0.0
    moving = float(abs(path[-1] - path[-1 - _LAST]) / whole) if len(path) > _LAST and whole else 1.0
    if model.tol == 0 and moving < _MOVING:
        return Finding(
            code, 0, "ok", moving,
            f"The fit ran all its {model.n_iter_} iterations, as tol=0 asks, and hardly moved any "
            "more.",
        )  # fmt: skip
    return Finding(
        code, 0, "fault", moving,
        f"The fit has not settled after {model.n_iter_} iterations: topics may still change.",
        "Raise max_iter; if it does not help, lower alpha.",
    )  # fmt: skip
