"""How estimators read data: both sides checked, in one unit, in memory or block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from bcnmf import batches, checks, memory
from bcnmf.errors import InputError
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.in_memory import as_matrix, numpy_name
from bcnmf.matrices.inputs import host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.matrices.streamed import streamed
from bcnmf.matrices.units import Size, check_alike
from bcnmf.matrices.weighting import Weighting

Weightings = Mapping[str, Weighting]


class Given(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    sides : dict
        Target and background, as users pass them; None where there is no background.
    weightings : dict of Weighting
        Of the sides of which not all samples count one.
    """

    sides: Mapping[str, Any]
    weightings: Weightings

    @classmethod
    def of(
        cls, X: Any, background: Any, sample_weight: Any, background_weight: Any, loss: str
    ) -> Given:
        """Check the weights of both sides; `loss` is in which samples weigh."""
        sides = {"target": X, "background": background}
        weights = {"target": sample_weight, "background": background_weight}
        found = {side: weighting_of(sides[side], weights[side], side, loss) for side in sides}
        return cls(sides, {side: one for side, one in found.items() if one is not None})


def weighting_of(data: Any, weights: Any, side: str, loss: str) -> Weighting | None:
    """Return the weighting of a side, "target" or "background", None where all samples count one.

    Parameters
    ----------
    data, weights : as for `fit`
        The side, and the weights of its samples.
    side, loss : str
        Which side, and in which loss its samples weigh.
    """
    name = {"target": "sample_weight", "background": "background_weight"}[side]
    if weights is None:
        return None
    if data is None:
        raise InputError(f"{name} is given, but no {side}; pass both or neither")
    n = (data if is_on_disk(data) else host_array(data, side)).shape[0]
    return Weighting.of(batches.checked(weights, name, n, checks.sample_names(data)), loss)


class Reading(ABC):
    """Reads what users pass into matrices."""

    # Parameters that are numbers of topics, and which sides are fitted with that many.
    _topic_counts: ClassVar[Mapping[str, tuple[str, ...]]]

    init: Any
    batch_size: int | None
    n_features_in_: int
    feature_names_in_: np.ndarray

    def _without_background(self) -> str | None:
        """Return why there has to be a background, None if there need not be one."""
        return (
            "background is missing: shared topics are fitted to it; pass background=..., "
            "or use NMF for a target alone"
        )

    def _read(self, given: Given) -> tuple[Matrix, Matrix | None]:
        """Return checked target and background, and keep what the features are."""
        self._check_names(given)
        self._place(lambda: self._values(given))
        sides = self._matrices(self._values(given), given.weightings)
        self._take(sides, given)
        return sides["target"], sides.get("background")

    def _check_names(self, given: Given) -> None:
        names, others = map(checks.feature_names, given.sides.values())
        checks.check_same_names(others, names, "background", "target")
        # Of three arrays the first alone has features, of two both.
        arrays = () if isinstance(self.init, str) else self.init
        for topics in arrays[: 1 if len(arrays) == 3 else 2]:
            checks.check_same_names(checks.feature_names(topics), names, "init", "target")

    def _values(self, given: Given) -> dict[str, Any]:
        """Return the sides as arrays, or as they are where they are read in batches."""
        return {
            name: data if self._streams(data) else host_array(data, name)
            for name, data in given.sides.items()
            if name == "target" or data is not None
        }

    def _matrices(self, values: Mapping[str, Any], weightings: Weightings) -> dict[str, Matrix]:
        """Return the sides in one unit, as they are computed with."""
        values, sides = dict(values), {}
        unit = None if self._scaled() else 1.0
        if self._streams(values["target"]):
            whole = values.pop("target")
            sides["target"] = self._matrix(whole, "target", unit, weightings.get("target"))
            unit = sides["target"].unit
        elif unit is None:
            dtype = numpy_name(self._precision_and_device()[0])
            unit = Size(dtype).add(values["target"]).unit("target")
        if in_memory := [side for side in values.values() if not self._streams(side)]:
            copied = unit != 1 or bool(weightings)
            precision = self._precision_and_device()
            memory.check(in_memory, self._n_topics(), *precision, self._loss(), copied)
        return sides | {
            name: self._matrix(side, name, unit, weightings.get(name))
            for name, side in values.items()
        }

    def _take(self, sides: Mapping[str, Matrix], given: Given) -> None:
        """See that the sides can be fitted, and keep what the features are."""
        self._check_sides(sides)
        self.n_features_in_ = sides["target"].shape[1]
        self.__dict__.pop("feature_names_in_", None)
        if (names := checks.feature_names(given.sides["target"])) is not None:
            self.feature_names_in_ = names

    def _n_topics(self) -> int:
        """Return the number of topics of all kinds."""
        return sum(int(getattr(self, name)) for name in self._topic_counts)

    def _check_sides(self, sides: Mapping[str, Matrix]) -> None:
        if "background" in sides:
            checks.check_same_features(sides["target"], sides["background"])
        elif reason := self._without_background():
            raise InputError(reason)
        for parameter, fitted in self._topic_counts.items():
            k = getattr(self, parameter)
            for name in fitted:
                samples, features = sides[name].shape
                if k > min(samples, features):
                    raise InputError(
                        f"{parameter}={k} is larger than the data: the {name} has {samples} "
                        f"samples and {features} features; choose at most {min(samples, features)}"
                    )
        for name, side in sides.items():
            if side.total == 0:
                raise InputError(f"{name}: all values are zero; there is nothing to factorise")
        if "background" in sides and self._scaled():
            check_alike(sides["target"], sides["background"])

    def _scaled(self) -> bool:
        """Return whether data may be divided by a number before the fit."""
        return True

    def _block_size(self) -> int | None:
        """Return of how many samples the blocks are in which data are read."""
        return None if self.batch_size is None else int(self.batch_size)

    def _streams(self, data: Any) -> bool:
        return is_on_disk(data) or self._block_size() is not None

    def _matrix(
        self,
        data: Any,
        name: str,
        unit: float | None = None,
        weighting: Weighting | None = None,
    ) -> Matrix:
        precision = self._precision_and_device()
        if self._streams(data):
            return streamed(data, name, *precision, self._block_size(), unit, weighting)
        return as_matrix(data, name, *precision, unit, weighting)

    def _new_samples(self, X: Any) -> Matrix:
        self._check_fitted()
        checks.check_same_names(
            checks.feature_names(X), getattr(self, "feature_names_in_", None), "X", "the model"
        )
        data = self._matrix(X, "X")
        if data.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {data.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input, those that it was fitted on"
            )
        return data

    @abstractmethod
    def _place(self, values: Callable[[], Mapping[str, Any]]) -> None: ...

    @abstractmethod
    def _precision_and_device(self) -> tuple[torch.dtype, torch.device]: ...

    @abstractmethod
    def _loss(self) -> str: ...

    @abstractmethod
    def _check_fitted(self) -> None: ...
