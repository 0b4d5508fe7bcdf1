"""Examples that the programs print are understood by the programs."""

import shlex

import pytest

from bcnmf import cli
from bcnmf_pipeline import cli as pipeline_cli
from conftest import ROOT


def examples(program: str, text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip().startswith(program + " ")]


@pytest.mark.parametrize(
    ("module", "program", "help_of"),
    [
        (cli, "bcnmf", []),
        (pipeline_cli, "bcnmf-pipeline", []),
        (pipeline_cli, "bcnmf-pipeline", ["new"]),
    ],
)
def test_examples_are_read(module, program, help_of, capsys):
    with pytest.raises(SystemExit) as ended:
        module.main([*help_of, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    shown = examples(program, printed.partition("examples:")[2])
    assert len(shown) >= 3
    for line in shown:
        module._parser().parse_args(shlex.split(line)[1:])
    codes = ("0 done", "2 something cannot be used", "130 Ctrl-C")
    assert all(code in " ".join(printed.split()) for code in codes)


@pytest.mark.parametrize("program", ["bcnmf", "bcnmf-pipeline"])
def test_the_page_of_the_command_line_is_made_from_the_program(program):
    page = (ROOT / "docs" / "command_line.md").read_text()
    assert page.count(f"\n:prog: {program}\n") == 1
