"""`python -m bcnmf diagnose`."""

import anndata as ad
import numpy as np
import pandas as pd

from bcnmf.cli import main
from programs import new_program


def files(folder):
    paths = []
    for name, values in zip(("target", "background"), new_program(n=120, m=120)[:2], strict=True):
        obs = pd.DataFrame({"donor": [f"d{place % 4}" for place in range(120)]})
        paths.append(folder / f"{name}.h5ad")
        obs.index = obs.index.astype(str)
        ad.AnnData(values.astype(np.float32), obs=obs).write_h5ad(paths[-1])
    return ["--target", str(paths[0]), "--background", str(paths[1])]


def test_sentences_are_printed_and_findings_written(tmp_path, capsys):
    out = tmp_path / "found.tsv"
    asked = ["diagnose", *files(tmp_path), "-k", "1", "--unit", "donor", "--out", str(out)]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    table = pd.read_csv(out, sep="\t")
    assert printed.startswith(table["sentence"][0])
    assert list(table) == ["code", "program", "verdict", "value", "sentence", "remedy"]
    assert table["code"].tolist()[0] == "overall"
    assert table.loc[table["code"] == "units", "value"].tolist() == [4]


def test_topics_or_a_model_are_needed(tmp_path, capsys):
    assert main(["diagnose", *files(tmp_path)]) == 2
    assert "give either -k" in capsys.readouterr().err
    assert main(["diagnose", *files(tmp_path), "-k", "1", "--unit", "mouse"]) == 2
    assert "no column 'mouse'" in capsys.readouterr().err
