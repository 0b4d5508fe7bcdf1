"""Tests of programs: target against background by left-out units, and a label inside the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from bcnmf import CrossFit, ProgramTest, program_tests, unit_test
from bcnmf.evidence.programs import rows, without_units
from bcnmf.persistence import Fit
from bcnmf_pipeline.evaluate.association import welch_test
from bcnmf_pipeline.evaluate.checks import Truth
from bcnmf_pipeline.evaluate.target_score import TargetScores

LABEL = "labels no fit saw"
PROGRAM_COLUMNS = (
    "study", "method", "k", "alpha", "seed", "program", "contrast", "tested", "effect", "low",
    "high", "n_units_first", "n_units_second", "paired", "p_units", "q_units", "p_cells", "q_cells",
    "test", "cosine", "n_fits",
)  # fmt: skip


def programs_of(
    found: CrossFit, fit: Fit | None, scores: TargetScores, truth: Truth
) -> pd.DataFrame:
    """Return the tests of the programs of one run, `PROGRAM_COLUMNS` without its key.

    Parameters
    ----------
    found : CrossFit
        Of the run.
    fit : Fit, optional
        The run's own fit; without it no label is tested.
    scores : TargetScores
        Of the pair.
    truth : Truth
        Label and units of the target.
    """
    tests = program_tests(found)
    if fit is not None and truth.classes is not None:
        tests += label_tests(fit, scores.of(fit), truth)
    return pd.DataFrame([asdict(one) for one in tests])


def label_tests(fit: Fit, score: np.ndarray | None, truth: Truth) -> list[ProgramTest]:
    """Test a label inside the target, on the fit's usages: the fit has not seen the label.

    Parameters
    ----------
    fit : Fit
        Of the target whose samples `truth` describes.
    score : ndarray of shape (samples,), or None
        Their target score.
    truth : Truth
        With two classes or more.
    """
    assert truth.classes is not None
    names: Sequence[str] = [str(name) for name in np.unique(truth.classes)]
    two = len(names) == 2
    contrast = f"{truth.label_column}: " + (
        " against ".join(names) if two else f"all {len(names)} classes"
    )
    whole = np.full(len(fit.usage), np.nan) if score is None else score
    values = np.column_stack([whole, fit.usage]).astype(np.float64)
    first = names[0] if two else ""
    tests = [
        without_units(column, truth.classes, first, "not tested: the study names no units")
        if truth.units is None
        else unit_test(column, truth.classes, truth.units, first=first)
        for column in np.split(values, values.shape[1], axis=1)
    ]
    return rows(tests, welch_test(values, truth.classes).p_value, contrast, LABEL)
