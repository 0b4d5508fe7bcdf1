"""Each exit code of the page on the command line, as a shell sees it."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT

# What a command does, by the code that it has to end with, and what is said.
ENDS = {
    0: ("pass", ""),
    1: ("raise RuntimeError('a fault')", "Traceback"),
    2: ("raise InputError('no such file')", "error: no such file"),
    130: ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "stopped"),
    141: ("[print('x' * 9999, flush=True) for _ in range(99)]", ""),
    143: ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", ""),
}


def ended_by(what):
    code = (
        "import argparse, os, signal, sys, time\n"
        "from bcnmf.cli import run\nfrom bcnmf.errors import InputError\n"
        f"def command(options): {what}\n"
        "parser = argparse.ArgumentParser(); parser.set_defaults(command=command)\n"
        "sys.exit(run(parser, []))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    return process.wait(), said


@pytest.mark.parametrize("code", ENDS)
def test_a_command_ends_with_the_code_of_the_page(code):
    what, said = ENDS[code]
    found, errors = ended_by(what)
    assert found == code
    assert said in errors
    assert ("Traceback" in errors) == (code == 1)


def test_a_file_that_cannot_be_written_is_2():
    code, said = ended_by("open('/nowhere/at/all', 'w')")
    assert code == 2
    assert said.startswith("error: ")


def test_the_page_has_these_codes():
    page = (ROOT / "docs" / "command_line.md").read_text().partition("## Exit codes")[2]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [*ENDS]
