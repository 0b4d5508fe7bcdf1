"""Results that cannot be, and results that say nothing, in words.

What the topics explain of the data's energy lies between 0 (no topics at all) and 1, if usages are
exact. The published updates leave usages one step behind, so they may end somewhat below 0; where
the model errs more than twice as much as no topics, it is none. Poisson fractions are of the
deviance from the best rank-one model, and a poor model may be any number of times worse than that:
the published contrast is driven there. That is marked, not refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bcnmf.errors import InputError
from bcnmf.persistence import Fit

_ROUNDING = 1e-3
# A deviance is a small difference of large sums.
_ROUNDING_OF_DEVIANCE = 1e-2
_NO_MODEL = -1.0
# A contrast that topics lower by less than this share of the target's energy is not lowered.
_NOTHING = 1e-4
REMEDY = (
    "divide target and background by one number, so that their largest value is about 1, or use "
    "dtype='float64'"
)


def impossible(
    arrays: Mapping[str, np.ndarray],
    explained: Mapping[str, float | None],
    parameters: Mapping[str, Any],
) -> str:
    """Return what of a fit cannot be, what it means and what to do; empty where all can.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Attributes of a fit by name; `objective_` and `components_` are looked for in particular.
    explained : mapping of str to float or None
        `explained_target_`, `explained_background_`; NaN or None where there is none.
    parameters : mapping
        Of the estimator: `loss` and `solver`, where it has them.
    """
    for name, values in arrays.items():
        bad = int(np.size(values) - np.isfinite(values).sum())
        if bad:
            return (
                f"{name} holds {bad} NaN or infinite values of {np.size(values)}: numbers became "
                f"too large or too small to compute with; {REMEDY}"
            )
    components = arrays.get("components_", np.ones(1))
    if np.size(components) and not np.any(components):
        return f"all loadings of all topics are zero: they have become too small; {REMEDY}"
    poisson, mu = parameters.get("loss") == "poisson", parameters.get("solver") == "mu"
    rounding = _ROUNDING_OF_DEVIANCE if poisson else _ROUNDING
    least = -np.inf if poisson else _NO_MODEL if mu else -rounding
    for name, value in explained.items():
        if value is None or np.isnan(value) or least <= value <= 1 + rounding:
            continue
        if value > 1:
            return f"{name} is {value:.6g}, but all there is to explain is 1; {REMEDY}"
        return (
            f"{name} is {value:.6g}: the model errs {1 - value:.3g} times as much as no topics at "
            f"all; {'raise max_iter, lower alpha, ' if mu else ''}{REMEDY}"
        )
    return ""


def remark(
    explained_target: float,
    explained_background: float,
    parameters: Mapping[str, Any],
    weight: float = float("nan"),
) -> str:
    """Return what to know of a fit whose topics say nothing of the target; empty for others.

    Parameters
    ----------
    explained_target, explained_background : float
        As the attributes; NaN where there is nothing to explain.
    parameters : mapping
        Of the estimator: `loss` and `alpha`, where it has them.
    weight : float
        Energy of the background in the contrast, relative to the target's; NaN if not known.

    Returns
    -------
    str
        What it is; after a colon why, and what to do.
    """
    poisson, contrast = parameters.get("loss") == "poisson", parameters.get("alpha", 0) > 0
    if explained_target < -_ROUNDING:
        rival = "the best model of a single topic" if poisson else "no topics at all"
        what = f"the topics explain the target worse than {rival} ({explained_target:.3g})"
        if poisson and contrast:
            return (
                f"{what}: the Poisson contrast is unbounded below, and topics lose what the "
                "background has too; use SharedTargetNMF, or loss='squared_error' on log values"
            )
        return f"{what}: the iterations have not settled; raise max_iter, or lower alpha if any"
    gained = explained_target - weight * explained_background
    if not poisson and (explained_target < _NOTHING or gained < _NOTHING):
        return "the topics explain nothing that is the target's own (" + (
            f"{explained_target:.2g} of the target, {explained_background:.2g} of the background): "
            "at this alpha nothing stands out; lower it, and see that target and background differ"
            if contrast
            else f"{explained_target:.2g}): the iterations have not settled; raise max_iter"
        )
    return ""


def check_fit(fit: Fit, where: object) -> None:
    """Raise `InputError` if what is stored cannot be the result of a fit.

    Parameters
    ----------
    fit : Fit
        As read from a file; of other methods than this package's only the arrays are looked at.
    where : object
        What to call it, for instance its path.
    """
    named = ("components", "usage", "background_usage", "objective")
    arrays = {f"{name}_": getattr(fit, name) for name in named}
    estimator = fit.info.get("estimator", {})
    explained = {
        name: value for name, value in estimator.get("fitted", {}).items() if "explained" in name
    }
    if found := impossible(arrays, explained, estimator.get("parameters", {})):
        raise InputError(f"{where}: {found}. Delete it and fit again")


def remark_of(fit: Fit) -> str:
    """Return what `remark` says of a stored fit, without why; empty for methods of others."""
    estimator = fit.info.get("estimator", {})
    parameters, fitted = estimator.get("parameters", {}), estimator.get("fitted", {})
    shares = [fitted.get(f"explained_{side}_") for side in ("target", "background")]
    target, background = (float("nan") if share is None else share for share in shares)
    relative = parameters.get("contrast") == "relative" and "alpha" in parameters
    weight = parameters["alpha"] if relative else float("nan")
    return remark(target, background, parameters, weight).partition(":")[0]
