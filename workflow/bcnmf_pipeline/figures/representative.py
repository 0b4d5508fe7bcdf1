"""Which fit of each method a figure shows, chosen without looking at the labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.tables import method_label, methods_in, require_columns, short_number

AUTOMATIC = frozenset({"cpca_auto"})
RULE = (
    "Chosen without labels: the K and alpha that stand first in the methods sheet "
    "(of automatic alphas the middle one)"
)
_KEY = ("method", "k", "alpha", "replicate", "seed")


@dataclass(frozen=True)
class Chosen:
    """One fit: method, K, alpha (None where the method has no contrast), replicate and seed."""

    method: str
    k: int
    alpha: float | None
    replicate: int
    seed: int

    @property
    def setting(self) -> str:
        """K and alpha as text, for instance ``K = 2, α = 1.5``."""
        return setting_text(self.k, self.alpha)

    def rows(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the rows of a table that belong to this fit.

        Raises
        ------
        InputError
            There are none.
        """
        require_columns(table, _KEY, name)
        found = table[
            (table["method"] == self.method)
            & (table["k"] == self.k)
            & same_alpha(table["alpha"], self.alpha)
            & (table["replicate"] == self.replicate)
            & (table["seed"] == self.seed)
        ]
        if found.empty:
            raise InputError(
                f"table {name}: no rows for method {self.method!r}, {self.setting}, replicate "
                f"{self.replicate}, seed {self.seed}, which another table has; "
                "run the evaluation of this study again"
            )
        return found


def setting_text(k: int, alpha: float | None) -> str:
    """Return K and alpha as text; alpha only where there is one."""
    text = f"K = {int(k)}"
    return text if alpha is None or pd.isna(alpha) else f"{text}, α = {short_number(alpha)}"


def same_alpha(column: pd.Series, alpha: float | None) -> np.ndarray:
    """Return which alphas equal `alpha`, up to the ten digits that text tables keep."""
    values = pd.to_numeric(column).to_numpy(dtype=float)
    if alpha is None or np.isnan(alpha):
        return np.asarray(np.isnan(values))
    return np.asarray(np.isclose(values, alpha, rtol=1e-8, atol=0.0))


def chosen_setting(
    rows: pd.DataFrame, method: str, automatic: Collection[str] = AUTOMATIC
) -> tuple[int, float | None]:
    """Return the K and alpha to show for one method of one study and replicate.

    Parameters
    ----------
    rows : DataFrame
        Rows of that method with columns k and alpha, in the order of the methods sheet.
    method : str
        Its id.
    automatic : collection of str
        Methods whose alphas a scheme chose: of those the middle one counts (of an even number the
        lower middle one), since the scheme returns them from weak to strong contrast.

    Returns
    -------
    (int, float or None)
        The K that stands first, and its first (or middle) alpha.
    """
    k = int(rows["k"].iloc[0])
    alphas = pd.to_numeric(rows.loc[rows["k"] == k, "alpha"]).drop_duplicates()
    if alphas.isna().all():
        return k, None
    if method not in automatic:
        first = alphas.iloc[0]
        return k, None if pd.isna(first) else float(first)
    ordered = np.sort(alphas.dropna().to_numpy(dtype=float))
    return k, float(ordered[(len(ordered) - 1) // 2])


def representative_runs(
    table: pd.DataFrame,
    methods: Sequence[str] | None = None,
    *,
    automatic: Collection[str] = AUTOMATIC,
) -> list[Chosen]:
    """Choose one fit of each method by a rule that no label enters.

    The K and alpha listed first (of automatic alphas the middle one), the lowest replicate
    (0, unless it is missing) and the smallest seed.

    Parameters
    ----------
    table : DataFrame
        Any result table of one study: columns method, k, alpha, replicate, seed, the rows in the
        order of the methods sheet.
    methods : sequence of str, optional
        Methods to show, in this order; those that the table lacks are left out.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    list of Chosen
        One per method.

    Raises
    ------
    InputError
        A column is missing, or no method is left.
    """
    require_columns(table, _KEY, "of runs")
    chosen = []
    for method in methods_in(table, methods, "of runs"):
        rows = table[table["method"] == method]
        replicate = int(rows["replicate"].min())
        rows = rows[rows["replicate"] == replicate]
        k, alpha = chosen_setting(rows, method, automatic)
        rows = rows[(rows["k"] == k) & same_alpha(rows["alpha"], alpha)]
        chosen.append(Chosen(method, k, alpha, replicate, int(rows["seed"].min())))
    return chosen


def representative_text(
    chosen: Sequence[Chosen],
    labels: Mapping[str, str] | None = None,
    *,
    every_run: bool = False,
    automatic: Collection[str] = AUTOMATIC,
) -> str:
    """Return sentences that say which fits are shown and by what rule, for captions.

    Parameters
    ----------
    chosen : sequence of Chosen
        What `representative_runs` chose.
    labels : mapping, optional
        Names of methods.
    every_run : bool
        The figure shows all replicates and seeds of these settings (as that of beta does), not one.
    automatic : collection of str
        Methods with automatic alphas, which differ between replicates.
    """
    parts = []
    for one in chosen:
        setting = one.setting
        if every_run and one.method in automatic:
            setting = f"{setting_text(one.k, None)}, the middle automatic α of each data set"
        seed = "" if every_run else f", seed {one.seed}"
        parts.append(f"{method_label(one.method, labels)} with {setting}{seed}")
    replicates = " or ".join(map(str, sorted({one.replicate for one in chosen})))
    rest = "all replicates and seeds" if every_run else f"replicate {replicates}, smallest seed"
    return f"Shown: {'; '.join(parts)}. {RULE}, {rest}."


def representative_rows(
    table: pd.DataFrame,
    methods: Sequence[str] | None = None,
    *,
    automatic: Collection[str] = AUTOMATIC,
) -> pd.DataFrame:
    """Return all rows of the K and alpha to show: every replicate and every seed of them.

    Automatic alphas differ between replicates, so the choice is made within each.
    """
    require_columns(table, _KEY, "scores")
    methods = methods_in(table, methods, "scores")
    group_columns = ["study", "replicate"] if "study" in table else ["replicate"]
    parts = []
    for method in methods:
        for _, rows in table[table["method"] == method].groupby(group_columns, sort=False):
            k, alpha = chosen_setting(rows, method, automatic)
            parts.append(rows[(rows["k"] == k) & same_alpha(rows["alpha"], alpha)])
    return pd.concat(parts)
