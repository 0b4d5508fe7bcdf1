"""Target and background of a pair, read a block at a time until it is known what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from bcnmf.matrices.inputs import Faults, check_non_negative, host_array
from bcnmf_pipeline.pair.blocks import Values, blocks_of, stacked
from bcnmf_pipeline.pair.values import Found, above_zero, plain, saying, totals_of


class Side:
    """Target or background: which rows of the data, and what is known of their values.

    Attributes
    ----------
    name : str
    rows : ndarray of int
        Of the data, those left out taken away.
    found : Found
    in_rows, in_columns : ndarray of int
        How many values above zero there are in each of the rows and features.
    values : ndarray or CSR of float32
        Of the features that were taken; not there before `take`.
    totals : ndarray of float or None
        Of each row, where they are to be scaled by another sum than that of their values.
    """

    values: Values = None
    totals: np.ndarray | None = None

    def __init__(
        self, matrix: Any, name: str, mask: np.ndarray, where: str, other: str = ""
    ) -> None:
        """Look at the values of the samples of a mask; `other` says where else values stand.

        Raises
        ------
        InputError
            They are no numbers, NaN, infinite or negative.
        """
        self.name, self.rows, self.found = name, np.flatnonzero(mask), Found()
        self._matrix, self._place = matrix, f"{where}, {name}"
        features = matrix.shape[1]
        if not features:
            check_non_negative(np.empty((len(self.rows), 0)), self._place)
        faults = Faults("float32")
        in_rows, self.in_columns = [], np.zeros(features, dtype=np.int64)
        for block in blocks_of(matrix, self.rows):
            block = host_array(block, self._place)
            if not faults.count(block.data if sp.issparse(block) else block):
                continue
            block = plain(block)
            self.found.add(block)
            in_rows.append(above_zero(block, 1))
            self.in_columns += above_zero(block, 0)
        with saying(other):
            faults.check(self._place)
        self.in_rows = np.concatenate(in_rows)

    def keep(self, kept: np.ndarray) -> None:
        """Leave out some of the rows."""
        self.rows, self.in_rows = self.rows[kept], self.in_rows[kept]

    def blocks(self) -> Iterator[Values]:
        """Yield some rows at a time, all features, as float32 without stored zeros."""
        for block in blocks_of(self._matrix, self.rows):
            yield plain(host_array(block, self._place))

    def take(self, features: np.ndarray, keep_totals: bool) -> None:
        """Read the values of some features, of the rows that hold any of them.

        `in_rows` becomes their number of the rows that were there before. `keep_totals` scales by
        the sum of all features.
        """
        counts, totals = [], []

        def parts() -> Iterator[Values]:
            for block in self.blocks():
                part = block if len(features) == block.shape[1] else block[:, features]
                counts.append(above_zero(part, 1))
                kept = counts[-1] > 0
                if keep_totals:
                    totals.append(totals_of(block)[kept])
                yield part if kept.all() else part[kept]

        stored = int(self.in_columns[features].sum())
        self.values = stacked(parts(), len(self.rows), len(features), stored, self._place)
        self.totals = np.concatenate(totals) if keep_totals else None
        self.in_rows, self.in_columns = np.concatenate(counts), self.in_columns[features]
