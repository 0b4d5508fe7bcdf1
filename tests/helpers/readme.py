"""What README.md and docs/own_data.md show of one's own data."""

import re

from conftest import ROOT


def own_data_section() -> str:
    text = (ROOT / "README.md").read_text()
    section = text.split("## Your own data\n")[1].split("\n## ")[0]
    return section + (ROOT / "docs" / "own_data.md").read_text()


def blocks() -> list[tuple[str, str]]:
    """Return language and text of each block of the section: commands, a sheet, a configuration."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", own_data_section(), re.M | re.S)


def block(language: str) -> str:
    (text,) = (text for name, text in blocks() if name == language)
    return text
