"""What the paper reports against what a run gives: ours, its interval, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from scipy import stats

REPRODUCED_COLUMNS = (
    "study", "method", "method_label", "score", "representation", "reported", "reported_sd",
    "reported_low", "reported_high", "reported_n", "source", "spread_source", "note", "k", "alpha",
    "alpha_setting", "ours", "sd", "low", "high", "interval_over", "n_replicates", "n_seeds",
    "n_runs", "verdict", "why",
)  # fmt: skip
WITHIN, ABOVE, BELOW = "within", "above", "below"
OTHERWISE, NOT_RUN = "made otherwise", "not run"
COMPARED = (WITHIN, ABOVE, BELOW)
NOT_STATED = "not stated"
_ENOUGH = 3  # Fewer data sets or seeds give no interval.
_SETTING = ["k", "alpha_setting"]
# What else the paper may have clustered, where it does not say.
_OTHERS = {"ari_usage": "H", "ari_usage_share": "H/sum", "ari_umap": "UMAP"}


class Ours(NamedTuple):
    """What a run gives for one score of one setting.

    Attributes
    ----------
    mean, sd : float
        Over all runs; of every data set as much as of every other. `sd` is missing for one run.
    low, high : float
        95% interval of the mean; missing where there are too few data sets and seeds.
    over : str
        What the interval is over: "data sets" or "fit seeds"; empty: there is none.
    n_replicates, n_seeds, n_runs : int
        Data sets, fit seeds and runs that have the score.
    """

    mean: float
    sd: float
    low: float
    high: float
    over: str
    n_replicates: int
    n_seeds: int
    n_runs: int


def ours_of(runs: pd.DataFrame) -> Ours:
    """Return mean and interval of the runs of one setting.

    The interval is Student's t, 95%, of the means of data sets where there are three or more of
    them, else of the means of fit seeds where there are three or more of these. Seeds of one data
    set are no replicates of the data: their interval holds for these data alone.

    Parameters
    ----------
    runs : DataFrame
        Columns replicate, seed, value; missing values do not count.
    """
    runs = runs[runs["value"].notna()]
    counts = (runs["replicate"].nunique(), runs["seed"].nunique(), len(runs))
    by_data = runs.groupby("replicate")["value"].mean()
    by_seed = runs.groupby("seed")["value"].mean()
    over, means = "", by_data
    if counts[0] >= _ENOUGH:
        over = "data sets"
    elif counts[1] >= _ENOUGH:
        over, means = "fit seeds", by_seed
    low = high = float("nan")
    if over:
        half = (
            float(stats.t.ppf(0.975, len(means) - 1)) * float(means.std()) / math.sqrt(len(means))
        )
        # No score lies beyond.
        low, high = max(means.mean() - half, -1.0), min(means.mean() + half, 1.0)
    return Ours(float(means.mean()), float(runs["value"].std()), low, high, over, *counts)


def range_of(reported: Mapping[str, str]) -> tuple[float, float]:
    """Return where the reported value may lie, from the texts of a row of the sheet.

    The authors' lowest and highest run where they are known, else value ± sd where that is, else
    the value alone; the value itself always belongs to it. Widened by half a unit of the last digit
    that is printed: 0.79 may be anything from 0.785 to 0.795.
    """
    value, sd, low, high = (_number(reported[name]) for name in ("value", "sd", "low", "high"))
    rounding = 0.5 * 10.0 ** -len(reported["value"].partition(".")[2])
    ends = [value]
    if not math.isnan(low) or not math.isnan(high):
        ends += [end for end in (low, high) if not math.isnan(end)]
    elif not math.isnan(sd):
        ends += [value - sd, value + sd]
    return min(ends) - rounding, max(ends) + rounding


def verdict_of(reported: Mapping[str, str], ours: Ours) -> str:
    """Return within where our interval and the range of the reported value share a point.

    Else above, if ours lies above the reported value, or below. Where there is no interval our
    mean stands for it. Missing scores are not run.
    """
    if math.isnan(ours.mean):
        return NOT_RUN
    low, high = (ours.low, ours.high) if ours.over else (ours.mean, ours.mean)
    least, most = range_of(reported)
    if low > most:
        return ABOVE
    return BELOW if high < least else WITHIN


def reproduced(
    scores: pd.DataFrame, reported: Sequence[Mapping[str, str]], labels: Mapping[str, str]
) -> pd.DataFrame:
    """Return every reported value with ours, or with the reason why there is none.

    Parameters
    ----------
    scores : DataFrame
        `tables/scores.tsv`.
    reported : sequence of mapping
        Rows of the sheet of reported values as text, with `verdict` and `why` where the run does
        not make them (`bcnmf_pipeline.plan.reported.standing`).
    labels : mapping
        Names of methods.

    Returns
    -------
    DataFrame
        Columns `REPRODUCED_COLUMNS`, in the order of the sheet; a value of which the run has
        several settings (K, alpha) has a row for each.
    """
    rows: list[dict[str, object]] = []
    for row in reported:
        base = {
            **{name: row[name] for name in ("study", "method", "score", "source", "note",
                                            "representation", "spread_source")},
            "representation": row["representation"] or NOT_STATED,
            "method_label": labels.get(row["method"], row["method"]),
            "reported": _number(row["value"]),
            **{f"reported_{name}": _number(row[name]) for name in ("sd", "low", "high", "n")},
        }  # fmt: skip
        if row["verdict"]:
            rows.append(base | {"verdict": row["verdict"], "why": row["why"]})
            continue
        of_method = scores[(scores["study"] == row["study"]) & (scores["method"] == row["method"])]
        runs = of_method[of_method["score"] == row["score"]]
        if runs.empty:
            rows.append(base | {"verdict": NOT_RUN, "why": "the run has no such score"})
        for (k, setting), group in runs.groupby(_SETTING, sort=False, dropna=False):
            ours, alphas = ours_of(group), group["alpha"].unique()
            same = (of_method["k"] == k) & (of_method["alpha_setting"] == setting)
            rows.append(
                base
                | {"k": k, "alpha_setting": setting, "ours": ours.mean, "sd": ours.sd,
                   "alpha": alphas[0] if len(alphas) == 1 else float("nan"),
                   "low": ours.low, "high": ours.high, "interval_over": ours.over,
                   "n_replicates": ours.n_replicates, "n_seeds": ours.n_seeds,
                   "n_runs": ours.n_runs, "verdict": verdict_of(row, ours),
                   "why": _why(base, ours, len(group), of_method[same])}
            )  # fmt: skip
    found = pd.DataFrame(rows, columns=list(REPRODUCED_COLUMNS))
    whole = ["k", "reported_n", "n_replicates", "n_seeds", "n_runs"]
    return found.astype(dict.fromkeys(whole, "Int64"))


def _why(base: Mapping[str, object], ours: Ours, n: int, beside: pd.DataFrame) -> str:
    if math.isnan(ours.mean):
        return f"failed: the score is missing in all of {n} runs"
    parts = [] if ours.over else ["no interval: fewer than three data sets and seeds"]
    if base["representation"] == NOT_STATED:
        means = beside.groupby("score")["value"].mean()
        others = [f"{name} {means[score]:.3f}" for score, name in _OTHERS.items()
                  if score != base["score"] and score in means]  # fmt: skip
        beside_it = f" (beside it: {', '.join(others)})" if others else ""
        space = _OTHERS.get(str(base["score"]), base["score"])
        parts.append(f"what was clustered is not stated, ours is {space}{beside_it}")
    return "; ".join(parts)


def _number(text: str) -> float:
    return float(text) if text else float("nan")
