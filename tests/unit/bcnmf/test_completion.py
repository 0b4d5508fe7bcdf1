"""What a shell is told by `--completion`, asked as a shell asks."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("shtab", reason="without it the programs say how to get it")


def script(module, shell):
    done = subprocess.run(
        [sys.executable, "-m", module, "--completion", shell],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def asked(folder, module, program, *words):
    """Return what bash offers for the last of the words that were typed."""
    function = "_shtab_" + program.replace("-", "_")
    lines = [
        script(module, "bash"),
        f"complete -p {program} >/dev/null || exit 1",
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()',
        f'{function} "$1" "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"',
        'printf "%s\\n" "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines), "bash", program, *words],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["se"], ["select"]),
        (["fit", "--sol"], ["--solver"]),
        (["fit", "--solver", ""], ["safeguarded", "mu", "stochastic"]),
        (["fit", "--target", "t."], ["t.h5ad"]),
        (["fit", "--target", "t.h5ad", "--checkp"], ["--checkpoint"]),
    ],
)
def test_bash_completes_commands_options_values_and_files(tmp_path, typed, offered):
    (tmp_path / "t.h5ad").touch()
    assert asked(tmp_path, "bcnmf", "bcnmf", *typed) == offered


def test_bash_completes_the_pipelines_program(tmp_path):
    (tmp_path / "cells.h5ad").touch()
    words = ("new", "mine", "--data", "ce")
    assert asked(tmp_path, "bcnmf_pipeline", "bcnmf-pipeline", *words) == ["cells.h5ad"]


def test_it_ends_quietly_where_nobody_reads_on():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bcnmf", "--completion", "bash"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
@pytest.mark.parametrize("module", ["bcnmf", "bcnmf_pipeline"])
def test_zsh_takes_it(tmp_path, module):
    program = module.replace("_", "-")
    lines = [
        f"autoload -U compinit; compinit -u -d {tmp_path}/dump",
        'eval "$(cat)"',
        f"print $_comps[{program}]",
    ]
    done = subprocess.run(
        ["zsh", "-f", "-c", "\n".join(lines)],
        input=script(module, "zsh"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [f"_shtab_{module}"]
    assert done.stderr == ""


def test_it_loads_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom bcnmf.cli import main\n"
        "try: main(['--completion', 'bash'])\n"
        "finally: print([m for m in ('torch', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_the_library_it_says_how_to_get_it(monkeypatch, capsys):
    from bcnmf.cli import main

    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as ended:
        main(["--completion", "bash"])
    assert ended.value.code == 2
    assert "pip install 'bcnmf[completion]'" in capsys.readouterr().err
