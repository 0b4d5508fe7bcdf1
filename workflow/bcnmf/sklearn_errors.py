"""An error and a warning that are scikit-learn's too, so that its users catch them as usual."""

from __future__ import annotations

import inspect
import warnings

from sklearn import exceptions

from bcnmf.errors import InputError


class ConvergenceWarning(exceptions.ConvergenceWarning):  # type: ignore[misc]
    """The iterations ran out before the stopping rule was met, or topics are of no use."""


class NotFittedError(InputError, exceptions.NotFittedError):  # type: ignore[misc]
    """An estimator was used before it was fitted."""


def warn_user(message: str, category: type[Warning] = ConvergenceWarning) -> None:
    """Warn at the line that called the package, whatever lies between."""
    frame, level = inspect.currentframe(), 1
    while frame and frame.f_globals["__name__"].partition(".")[0] in ("bcnmf", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
