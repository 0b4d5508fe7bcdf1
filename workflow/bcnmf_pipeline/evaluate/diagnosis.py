"""What may be wrong with the fits that a study is answered by, in sentences with remedies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf import diagnose
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.units import units_of
from bcnmf_pipeline.fit.made import read_made_fit
from bcnmf_pipeline.fit.run import values_of, weights_for
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.plan.selection_syntax import parse_names

DIAGNOSIS_COLUMNS = (
    "study", "method", "k", "alpha", "seed", "program", "code", "verdict", "value", "sentence",
    "remedy",
)  # fmt: skip


def diagnosis_table(
    target: AnnData,
    background: AnnData,
    runs: Sequence[Run],
    made: str,
    methods: Mapping[str, Mapping[str, Any]],
    compute: Mapping[str, str],
) -> pd.DataFrame:
    """Diagnose fits of a study.

    Parameters
    ----------
    target, background : AnnData
        The pair; `target.uns["study"]` names unit and batch.
    runs : sequence of Run
        Fits that are there; fits to halves of the data are made besides.
    made : str
        A list of fits, see `read_made_fit`.
    methods : mapping
        For each method its `row` of the methods sheet.
    compute : mapping
        `device` and `dtype`.

    Returns
    -------
    DataFrame
        `DIAGNOSIS_COLUMNS`: a row a finding, see `bcnmf.diagnose`; program 0 is the whole study.
        The first row of a fit (code "overall") says all in one sentence.
    """
    study = target.uns["study"]
    unit = str(study.get("unit", ""))
    batch = parse_names(str(study.get("batch", "")))
    told: dict[str, Any] = {
        "units": units_of(target, unit),
        "background_units": units_of(background, unit),
        "batch": target.obs[batch].astype(str) if batch else None,
        "background_batch": background.obs[batch].astype(str) if batch else None,
        "random_state": derive_seed("diagnosis", study["study"]),
    }
    rows = [pd.DataFrame(columns=list(DIAGNOSIS_COLUMNS))]
    for run in runs:
        row = methods[run.method]["row"]
        where = f"study {run.study}, method {run.method}, K={run.k}, alpha={run.alpha}"
        # With names, by which findings call features.
        x, y = (
            AnnData(
                values_of(side, row["values"], where),
                obs=pd.DataFrame(index=side.obs_names), var=pd.DataFrame(index=side.var_names),
            )
            for side in (target, background)
        )  # fmt: skip
        read_made_fit(run.file, made)  # with words for one that was damaged since
        model = type(make_estimator(row["algorithm"])).load(Path(made).parents[2] / run.file)
        model.set_params(**dict(compute))
        found = diagnose(model, x, y, **(told | weights_for(target, background, row)))
        print(f"{where}: {found.text()}")
        table = pd.DataFrame([asdict(finding) for finding in found.findings])
        rows.append(
            table.assign(
                study=run.study, method=run.method, k=run.k, seed=run.seed,
                alpha=np.nan if run.alpha == "none" else float(run.alpha),
            )
        )  # fmt: skip
    return pd.concat(rows[1:] or rows, ignore_index=True)[list(DIAGNOSIS_COLUMNS)]
