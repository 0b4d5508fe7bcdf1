"""Is a program stronger in the target: tests by units that the fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bcnmf.calibration import CrossFit
from bcnmf.errors import InputError
from bcnmf.evidence.units import UnitTest, benjamini_hochberg, unit_test

CONTRAST = "target against background"
BY_UNITS, BY_SAMPLES = "left-out units", "left-out samples"
# The units of one fold chose the topics by which those of another are judged, and the other way
# round, so the means of folds go together. Where what is chosen is a sum over units, the variance
# of their mean is twice that of independent units; see docs/how_sure_evidence.md.
_SHARED_UNITS = 2.0


@dataclass(frozen=True)
class ProgramTest:
    """Test of one program between two classes of samples, by units and by samples.

    Attributes
    ----------
    program : int
        From 1; 0 is the target score, of all programs together.
    contrast, tested : str
        Which classes; what was tested.
    effect, low, high : float
        Mean over units of the first class minus that of the second, and its 95% interval; see
        `UnitTest`. Without units a difference of means of samples, without interval.
    n_units_first, n_units_second : int
        Units of either class, of pairs the pairs; 0 without units.
    paired : bool
        Whether units with samples of both classes were tested as pairs.
    p_units, q_units : float
        Of the test of unit means; adjusted over the programs (Benjamini and Hochberg).
    p_cells, q_cells : float
        Welch's test of samples as if they were independent, which those of one unit are not:
        pseudo-replication, for comparison alone.
    test : str
        How p_units was found, or why it was not, in words.
    cosine : float
        Mean cosine of the program to its match in the cross-fits; NaN where nothing was refitted.
    n_fits : int
        Number of cross-fits that have the program; 0 where nothing was refitted.
    """

    program: int
    contrast: str
    tested: str
    effect: float
    low: float
    high: float
    n_units_first: int
    n_units_second: int
    paired: bool
    p_units: float
    q_units: float
    p_cells: float
    q_cells: float
    test: str
    cosine: float = float("nan")
    n_fits: int = 0


def program_tests(found: CrossFit) -> list[ProgramTest]:
    """Test each program of a cross-fit, target against background.

    A topic was chosen because the target has more of it, so its usages by the samples that chose it
    say nothing. Usages by a fit that has not seen a sample's unit do. A program that a fold does
    not have is tested without the units of this fold.

    Parameters
    ----------
    found : CrossFit
        From `bcnmf.crossfit`, with `units` and `background_units` for tests of units.

    Returns
    -------
    list of ProgramTest
        Of the target score (program 0), then of each program.

    Raises
    ------
    InputError
        A cross-fit without programs, that of `bcnmf.coverage`.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, crossfit, program_tests
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((60, 12)), rng.random((60, 12))
    >>> X[:, :4] += 1
    >>> donors, others = np.repeat(list("abcdef"), 10), np.repeat(list("ghijkl"), 10)
    >>> found = crossfit(BCNMF(1, random_state=0, n_background=2), X, background=Y,
    ...                  units=donors, background_units=others)
    >>> score, program = program_tests(found)
    >>> program.effect > 0, round(program.p_units, 4), program.test
    (True, 0.0022, 'exact, 924 arrangements')
    """
    if not found.usage.shape[1]:
        raise InputError("found: has no programs; pass what bcnmf.crossfit returned")
    scores = [
        side * found.scale[fold] + found.location[fold]
        for side, fold in (
            (found.score, found.fold),
            (found.background_score, found.background_fold),
        )
    ]
    usages = np.vstack([found.usage, found.background_usage])
    values = np.column_stack([np.concatenate(scores), usages])
    classes = np.repeat(["target", "background"], list(map(len, scores)))
    units = None
    if found.by_unit:
        units = np.concatenate([np.asarray(found.units), np.asarray(found.background_units)])
    tests = [_test(column, classes, units, found) for column in values.T]
    p_cells = np.array([_welch(column, classes) for column in values.T])
    cosine = np.concatenate([[np.nan], found.cosines.mean(0)])
    n_fits = [len(found.threshold)] + [
        len(np.unique(found.fold[~np.isnan(column)])) for column in found.usage.T
    ]
    return rows(tests, p_cells, CONTRAST, BY_UNITS if found.by_unit else BY_SAMPLES, cosine, n_fits)


def rows(
    tests: Sequence[UnitTest],
    p_cells: np.ndarray,
    contrast: str,
    tested: str,
    cosine: Sequence[float] | np.ndarray | None = None,
    n_fits: Sequence[int] | None = None,
) -> list[ProgramTest]:
    """Return a row a program, that of the target score first, adjusted over the others.

    Parameters
    ----------
    tests : sequence of UnitTest
        Of one column each: the target score, then the programs.
    p_cells : ndarray of shape (1 + K,)
        Of the samples.
    contrast, tested : str
        See `ProgramTest`.
    cosine, n_fits : sequence of length 1 + K, optional
        See `ProgramTest`.
    """
    p_units = np.array([test.p_value[0] for test in tests])
    # The score is one question, the programs are K others.
    q_units, q_cells = (np.append(p[:1], benjamini_hochberg(p[1:])) for p in (p_units, p_cells))
    return [
        ProgramTest(
            number, contrast, tested, float(test.effect[0]), float(test.low[0]),
            float(test.high[0]), test.n_first, test.n_second, test.paired, float(p_units[number]),
            float(q_units[number]), float(p_cells[number]), float(q_cells[number]), test.test,
            float("nan") if cosine is None else float(cosine[number]),
            0 if n_fits is None else int(n_fits[number]),
        )
        for number, test in enumerate(tests)
    ]  # fmt: skip


def without_units(values: np.ndarray, classes: np.ndarray, first: str, why: str) -> UnitTest:
    """Return the difference of the means of samples (samples, columns), and why units say nothing.

    `first` is one of two classes; with more there is no difference either.
    """
    missing = np.full(values.shape[1], np.nan)
    effect = missing
    names = np.unique(classes)
    other = [str(name) for name in names if name != first]
    if len(other) == 1 and len(names) == 2:
        effect = values[classes == first].mean(0) - values[classes != first].mean(0)
    return UnitTest(first, other[0], effect, missing, missing, missing, 0, 0, False, why)


def _test(
    column: np.ndarray, classes: np.ndarray, units: np.ndarray | None, found: CrossFit
) -> UnitTest:
    there = ~np.isnan(column)
    values, classes = column[there, None], classes[there]
    if len(np.unique(classes)) < 2:
        none = np.full(1, np.nan)
        words = "not tested: no fit that left units out has the program"
        return UnitTest("target", "background", none, none, none, none, 0, 0, False, words)
    if units is None:
        return without_units(values, classes, "target", _why_no_units(found))
    return unit_test(
        values, classes, units[there], first="target", random_state=found.seed,
        inflation=_SHARED_UNITS,
    )  # fmt: skip


def _why_no_units(found: CrossFit) -> str:
    for name, units in (("target", found.units), ("background", found.background_units)):
        if units is not None and len(np.unique(units)) == 1:
            return f"not tested: the {name} is of one unit"
    return "not tested: no units on both sides"


def _welch(column: np.ndarray, classes: np.ndarray) -> float:
    sides: list[Any] = [
        column[(classes == side) & ~np.isnan(column)] for side in ("target", "background")
    ]
    if min(map(len, sides)) < 2 or np.ptp(np.concatenate(sides)) == 0:
        return float("nan")
    return float(stats.ttest_ind(*sides, equal_var=False).pvalue)
