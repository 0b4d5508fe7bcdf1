"""Some images of a study as a table, for figures, which read nothing but tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData


def example_images(
    target: AnnData, background: AnnData, label: str, n_target: int = 12, n_background: int = 12
) -> pd.DataFrame:
    """Return the pixels of some images of both sides.

    Parameters
    ----------
    target, background : AnnData
        A pair of images.
    label : str
        Column of `target.obs` with the classes; empty: one class. The first image of each class is
        taken, then the second of each, and so on, until there are enough.
    n_target, n_background : int
        How many at most; of the background the first ones.

    Returns
    -------
    DataFrame
        side, place (from 0, in the order of the figure), label ("" in the background), sample,
        feature, value: one row a pixel. Targets are sorted by class.
    """
    named = target.obs[label] if label else pd.Series("", index=target.obs_names)
    classes = named.astype(str).reset_index(drop=True)
    turn = classes.groupby(classes).cumcount()
    first = np.argsort(turn.to_numpy(), kind="stable")[:n_target]
    rows = np.array(sorted(first, key=lambda row: (classes[row], row)))
    parts = [
        _pixels(target, rows, "target", classes[rows].tolist()),
        _pixels(background, np.arange(min(n_background, background.n_obs)), "background", None),
    ]
    return pd.concat(parts, ignore_index=True)


def _pixels(side: AnnData, rows: np.ndarray, name: str, labels: list[str] | None) -> pd.DataFrame:
    values = side.X[rows]
    values = values.toarray() if sp.issparse(values) else np.asarray(values)
    n_features = side.n_vars
    return pd.DataFrame(
        {
            "side": name,
            "place": np.repeat(np.arange(len(rows)), n_features),
            "label": np.repeat(labels or [""] * len(rows), n_features),
            "sample": np.repeat(side.obs_names[rows].to_numpy(dtype=str), n_features),
            "feature": np.tile(side.var_names.to_numpy(dtype=str), len(rows)),
            "value": values.ravel().astype(np.float64),
        }
    )
