"""Diagnoses of the fits of a study, as a table."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.evaluate.diagnosis import DIAGNOSIS_COLUMNS, diagnosis_table
from bcnmf_pipeline.fit.run import fit_run
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.tables import read_table, write_table
from programs import new_program

COMPUTE = {"device": "cpu", "dtype": "float32"}
ROW = {
    "algorithm": "bcnmf", "values": "default", "n_shared": "", "contrast": "relative",
    "loss": "squared_error", "solver": "safeguarded", "max_iter": "100", "tol": "1e-3",
    "damping": "", "penalty": "",
}  # fmt: skip
METHODS = {
    "bcnmf": {"row": ROW},
    "shared": {"row": ROW | {"algorithm": "shared", "n_shared": "3", "contrast": "", "solver": ""}},
}
RUNS = [Run("toy", 0, "bcnmf", 1, "1.5", 0), Run("toy", 0, "shared", 1, "none", 3)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return target, background and the list of their fits."""
    sides = []
    for values, prefix in zip(new_program(n=120, m=120)[:2], "tb", strict=True):
        obs = pd.DataFrame(
            {
                "donor": [f"{prefix}{place % 4}" for place in range(120)],
                "lane": [f"{prefix}{place % 2}" for place in range(120)],
            },
            index=[f"{prefix}{place}" for place in range(120)],
        )
        sides.append(ad.AnnData(values.astype(np.float32), obs=obs))
    sides[0].uns["study"] = {"study": "toy", "unit": "donor", "batch": "lane"}
    folder = tmp_path_factory.mktemp("fits")
    for run in RUNS:
        fit = fit_run(*sides, run, METHODS[run.method]["row"], COMPUTE)
        (folder / run.file).parent.mkdir(parents=True)
        fit.write(folder / run.file)
    return *sides, folder / "toy" / "0" / "fits_0.json"


@pytest.fixture(scope="module")
def table(made):
    target, background, fits = made
    return diagnosis_table(target, background, RUNS, fits, METHODS, COMPUTE)


def test_every_fit_has_its_findings(table):
    assert tuple(table) == DIAGNOSIS_COLUMNS
    firsts = table.drop_duplicates("method")
    assert firsts["code"].tolist() == ["overall"] * 2
    assert firsts["k"].tolist() == [1, 1]
    assert firsts["alpha"].fillna(-1).tolist() == [1.5, -1]
    shares = table[table["code"] == "share"]
    assert shares["program"].tolist() == [1, 1]
    assert (shares["value"] > 2).all()


def test_units_and_batches_are_those_of_the_study(table):
    units = table[table["code"] == "units"]
    assert units["value"].tolist() == [4, 4]
    assert table[table["code"] == "confounded"]["verdict"].tolist() == ["batch"] * 2


def test_remedies_are_there_where_there_is_trouble(table, tmp_path):
    findings = table[table["code"] != "overall"]
    assert ((findings["verdict"] == "ok") == (findings["remedy"] == "")).all()
    write_table(table, tmp_path / "diagnosis.tsv")
    back = read_table(tmp_path / "diagnosis.tsv")
    assert back["sentence"].tolist() == table["sentence"].tolist()


def test_a_damaged_fit_is_named(made, tmp_path):
    target, background, _ = made
    place = tmp_path / RUNS[0].file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"no fit")
    with pytest.raises(InputError, match=r"delete .*fits_\*"):
        diagnosis_table(
            target, background, RUNS[:1], tmp_path / "toy" / "0" / "fits_0.json", METHODS, COMPUTE
        )
