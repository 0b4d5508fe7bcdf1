"""The batches of a pair: what samples weigh in fits, and whether a batch is the condition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf.batches import balanced_weights, effective_size, named, one_sided
from bcnmf.errors import InputError
from bcnmf_pipeline.plan.selected import column_of
from bcnmf_pipeline.plan.selection_syntax import ANY, Condition, parse_names


def check_batch(
    target: pd.DataFrame, background: pd.DataFrame, row: Mapping[str, str], where: str
) -> None:
    """Refuse columns of batches that are not there, or that samples of either side lack."""
    for name in parse_names(row.get("batch", "")):
        place = f"{where}, column batch"
        for side, obs in (("target", target), ("background", background)):
            column = column_of(obs, name, place)
            if missing := int((column.isna() | (column.astype(str) == "")).sum()):
                raise InputError(
                    f"{place}: {missing} of {len(obs)} {side} samples have no value in {name!r}; "
                    f"select those that have one: add ;{Condition(name, (ANY,))} to column {side}"
                )


def batch_remarks(
    target: pd.DataFrame, background: pd.DataFrame, row: Mapping[str, str]
) -> list[str]:
    """Return a warning where batches are on one side alone, and where few samples decide."""
    sides = [
        _named(obs, row, name) for name, obs in (("target", target), ("background", background))
    ]
    batch, background_batch = sides
    if batch is None or background_batch is None:
        return []
    found = one_sided(batch, background_batch)
    remarks = [f"batch ({row['batch']}): {found.sentence}; {found.remedy}"] * bool(found.sentence)
    for name, names in (("target", batch), ("background", background_batch)):
        counts = np.unique(names, return_counts=True)[1]
        size = effective_size(balanced_weights(names))
        if size < len(names) / 4:
            remarks.append(
                f"batch ({row['batch']}): the {name}'s smallest batch has {counts.min()} of "
                f"{len(names)} samples, and counts as much as the largest: the {name} tells as "
                f"much as {size:.0f} samples would that count alike"
            )
    return remarks


def batches_of(side: AnnData, study: Mapping[str, str] | None = None) -> np.ndarray | None:
    """Return the batch (n,) of each sample as text; None where the study names no batch.

    The study is that of the side, if it is not given.
    """
    return _named(side.obs, side.uns["study"] if study is None else study, "samples")


def weights_of(
    target: AnnData, background: AnnData
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Return by which weights every batch of a side, and in it every unit, counts alike.

    Returns
    -------
    sample_weight, background_weight : ndarray of shape (n,), (m,)
        1 on average; both None where the study names no batch.
    """
    study = target.uns["study"]
    batch, background_batch = batches_of(target), batches_of(background, study)
    if batch is None or background_batch is None:
        return None, None
    unit = str(study.get("unit", ""))
    return (
        balanced_weights(batch, _units(target.obs, unit)),
        balanced_weights(background_batch, _units(background.obs, unit)),
    )


def _named(obs: pd.DataFrame, row: Mapping[str, str], side: str) -> np.ndarray | None:
    columns = parse_names(str(row.get("batch", "")))
    return named(obs[columns].astype(str), f"batch of the {side}") if columns else None


def _units(obs: pd.DataFrame, unit: str) -> np.ndarray | None:
    """Return the unit of each sample, None where some have none."""
    if unit not in obs or obs[unit].isna().any():
        return None
    return np.asarray(obs[unit].astype(str))
