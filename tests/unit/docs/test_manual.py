"""The manual names every key and every column that there is."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bcnmf_pipeline.plan.yaml_loader import load_yaml
from conftest import ROOT

PAGES = {"reported": ROOT / "docs" / "scores.md"}
MANUAL = ROOT / "config" / "README.md"


def keys(known: dict[str, Any], outer: str = "") -> Iterator[str]:
    for name, one in known["properties"].items():
        if "properties" in one:
            yield from keys(one, f"{outer}{name}.")
        else:
            yield outer + name


def schema(name: str) -> dict[str, Any]:
    return load_yaml(ROOT / "workflow" / "schemas" / f"{name}.schema.yaml")


@pytest.mark.parametrize("sheet", ["studies", "methods", "datasets", "reported"])
def test_every_column_is_in_the_manual(sheet):
    named = re.findall(r"`(\w+)`", PAGES.get(sheet, MANUAL).read_text())
    assert set(schema(sheet)["properties"]) <= set(named)


def test_every_key_is_in_the_manual():
    named = set()
    for row in re.findall(r"^\| (`.+?) \|", MANUAL.read_text(), re.MULTILINE):
        whole = re.findall(r"`([\w.*]+)`", row)
        # `.alpha` after `selection.k` is `selection.alpha`.
        outer = whole[0].rpartition(".")[0] if whole else ""
        named |= {outer + name if name.startswith(".") else name for name in whole}
    missing = {key for key in keys(schema("config")) if key not in named}
    assert {key for key in missing if f"{key.partition('.')[0]}.*" not in named} == set()
