"""What README.md shows of one's own data."""

import re

from conftest import ROOT


def own_data_section() -> str:
    text = (ROOT / "README.md").read_text()
    return text.split("## Your own data\n")[1].split("\n## ")[0]


def blocks() -> list[tuple[str, str]]:
    """Return language and text of each block of the section: commands, a sheet, a configuration."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", own_data_section(), re.M | re.S)


def block(language: str) -> str:
    (text,) = (text for name, text in blocks() if name == language)
    return text
