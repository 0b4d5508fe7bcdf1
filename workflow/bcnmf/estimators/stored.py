"""Fitted models in files, and in pickles, from which they are had again elsewhere."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch

from bcnmf import outcome
from bcnmf.errors import InputError
from bcnmf.persistence import Fit, plain


class Stored(ABC):
    """A model that can be saved when it is fitted, and loaded."""

    # Attributes that a file holds, without the underscore: arrays, and what JSON can say.
    _arrays: ClassVar[tuple[str, ...]] = ("components", "usage", "background_usage", "objective")
    _facts: ClassVar[tuple[str, ...]]
    # And where and how the fit went, of which files of earlier versions say nothing.
    _of_the_run: ClassVar[tuple[str, ...]] = ("device_reason", "n_passes")
    # Words for `init`, the first for models whose start was given.
    _starts: ClassVar[tuple[str, ...]]

    init: Any
    get_params: Any
    seed_: int
    n_features_in_: int
    feature_names_in_: np.ndarray

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fitted model as .npz (no pickles); see `load`."""
        self.to_fit().write(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a model written by `save`, or the fit file of a pipeline job.

        Raises
        ------
        InputError
            The file is missing, damaged, or holds another class of model.
        """
        return cls._from_fit(Fit.read(path), path)

    @classmethod
    def _from_fit(cls, fit: Fit, path: str | os.PathLike[str]) -> Self:
        stored = fit.info.get("estimator", {})
        if stored.get("class") != cls.__name__:
            raise InputError(
                f"{path}: holds {stored.get('class', 'no bcnmf model')}; expected {cls.__name__}"
            )
        model = cls(**stored["parameters"])
        for name in cls._arrays:
            setattr(model, f"{name}_", getattr(fit, name))
        for name, value in stored["fitted"].items():
            setattr(model, name, float("nan") if value is None else value)
        model.seed_ = stored["parameters"]["random_state"]
        model.n_features_in_ = fit.components.shape[1]
        if len(fit.feature_names):
            model.feature_names_in_ = fit.feature_names.astype(object)
        model._derive()
        outcome.check_fit(fit, path)
        return model

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, ready for names to be added."""
        self._check_fitted()
        parameters = {name: plain(value) for name, value in self.get_params().items()}
        parameters["random_state"] = self.seed_
        if not isinstance(self.init, str):  # given factors are data, not a setting to store
            parameters["init"] = self._starts[0]
        facts = [*self._facts, *(name for name in self._of_the_run if hasattr(self, f"{name}_"))]
        fitted = {f"{name}_": plain(getattr(self, f"{name}_")) for name in facts}
        return Fit(
            **{name: getattr(self, f"{name}_") for name in self._arrays},
            objective_name=self._objective_name(),
            feature_names=getattr(self, "feature_names_in_", np.empty(0, dtype=str)),
            info={
                "estimator": {
                    "class": type(self).__name__, "parameters": parameters, "fitted": fitted,
                }
            },
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        state = dict(cast("dict[str, Any]", super().__getstate__()))
        if not isinstance(self.init, str):
            # Tensors on an accelerator could not be read where there is none.
            state["init"] = tuple(
                one.cpu() if isinstance(one, torch.Tensor) else one for one in self.init
            )
        return state

    @abstractmethod
    def _check_fitted(self) -> None: ...

    @abstractmethod
    def _objective_name(self) -> str:
        """Return what `objective_` holds, for axis labels."""

    @abstractmethod
    def _derive(self) -> None:
        """Set attributes that follow from others, after a fit or from a file."""
