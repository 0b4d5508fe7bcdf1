"""One fitted factorisation on disk: arrays, names and how it was made, in a single .npz."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bcnmf.errors import InputError
from bcnmf.files import atomic_path

_ARRAYS = ("usage", "background_usage", "components", "objective")
# Not every model has them, and fits written before there were such models do not either.
_OPTIONAL = ("shared_components", "shared_usage", "background_components", "offsets")
_NAMES = ("sample_names", "background_names", "feature_names")


@dataclass
class Fit:
    """A factorisation of a target, with its background.

    Attributes
    ----------
    usage : ndarray of shape (n, K)
        Topic usage of each target sample; signed for PCA and contrastive PCA.
    background_usage : ndarray of shape (m, K)
        Topic usage of each background sample, (0, K) where a method has none.
    components : ndarray of shape (K, features)
        Loading of each feature on each topic.
    objective : ndarray of shape (evaluations,)
        The objective as it was recorded, empty where a method has none.
    objective_name : str
        What `objective` holds, for axis labels.
    sample_names, background_names, feature_names : ndarray of str
        Names of rows and columns.
    info : dict
        JSON-like description: method, algorithm, k, alpha, contrast, seed, n_iter, versions...
    shared_components, shared_usage : ndarray of shape (n_shared, features), (n, n_shared)
        Topics that a model keeps apart because target and background share them, and their usages
        by the target; the columns of `background_usage` then belong to them. Else of size 0.
    background_components : ndarray of shape (n_background, features)
        Topics of the background that a target score is taken beside, if they were fitted.
    offsets : ndarray of shape (features,)
        By how much more the target captures each feature, where a model says so; else of size 0.
    """

    usage: np.ndarray
    background_usage: np.ndarray
    components: np.ndarray
    objective: np.ndarray = field(default_factory=lambda: np.empty(0))
    objective_name: str = ""
    sample_names: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=str))
    background_names: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=str))
    feature_names: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=str))
    info: dict[str, Any] = field(default_factory=dict)
    shared_components: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    shared_usage: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    background_components: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    offsets: np.ndarray = field(default_factory=lambda: np.empty(0))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` (.npz, compressed, no pickles)."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        arrays |= {name: np.asarray(getattr(self, name), dtype=str) for name in _NAMES}
        optional = {name: np.asarray(getattr(self, name)) for name in _OPTIONAL}
        arrays |= {name: values for name, values in optional.items() if values.size}
        arrays["objective_name"] = np.array(self.objective_name)
        arrays["info"] = np.array(json.dumps(self.info, sort_keys=True))
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Fit:
        """Read a fit written by `write`.

        Raises
        ------
        InputError
            The file is missing, truncated or not a fit.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in (*_ARRAYS, *_NAMES)}
                arrays |= {name: stored[name] for name in _OPTIONAL if name in stored}
                return cls(
                    **arrays,
                    objective_name=str(stored["objective_name"]),
                    info=json.loads(str(stored["info"])),
                )
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: no such file; give the path of a saved fit (.npz)"
            ) from error
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: not a fit of bcnmf, or cut short ({error}); delete it and fit again"
            ) from error


def plain(value: Any) -> Any:
    """Return a value as JSON knows it, which has no NaN."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return None if isinstance(value, float) and np.isnan(value) else value
