"""Halves of a study, fitted over numbers of topics and contrasts, as its units and batches ask."""

from __future__ import annotations

from typing import Any

import pandas as pd
from anndata import AnnData

from bcnmf.selection import fit_split
from bcnmf_pipeline.evaluate.units import units_of
from bcnmf_pipeline.pair.batches import weights_of


def split_of_study(
    target: AnnData, background: AnnData, split: int, **options: Any
) -> pd.DataFrame:
    """Fit both halves of a split: of whole units, with batches that count alike, where named.

    Parameters
    ----------
    target, background : AnnData
        The pair; `target.uns["study"]` names unit and batch.
    split : int
        Which split.
    **options
        Of `bcnmf.selection.fit_split`.
    """
    unit = str(target.uns["study"].get("unit", ""))
    weights = weights_of(target, background)
    return fit_split(
        target.X, background.X, split, units=units_of(target, unit),
        background_units=units_of(background, unit), sample_weight=weights[0],
        background_weight=weights[1], **options,
    )  # fmt: skip
