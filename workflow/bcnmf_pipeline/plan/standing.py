"""Whether a fit stands as it would be made now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_made_with(fit: Path, recipe: Mapping[str, Any]) -> bool:
    """Return whether what a fit says of itself, in the JSON beside it, is what it is made with now.

    Parameters
    ----------
    fit : Path
        The fit's file, .npz; one that is not there, or says nothing, does not stand.
    recipe : mapping
        What it depends on besides its pair.
    """
    try:
        said = json.loads(fit.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and fit.exists() and said == said | dict(recipe)
