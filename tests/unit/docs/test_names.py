"""What pages quote of the code is in the code."""

import pkgutil
import re

import pytest

from conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
# Tables of sentences with which the report says something, `…` for what is filled in.
SAID = [
    (page, sentence)
    for page in ("answer.md", "background.md")
    for line in (ROOT / "docs" / page).read_text().splitlines()
    if line.startswith("|")
    for sentence in re.findall(r'"([^"=]+)"', line)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_the_package_are_there(page):
    code = re.findall(r"```python\n.*?```|`bcnmf\.[^`]+`", page.read_text(), re.DOTALL)
    for name in re.findall(r"\bbcnmf(?:\.[a-zA-Z_]\w*)+", "\n".join(code)):
        pkgutil.resolve_name(name)
    for module, names in re.findall(r"^from (bcnmf[\w.]*) import (.+)$", "\n".join(code), re.M):
        for name in names.split(", "):
            pkgutil.resolve_name(f"{module}:{name}")


@pytest.fixture(scope="module")
def source() -> str:
    text = "\n".join(file.read_text() for file in (ROOT / "workflow").rglob("*.py"))
    # Texts that go on in the next line.
    return re.sub(r'"\s*\n\s*f?"', "", text)


def test_there_are_sentences_on_the_pages():
    assert len(SAID) >= 10


@pytest.mark.parametrize(("page", "sentence"), SAID, ids=lambda value: value[:40])
def test_what_the_report_is_said_to_say_it_can_say(page, sentence, source):
    pattern = re.escape(sentence).replace("…", r"[^\n]{1,60}?")
    assert re.search(pattern, source, re.IGNORECASE), (page, sentence)
