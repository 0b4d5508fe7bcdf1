"""``python -m bcnmf null``: a table of refits, a sentence, and words for what is wrong."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf.cli import main
from programs import new_program


@pytest.fixture
def files(tmp_path):
    x, y, _ = new_program(n=24, m=24)
    for name, values in (("t", x), ("b", y)):
        obs = pd.DataFrame({"donor": [f"{name}{i % 2}" for i in range(24)]})
        obs.index = obs.index.astype(str)
        ad.AnnData(values.astype(np.float32), obs=obs).write_h5ad(tmp_path / f"{name}.h5ad")
    return tmp_path


def arguments(files, *more):
    sides = [f"--{side}={files / f'{side[0]}.h5ad'}" for side in ("target", "background")]
    return ["null", *sides, "-k", "1", "--max-iter", "2", f"--out={files / 'null.tsv'}", *more]


def test_refits_are_written_and_what_they_say_is_printed(files, capsys):
    assert main(arguments(files, "--unit", "donor")) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(files / "null.tsv", sep="\t")
    assert table["draw"].tolist() == list(range(6))
    p_value = (table["statistic"] >= table["statistic"][0]).mean()
    assert f"of all 5 refits with units exchanged between the sides (p = {p_value:.2g})" in said
    assert "Approximated: every fit from one start, of at most 2 iterations" in said


def test_what_is_wrong_is_said(files, capsys):
    assert main(arguments(files, "--unit", "patient")) == 2
    assert "obs has no column 'patient'; found: donor" in capsys.readouterr().err
    assert main([*arguments(files)[:-1], f"--out={files / 't.h5ad'}"]) == 2
    assert "--out and --target are one file" in capsys.readouterr().err
