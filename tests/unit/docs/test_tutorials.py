"""Pages of cells: everything on them is run, and the cluster that they are run on."""

import re
import subprocess
import sys
import time

import pytest

from conftest import ROOT

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

pytest.importorskip("sphinx", reason="the packages of the site are not installed")
import tutorials  # noqa: E402
from docutils import nodes  # noqa: E402
from docutils.utils import new_document  # noqa: E402
from markdown_it import MarkdownIt  # noqa: E402

import slurm  # noqa: E402

HEADER = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.read_text().startswith("---\n")]


def blocks(text):
    """Return the kind and the code of each block of code, indented ones too."""
    tokens = MarkdownIt().parse(text.removeprefix(HEADER))
    found = [token for token in tokens if token.type in ("fence", "code_block")]
    return [(one.info, re.sub(r"^(:.*\n)*\n?", "", one.content)) for one in found]


def test_every_tutorial_is_a_page_of_cells():
    assert {*(DOCS / "tutorials").glob("*.md")} <= {*PAGES}
    assert len(PAGES) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_is_run(page):
    text = page.read_text()
    assert text.startswith(HEADER)
    found = blocks(text)
    assert len(found) >= 3
    for kind, code in found:
        assert kind == "{code-cell}" or kind.startswith(("{figure}", "{note}", "{glue:"))
        # A command that fails ends the build.
        assert not re.match(r"[%!]", code) or code.startswith(tutorials.SHELL)


def test_blocks_are_found():
    text = "# x\n\n```bash\nls\n```\n\n    ls\n\n```{code-cell}\n:tags: [a]\n\n%%bash -e\nls\n```\n"
    assert blocks(text) == [("bash", "ls\n"), ("", "ls\n"), ("{code-cell}", "%%bash -e\nls\n")]


def test_commands_are_shown_as_they_are_typed():
    tree = new_document("page")
    for code in ("%%bash -e\nls a\n", "print(1)\n"):
        tree += nodes.literal_block(code, code, language="ipython3")
    tutorials._as_typed(None, tree)
    shown = [(block.astext(), block["language"]) for block in tree.findall(nodes.literal_block)]
    assert shown == [("ls a\n", "bash"), ("print(1)\n", "ipython3")]


def test_other_code_is_another_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(tutorials, "ROOT", tmp_path)
    monkeypatch.setattr(tutorials, "_CODE", ("workflow", "Snakefile"))
    (tmp_path / "workflow" / "__pycache__").mkdir(parents=True)
    (tmp_path / "Snakefile").write_text("a")
    before = tutorials.code_digest()
    (tmp_path / "workflow" / "__pycache__" / "x.pyc").write_text("b")
    assert tutorials.code_digest() == before
    (tmp_path / "workflow" / "x.py").write_text("b")
    assert tutorials.code_digest() != before


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Put the stand-ins on the PATH; return a function that runs a line."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    slurm.install(tmp_path / "slurm")

    def run(line):
        done = subprocess.run(
            ["bash", "-e"], input=line, cwd=tmp_path, text=True, capture_output=True, check=True
        )
        return done.stdout

    return run


SEND = (
    "sbatch --parsable --job-name a --output %j.log --export=ALL --comment rule_x -A lab -p main "
    "-t 5 --mem 200 --ntasks=1 --cpus-per-task=1 -D . --wrap="
)


def state_at_the_end(cluster):
    for _ in range(100):
        state = cluster("sacct -X --noheader --format JobID%-4,State").split()[-1]
        if state not in slurm._ALIVE:
            return state
        time.sleep(0.1)
    raise AssertionError(f"still {state} after ten seconds")


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ("'srun -n1 --cpu-bind=q echo in the job'", "COMPLETED"),
        ("'exit 3'", "FAILED"),
        (
            f"'{sys.executable} -c \"x = bytes(2**28).swapcase(); input()\" < /dev/zero'",
            "OUT_OF_MEMORY",
        ),
    ],
)
def test_a_job_ends_as_it_would_on_a_cluster(cluster, tmp_path, job, state):
    assert cluster(SEND + job) == "1\n"
    assert state_at_the_end(cluster) == state
    assert cluster("squeue --format '%i %T'") == "JobID State\n"
    assert cluster("squeue --format '%i|%T' --states=all --noheader --name a") == f"1|{state}\n"
    assert cluster("squeue --format '%i|%T' --states=all --noheader --name b") == ""
    assert (tmp_path / "1.log").read_text() == "in the job\n" * (state == "COMPLETED")


def test_a_job_that_is_taken_back_gets_a_signal(cluster, tmp_path):
    cluster(SEND + "'trap \"echo told; exit 1\" TERM; while :; do sleep 0.1; done'")
    cluster("until squeue --format %T | grep RUNNING; do sleep 0.1; done; sleep 0.5; scancel 1")
    assert state_at_the_end(cluster) == "CANCELLED"
    assert "told" in (tmp_path / "1.log").read_text()
