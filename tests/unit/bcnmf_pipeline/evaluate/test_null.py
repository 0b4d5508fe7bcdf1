"""Tables of the null: one row a run, one row a refit, with the sentence and what was refused."""

import anndata as ad
import numpy as np
import pandas as pd

from bcnmf import permutation_null
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.null import DRAW_COLUMNS, NULL_COLUMNS, null_tables
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.plan.runs import Run
from programs import new_program

COMPUTE = {"device": "cpu", "dtype": "float32"}
ROW = {
    "algorithm": "shared", "values": "default", "n_shared": "3", "contrast": "",
    "loss": "squared_error", "solver": "", "max_iter": "8", "tol": "1e-3", "damping": "",
    "penalty": "",
}  # fmt: skip
RUN = Run("toy", 0, "shared_target", 1, "none", 3)


def pair(n=48, **study):
    x, y, _ = new_program(n=n, m=n)
    sides = []
    for values, prefix in ((x, "t"), (y, "b")):
        names = [f"{prefix}{i}" for i in range(n)]
        obs = pd.DataFrame({"donor": [f"{prefix}{i % 2}" for i in range(n)]}, index=names)
        sides.append(ad.AnnData(values.astype(np.float32), obs=obs))
    for side in sides:
        side.uns["study"] = {"study": "toy", "label": "", "unit": "donor"} | study
    return sides


def test_tables_hold_what_the_package_says():
    target, background = pair()
    methods = {"shared_target": {"row": ROW}}
    null, draws = null_tables(target, background, [RUN], methods, COMPUTE, 19)
    assert tuple(null) == NULL_COLUMNS
    assert tuple(draws) == DRAW_COLUMNS
    estimator = make_estimator(
        "shared", n_shared=3, n_target=1, loss="squared_error", max_iter=8, tol=1e-3,
        random_state=3, device="cpu",
    )  # fmt: skip
    expected = permutation_null(
        estimator, target.X, background.X, units=target.obs["donor"],
        background_units=background.obs["donor"], n_refits=19,
        random_state=derive_seed("null", "toy"),
    )  # fmt: skip
    (row,) = null.to_dict("records")
    assert (row["study"], row["method"], row["k"], row["seed"]) == ("toy", "shared_target", 1, 3)
    assert (row["by"], row["n_refits"]) == ("units", 5)
    assert (row["n_units_first"], row["n_units_second"]) == (2, 2)
    assert row["p_value"] == expected.p_value
    assert row["sentence"] == expected.advice()
    assert draws["draw"].tolist() == list(range(6))
    np.testing.assert_array_equal(draws["statistic"], expected.statistics)


def test_without_a_unit_it_is_by_samples_and_too_few_are_left_out_and_said(capsys):
    methods = {"shared_target": {"row": ROW}}
    null, draws = null_tables(*pair(unit=""), [RUN], methods, COMPUTE, 3)
    assert null["by"].tolist() == ["samples"]
    assert len(draws) == 4
    null, draws = null_tables(*pair(n=10, unit=""), [RUN], methods, COMPUTE, 3)
    assert (len(null), len(draws)) == (0, 0)
    assert (tuple(null), tuple(draws)) == (NULL_COLUMNS, DRAW_COLUMNS)
    assert "method shared_target, K=1, alpha=none: no null: " in capsys.readouterr().out
