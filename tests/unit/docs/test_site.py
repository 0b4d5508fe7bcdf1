"""Pages that speak of the code say what the code says."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import snakemake.exceptions

import bcnmf
from bcnmf_pipeline.plan.yaml_loader import load_yaml
from conftest import ROOT

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import contents  # noqa: E402
import settings  # noqa: E402

SHEETS = ("studies", "methods", "datasets", "reported")
HEADINGS = re.findall(r"^### `(.+)`$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)


def text_of(node: ast.expr) -> str:
    """Return a text as messages are written on the page, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return str(node.value)


def texts_of(file: Path) -> list[str]:
    """Return the texts of a module, without docstrings."""
    nodes = [*ast.walk(ast.parse(file.read_text()))]
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [
        text_of(node)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if id(node) not in alone
    ]


@pytest.fixture(scope="module")
def messages() -> str:
    files = [*(ROOT / "workflow").rglob("*.py"), Path(snakemake.exceptions.__file__)]
    return "\n".join(text for file in files for text in texts_of(file))


def test_there_are_messages_on_the_page():
    assert len(HEADINGS) >= 10
    assert len(set(HEADINGS)) == len(HEADINGS)


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_code_has_the_message(heading, messages):
    assert heading in messages


def test_every_key_is_in_the_reference_once():
    def keys(known, outer=""):
        for name, one in known["properties"].items():
            yield outer + name
            if "properties" in one:
                yield from keys(one, f"{outer}{name}.")

    schema = load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    assert [one.name for one in settings.settings("config")] == list(keys(schema))
    # Every default is there, too.
    shown = {one.name: one.default for one in settings.settings("config")}
    assert shown["answer.folds"] == "`3`"
    assert shown["download.timeout"] == "`60`"


@pytest.mark.parametrize("sheet", SHEETS)
def test_every_column_is_in_the_reference_once(sheet):
    known = load_yaml(ROOT / "workflow" / "schemas" / f"{sheet}.schema.yaml")
    found = {one.name: one for one in settings.settings(sheet)}
    assert list(found) == [f"{sheet}.tsv: {name}" for name in known["properties"]]
    filled = [name for name, one in found.items() if not one.default]
    assert sorted(filled) == sorted(f"{sheet}.tsv: {name}" for name in known["required"])


@pytest.mark.parametrize("schema", ["config", *SHEETS])
def test_every_key_and_column_is_explained(schema):
    shown = settings.settings(schema)
    for one in shown:
        assert one.meaning, f"{one.name} has neither a title nor a description in its schema"
    page = (DOCS / "configuration.md").read_text()
    assert page.count(f"<!-- settings of {schema} -->") == 1


def test_what_is_allowed_is_said_in_words():
    allowed = {
        one.name: one.allowed
        for schema in ("config", "methods")
        for one in settings.settings(schema)
    }
    assert allowed["answer.folds"] == "whole number from 2 to 20"
    assert allowed["mnist.share"] == "number above 0 to 1"
    assert allowed["compute.dtype"] == "`float32`, `float64`"
    assert allowed["mdd.ages"] == "list of 2, each: number from 0"
    assert allowed["selection.k"] == "list of 1 or more, each: whole number from 1"
    assert allowed["methods.tsv: method"].startswith("lower-case letters")
    assert settings.needs("methods").splitlines()[-1] == "- `algorithm` `cpca`: `alpha`"


def test_every_page_is_in_the_menu_once():
    menu = contents.menu((DOCS / "index.md").read_text())
    listed = [(DOCS / path).resolve() for pages in menu.values() for _, path in pages]
    assert len(set(listed)) == len(listed)
    pages = {*DOCS.glob("*.md"), *(DOCS / "tutorials").glob("*.md")} - {DOCS / "index.md"}
    assert pages <= set(listed)
    assert all(page.exists() for page in listed)


def test_every_public_name_has_its_place():
    named = re.findall(
        r"^\.\. auto\w+:: bcnmf\.(\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE
    )
    assert len(set(named)) == len(named)
    assert set(named) == set(bcnmf.__all__) - {"__version__"}
    for name in named:
        assert inspect.getdoc(getattr(bcnmf, name))


@pytest.mark.long
def test_the_site_is_made_without_a_warning_and_asks_nothing_of_a_network(tmp_path):
    pytest.importorskip("sphinx", reason="the packages of the site are not installed")
    options = ["-q", "-E", "-W", "--keep-going", "-c", "docs"]
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    pages = [*tmp_path.rglob("*.html")]
    assert len(pages) > len([*DOCS.glob("*.md")])
    for page in pages:
        # Pictures, styles and scripts; links that are followed by hand may lead elsewhere.
        loaded = re.findall(
            r"<(?:script|img|source|iframe)\b[^>]*\bsrc=\"([^\"]+)", page.read_text()
        )
        loaded += re.findall(r"<link\b[^>]*\bhref=\"([^\"]+)", page.read_text())
        for address in loaded:
            assert not re.match(r"(https?:)?//", address), (page, address)
            if not address.startswith("data:"):
                target = (page.parent / re.split(r"[?#]", address)[0]).resolve()
                assert target.exists(), (page, address)
    reference = (tmp_path / "docs" / "configuration.html").read_text()
    assert reference.count('id="confval-compute.device"') == 1
    assert "SharedTargetNMF" in (tmp_path / "docs" / "api.html").read_text()
    options = (tmp_path / "docs" / "command_line.html").read_text()
    assert "--checkpoint" in options
    assert "--gene-sets" in options
