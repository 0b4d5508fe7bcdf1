"""Is there anything at all: runs of a study, fitted again with target and background exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf import permutation_null
from bcnmf.errors import ImpossibleResult, InputError
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.units import units_of
from bcnmf_pipeline.fit.run import parameters, values_of
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.pair.batches import weights_of
from bcnmf_pipeline.plan.runs import Run

_KEY = ("study", "method", "k", "alpha", "seed")
NULL_COLUMNS = (
    *_KEY, "by", "contrast", "statistic", "n_refits", "p_value", "smallest_p", "exact",
    "n_units_first", "n_units_second", "paired", "approximated", "sentence",
)  # fmt: skip
DRAW_COLUMNS = (*_KEY, "by", "contrast", "draw", "statistic")
CONTRAST = "target against background"


def null_tables(
    target: AnnData,
    background: AnnData,
    runs: Sequence[Run],
    methods: Mapping[str, Mapping[str, Any]],
    compute: Mapping[str, str],
    refits: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `bcnmf.permutation_null` says of runs, and the statistics of all refits.

    Parameters
    ----------
    target, background : AnnData
        The pair; `target.uns["study"]` names unit and batch.
    runs : sequence of Run
        Fits to repeat.
    methods : mapping
        For each method its `row` of the methods sheet.
    compute : mapping
        `device` and `dtype`.
    refits : int
        How many of each; fewer where there are fewer arrangements of the units.

    Returns
    -------
    null, draws : DataFrame
        `NULL_COLUMNS`, one row a run; `DRAW_COLUMNS`, draw 0 being the data as they are. What has
        too few samples is left out, and printed.
    """
    study = target.uns["study"]
    weights = weights_of(target, background)
    rows, draws = [], [pd.DataFrame(columns=list(DRAW_COLUMNS))]
    for run in runs:
        row = methods[run.method]["row"]
        where = f"study {run.study}, method {run.method}, K={run.k}, alpha={run.alpha}"
        x, y = (values_of(side, row["values"], where) for side in (target, background))
        try:
            null = permutation_null(
                make_estimator(row["algorithm"], **parameters(run, row, compute, {})),
                x,
                y,
                units=units_of(target, str(study.get("unit", ""))),
                background_units=units_of(background, str(study.get("unit", ""))),
                n_refits=refits,
                random_state=derive_seed("null", run.study),
                sample_weight=weights[0],
                background_weight=weights[1],
            )
        except ImpossibleResult:
            raise
        except InputError as error:
            print(f"{where}: no null: {error}")
            continue
        print(f"{where}: {null.advice()}")
        key = {
            "study": run.study,
            "method": run.method,
            "k": run.k,
            "alpha": np.nan if run.alpha == "none" else float(run.alpha),
            "seed": run.seed,
            "by": null.by,
            "contrast": CONTRAST,
        }
        rows.append(
            key
            | {
                "statistic": null.statistic,
                "n_refits": len(null.refits),
                "p_value": null.p_value,
                "smallest_p": null.smallest_p,
                "exact": null.exact,
                "n_units_first": null.n_units[0],
                "n_units_second": null.n_units[1],
                "paired": null.paired,
                "approximated": null.approximated,
                "sentence": null.advice(),
            }
        )
        drawn = pd.DataFrame({"draw": range(len(null.statistics)), "statistic": null.statistics})
        draws.append(drawn.assign(**key)[list(DRAW_COLUMNS)])
    return (
        pd.DataFrame(rows, columns=list(NULL_COLUMNS)),
        pd.concat(draws[1:] or draws, ignore_index=True),
    )
