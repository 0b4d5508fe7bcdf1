"""Examples that the programs print are run by the programs, and every option is explained."""

import argparse
import shlex

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bcnmf import cli
from bcnmf_pipeline import cli as pipeline_cli
from conftest import ROOT
from own_cells import own_cells
from programs import new_program

PROGRAMS = {"bcnmf": cli, "bcnmf-pipeline": pipeline_cli}
# What takes long is made short in examples that are run.
SHORT = {
    "-k 10": "-k 2", "-k 2 5 10": "-k 2", "--alpha 1 2": "--alpha 1", "--starts 50": "--starts 3",
}  # fmt: skip
MORE = {"null": "--refits 3", "select": "--max-iter 5 --splits 1"}


def examples(program: str, text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith(program + " ")]


def commands_of(module) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (
        action.choices
        for action in module._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return commands


EVERY = [
    (module, program, help_of)
    for program, module in PROGRAMS.items()
    for help_of in [[], *([name] for name in commands_of(module))]
]


@pytest.mark.parametrize(("module", "program", "help_of"), EVERY)
def test_examples_are_read(module, program, help_of, capsys):
    with pytest.raises(SystemExit) as ended:
        module.main([*help_of, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    shown = examples(program, printed.partition("examples:")[2])
    assert len(shown) >= (1 if help_of else 3)
    # Those of a command are of that command.
    assert not help_of or {line.split()[1] for line in shown} == set(help_of)
    for line in shown:
        module._parser().parse_args(shlex.split(line)[1:])
    codes = ("0 done", "2 something cannot be used", "130 Ctrl-C")
    assert all(code in " ".join(printed.split()) for code in codes)
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize(("module", "program", "help_of"), EVERY)
def test_every_option_is_explained_with_its_default(module, program, help_of):
    parser = commands_of(module)[help_of[0]] if help_of else module._parser()
    printed = " ".join(parser.format_help().split())
    for action in parser._actions:
        assert action.help or isinstance(action, argparse._SubParsersAction), action
        default = action.default
        if action.nargs != 0 and default not in (None, argparse.SUPPRESS, []):
            text = " ".join(map(str, default)) if isinstance(default, list) else default
            assert f"(default: {text})" in printed, action.dest


@pytest.fixture
def data(tmp_path, monkeypatch):
    x, y, _ = new_program(n=60, m=60)
    for name, values in (("t", x), ("b", y), ("new", x)):
        obs = pd.DataFrame({"donor": [f"{name}{i % 4}" for i in range(len(values))]})
        obs.index = obs.index.astype(str)
        matrix = sp.csr_matrix(values.astype(np.float32))
        ad.AnnData(matrix, obs=obs).write_h5ad(tmp_path / f"{name}.h5ad")
    own_cells(tmp_path / "cells.h5ad")
    cells = ad.read_h5ad(tmp_path / "cells.h5ad")
    cells.obs = cells.obs.rename(columns={"cell type": "cell_type"})
    cells.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.chdir(tmp_path)


RUN = [one for one in EVERY if one[2] and one[2][0] not in ("show", "archive", "checksums")]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "program", "help_of"), RUN, ids=[one[2][0] for one in RUN])
def test_examples_run(data, module, program, help_of):
    (name,) = help_of
    shown = examples(program, commands_of(module)[name].format_help())
    if name in ("project", "diagnose"):
        (fit,) = (
            line
            for line in examples("bcnmf", cli._EXAMPLES)
            if "--model" in line and " fit " in line
        )
        shown = [fit, *shown]
    for line in shown:
        for long, less in SHORT.items():
            line = line.replace(long, less)
        more = "--force" if "mine --data" in line and "--target" in line else MORE.get(name, "")
        assert module.main(shlex.split(f"{line} {more}")[1:]) == 0, line


@pytest.mark.parametrize("program", ["bcnmf", "bcnmf-pipeline"])
def test_the_page_of_the_command_line_is_made_from_the_program(program):
    page = (ROOT / "docs" / "command_line.md").read_text()
    assert page.count(f"\n:prog: {program}\n") == 1
