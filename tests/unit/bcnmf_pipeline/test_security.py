"""Nothing that users or servers hand over is run, unpacked elsewhere, or trusted unseen."""

import ast
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bcnmf import BCNMF, InputError
from bcnmf.checkpoint import Checkpoint
from bcnmf.errors import StaleCheckpoint
from bcnmf.files import read_h5ad
from bcnmf.persistence import Fit
from bcnmf_pipeline.acquire.registry import check_mirror
from bcnmf_pipeline.plan.sheets import load_sheet, load_yaml
from conftest import ROOT

CODE = sorted([*(ROOT / "workflow").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
RULES = sorted([ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")])
# Modules that run what they read, and calls that do.
LOADERS = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
CALLS = {"eval", "exec", "os.system", "os.popen", "pd.read_pickle", "torch.load", "yaml.load"}


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (Path(self.path), "run"))


@pytest.mark.parametrize("file", CODE, ids=lambda path: path.stem)
def test_no_code_loads_pickles_or_runs_text(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            assert not LOADERS & {name.split(".")[0] for name in names}, ast.unparse(node)
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in CALLS, ast.unparse(node)
            for keyword in node.keywords:
                if keyword.arg in {"allow_pickle", "shell"}:
                    assert ast.unparse(keyword.value) == "False", ast.unparse(node)


def test_rules_run_scripts_and_no_shell():
    for file in RULES:
        assert not re.search(r"^\s*(shell|run):", file.read_text(), re.MULTILINE), file


def hostile_npz(path, bomb):
    np.savez(path, components=np.array([Bomb(bomb)], dtype=object))
    with zipfile.ZipFile(path) as archive:
        assert "components.npy" in archive.namelist()


@pytest.mark.parametrize("read", [Fit.read, BCNMF.load, lambda path: Checkpoint(path, {}).read()])
def test_a_pickle_inside_a_fit_is_not_loaded(tmp_path, read):
    path, bomb = tmp_path / "fit.npz", tmp_path / "bomb"
    hostile_npz(path, bomb)
    with pytest.raises((InputError, StaleCheckpoint)):
        read(path)
    assert not bomb.exists()


@pytest.mark.parametrize("read", [Fit.read, read_h5ad])
def test_a_pickle_in_place_of_a_file_is_not_loaded(tmp_path, read):
    path, bomb = tmp_path / "data.h5ad", tmp_path / "bomb"
    path.write_bytes(pickle.dumps(Bomb(bomb)))
    with pytest.raises(InputError, match=r"data\.h5ad"):
        read(path)
    assert not bomb.exists()


def test_yaml_makes_no_objects(tmp_path):
    bomb = tmp_path / "bomb"
    path = tmp_path / "config.yaml"
    path.write_text(f"name: !!python/object/apply:os.system ['touch {bomb}']\n")
    with pytest.raises(InputError, match="not valid YAML"):
        load_yaml(path)
    assert not bomb.exists()


HOSTILE = ["a;touch b", "$(touch b)", "a b", "../up", "a/b", "`x`", "a\u00e9", "-rf", "a|b", "a&b"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("sheet", ["studies", "methods", "datasets"])
def test_names_that_become_paths_are_plain(tmp_path, sheet, name):
    """A study, method or data set is named by letters, digits and a few signs."""
    lines = [
        line
        for line in (ROOT / "config" / f"{sheet}.tsv").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    cells = lines[1].split("\t")
    cells[0] = name
    path = tmp_path / f"{sheet}.tsv"
    path.write_text("\n".join([lines[0], "\t".join(cells)]) + "\n")
    schema = load_yaml(ROOT / "workflow" / "schemas" / f"{sheet}.schema.yaml")
    with pytest.raises(InputError, match=r"; allowed: .*letters, digits"):
        load_sheet(path, schema)


@pytest.mark.parametrize("file", ["../../etc/passwd", "a/b", ".hidden", "a b.zip", "x;y.zip"])
def test_downloads_have_plain_names(tmp_path, file):
    head = "dataset\tfile\turl\tmirror\tsha256\tbytes\tlicence\tcitation\tpart"
    row = f"d\t{file}\thttps://example.org/x\t\tpending\tpending\tCC0\tA paper\tp"
    path = tmp_path / "datasets.tsv"
    path.write_text(f"{head}\n{row}\n")
    schema = load_yaml(ROOT / "workflow" / "schemas" / "datasets.schema.yaml")
    with pytest.raises(InputError, match="a plain file name"):
        load_sheet(path, schema)


@pytest.mark.parametrize(
    "mirror", ["ftp://host/x", "javascript:alert(1)", "gopher://x", "https://user:pw@host/x"]
)
def test_a_mirror_is_a_folder_or_a_web_address(mirror):
    with pytest.raises(InputError, match="key mirror"):
        check_mirror(mirror)
