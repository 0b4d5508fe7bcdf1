"""Which genes of a topic are specific to it, and to the target."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bcnmf.errors import InputError
from bcnmf.evidence.units import benjamini_hochberg
from bcnmf.persistence import Fit
from bcnmf_pipeline.enrich.gene_sets import symbols_of
from bcnmf_pipeline.evaluate.association import welch_test
from bcnmf_pipeline.evaluate.units import means_test, units_of

_SYMBOL, _ENSEMBL = "symbol", "gene_id"


def gene_scores(
    fit: Fit, target: AnnData, background: AnnData, values: str = "", unit: str = ""
) -> pd.DataFrame:
    """Return loadings of every gene on every topic, and how specific they are.

    With loadings c_kg, mean usage u_k of topic k in the target, and mean value y_g of gene g in the
    background, topic k puts a_kg = u_k c_kg on gene g of an average target sample, and

    - specificity: a_kg / sum_l a_lg, the topic's share of what all topics put there;
    - contrast_specificity: a_kg / (a_kg + y_g), near 1 where the background hardly expresses the
      gene, 1/2 where the topic adds as much as the background has;
    - score: loading x contrast_specificity, by which genes are ranked.

    None changes when a topic's usages are multiplied and its loadings divided by a number, except
    that loading and score are divided by it too, which changes no rank.

    Parameters
    ----------
    fit : Fit
        Non-negative usages and components.
    target, background : AnnData
        The pair that was fitted.
    values : str
        Layer that the fit used; empty: X.
    unit : str
        Column of `obs` with the unit of replication; empty: none.

    Returns
    -------
    DataFrame
        One row a topic and gene, topic by topic in falling order of score: topic (from 1), rank
        (from 1), feature, symbol, ensembl_id (both empty where unknown), loading, specificity,
        contrast_specificity, score, mean_target, mean_background, p_value, p_adjusted (Welch's test
        of the gene, target against background, adjusted over genes), p_value_units,
        p_adjusted_units (the same of means of units, paired where units are on both sides, see
        `units.means_test`; missing where not both sides have units).

    Raises
    ------
    InputError
        A signed fit, or one of other features.
    """
    _check(fit, target, background)
    sides = [side.layers[values] if values else side.X for side in (target, background)]
    means = [np.asarray(side.mean(axis=0), dtype=np.float64).ravel() for side in sides]
    loadings = np.asarray(fit.components, dtype=np.float64)
    added = fit.usage.mean(axis=0, dtype=np.float64)[:, None] * loadings
    contrast = _share(added, added + means[1])
    columns = {
        "loading": loadings,
        "specificity": _share(added, added.sum(axis=0)),
        "contrast_specificity": contrast,
        "score": loadings * contrast,
    }
    stack = sp.vstack if all(sp.issparse(side) for side in sides) else np.vstack
    stacked = stack(sides)
    of_side = np.repeat(["target", "background"], [side.shape[0] for side in sides])
    p_value = welch_test(stacked, of_side).p_value
    units = [found for side in (target, background) if (found := units_of(side, unit)) is not None]
    p_units, _ = means_test(stacked, of_side, np.concatenate(units) if len(units) == 2 else None)
    genes = gene_names(target).assign(
        mean_target=means[0],
        mean_background=means[1],
        p_value=p_value,
        p_adjusted=benjamini_hochberg(p_value),
        p_value_units=p_units,
        p_adjusted_units=benjamini_hochberg(p_units),
    )
    return pd.concat(
        [_topic(topic, columns, genes) for topic in range(len(loadings))], ignore_index=True
    )


def gene_names(data: AnnData) -> pd.DataFrame:
    """Return feature, symbol and ensembl_id of every feature.

    Where `var` has no column `symbol`, names are taken apart, see `gene_sets.symbols_of`.
    """
    names = pd.Series(data.var_names.astype(str))
    found = symbols_of(names)
    for column, name in (("symbol", _SYMBOL), ("ensembl_id", _ENSEMBL)):
        if name in data.var:
            found[column] = data.var[name].astype(object).fillna("").astype(str).to_numpy()
    return found.assign(feature=names)[["feature", "symbol", "ensembl_id"]]


def _check(fit: Fit, target: AnnData, background: AnnData) -> None:
    for side in (target, background):
        if not np.array_equal(fit.feature_names, side.var_names.to_numpy(dtype=str)):
            raise InputError("the fit was made from other features; delete it and fit again")
    if fit.components.min(initial=0) < 0 or fit.usage.min(initial=0) < 0:
        raise InputError(
            f"method {fit.info.get('method')}: components or usages are signed; gene scores are "
            "for non-negative methods"
        )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where there is nothing."""
    share = np.zeros_like(part)
    np.divide(part, whole, out=share, where=np.broadcast_to(whole > 0, part.shape))
    return share


def _topic(topic: int, columns: dict[str, np.ndarray], genes: pd.DataFrame) -> pd.DataFrame:
    order = np.argsort(-columns["score"][topic], kind="stable")
    table = genes.assign(**{name: values[topic] for name, values in columns.items()}).iloc[order]
    table.insert(0, "rank", np.arange(1, len(order) + 1))
    table.insert(0, "topic", topic + 1)
    return table
