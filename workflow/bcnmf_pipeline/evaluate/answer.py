"""How many target samples hold what the background does not: cross-fitted, in total and by group.

Every sample is judged by a fit that has not seen it, against the 95% point of background samples
that this fit has not seen either: where there is nothing, 5% are above it. So are programs, one by
one, between units of target and background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf import CrossFit, coverage, crossfit
from bcnmf.errors import ImpossibleResult, InputError
from bcnmf.persistence import Fit
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.aggregate import SHARE_COLUMNS
from bcnmf_pipeline.evaluate.association import auroc_per_class
from bcnmf_pipeline.evaluate.checks import Truth, truth_of
from bcnmf_pipeline.evaluate.programs import PROGRAM_COLUMNS, programs_of
from bcnmf_pipeline.evaluate.target_score import TargetScores
from bcnmf_pipeline.evaluate.units import units_of
from bcnmf_pipeline.fit.run import parameters, values_of, weights_for
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.tables import write_table

CLASSIFIER = "classifier"
# A column of more groups (an age, a barcode) says nothing group by group.
MOST_GROUPS = 60

_KEY = ("study", "method", "k", "alpha", "seed")
SAMPLE_COLUMNS = (
    *_KEY, "sample", "unit", "label", "score", "fold", "above", "threshold",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What cross-fits came to.

    Attributes
    ----------
    samples : DataFrame
        `SAMPLE_COLUMNS`: one row a cross-fit and target sample. `score` is in units of the spread
        of left-out background around its mean, `threshold` the 95% point of these in the sample's
        fold, `above` whether the score exceeds it.
    shares : DataFrame
        `SHARE_COLUMNS`: one row a cross-fit and group of target samples. Of all of them `column`
        and `group` are "", and `auroc` is that of target against background; in the row of the
        label's column with group "" it is that of the score for the class that it tells best.
        `low` and `high` are a 95% interval, by drawing whole units again where a side has several
        (see `CrossFit.share_of`); `n_units` is how many of them the group holds.
        `chance` is the share to expect where there is nothing: 0.05, or more where a fold has few
        background samples.
    programs : DataFrame
        `PROGRAM_COLUMNS`: one row a cross-fit, contrast and program, see `bcnmf.ProgramTest`.
        Programs are the topics of the run's own fit; 0 is the target score.
    """

    samples: pd.DataFrame
    shares: pd.DataFrame
    programs: pd.DataFrame

    def write(self, samples: str, shares: str, programs: str) -> None:
        """Write the tables."""
        write_table(self.samples, samples)
        write_table(self.shares, shares)
        write_table(self.programs, programs)


def answer(
    target: AnnData,
    background: AnnData,
    runs: Sequence[Run],
    methods: Mapping[str, Mapping[str, Any]],
    compute: Mapping[str, str],
    columns: Sequence[str] = (),
    folds: int = 3,
    fits: Sequence[Fit] = (),
) -> Answer:
    """Cross-fit runs of a study, and a classifier that sees what there is to see.

    Parameters
    ----------
    target, background : AnnData
        The pair; `target.uns["study"]` names label and unit.
    runs : sequence of Run
        Fits to repeat without each fold.
    methods : mapping
        For each method its `row` of the methods sheet.
    compute : mapping
        `device` and `dtype`.
    columns : sequence of str
        Further columns of `obs` by whose groups shares are given.
    folds : int
        Parts that are left out in turn.
    fits : sequence of Fit
        The fits of the runs to all samples, in the same order: programs are numbered as their
        topics. Without them, as those of the first part's fit, and no label is tested.

    Returns
    -------
    Answer
        The classifier's rows come last; its k is 0. What has too few samples to be cross-fitted is
        left out, and printed.
    """
    truth = truth_of(target, target.uns["study"], 0)
    groups = _groups(target, truth, columns)
    samples = [pd.DataFrame(columns=list(SAMPLE_COLUMNS))]
    shares = [pd.DataFrame(columns=list(SHARE_COLUMNS))]
    programs = [pd.DataFrame(columns=list(PROGRAM_COLUMNS))]
    of_run = dict(zip(runs, fits, strict=True)) if fits else {}
    scores = TargetScores(target, background)
    for run, found in _crossfits(target, background, runs, methods, compute, truth, folds, of_run):
        key = {
            "study": truth.study,
            "method": run.method,
            "k": run.k,
            "alpha": np.nan if run.alpha == "none" else float(run.alpha),
            "seed": run.seed,
        }
        samples.append(_samples(found, truth).assign(**key))
        shares.append(_shares(found, truth, groups).assign(**key))
        if run.method != CLASSIFIER:
            rows = programs_of(found, of_run.get(run), scores, truth)
            programs.append(rows.assign(**key))
    return Answer(
        pd.concat(samples[1:] or samples, ignore_index=True)[list(SAMPLE_COLUMNS)],
        pd.concat(shares[1:] or shares, ignore_index=True)[list(SHARE_COLUMNS)],
        pd.concat(programs[1:] or programs, ignore_index=True)[list(PROGRAM_COLUMNS)],
    )


def _crossfits(
    target: AnnData,
    background: AnnData,
    runs: Sequence[Run],
    methods: Mapping[str, Mapping[str, Any]],
    compute: Mapping[str, str],
    truth: Truth,
    folds: int,
    fits: Mapping[Run, Fit],
) -> Iterator[tuple[Run, CrossFit]]:
    how: dict[str, Any] = {
        "folds": folds,
        "random_state": derive_seed("folds", truth.study),
        "units": truth.units,
        "background_units": units_of(background, str(target.uns["study"].get("unit", ""))),
    }
    for run in runs:
        row = methods[run.method]["row"]
        where = f"study {truth.study}, method {run.method}, K={run.k}, alpha={run.alpha}"
        x, y = (values_of(side, row["values"], where) for side in (target, background))
        estimator = make_estimator(row["algorithm"], **parameters(run, row, compute, {}))
        weights = weights_for(target, background, row)
        topics = fits[run].components if run in fits else None
        if found := _unless_refused(
            where, crossfit, estimator, x, background=y, reference=topics, **how, **weights
        ):
            yield run, found
    where = f"study {truth.study}, {CLASSIFIER}"
    weights = weights_for(target, background, {"algorithm": CLASSIFIER})
    found = _unless_refused(where, coverage, target.X, background=background.X, **how, **weights)
    if found:
        yield Run(truth.study, 0, CLASSIFIER, 0, "none", 0), found


def _unless_refused(
    where: str, cross: Callable[..., CrossFit], *data: Any, **how: Any
) -> CrossFit | None:
    """Return a cross-fit, or print why there is none: data that a fit can use may be too few."""
    try:
        found = cross(*data, **how)
    except ImpossibleResult:
        raise
    except InputError as error:
        print(f"{where}: not cross-fitted: {error}")
        return None
    print(f"{where}, cross-fitted: {found.share:.1%} above")
    return found


def _groups(target: AnnData, truth: Truth, columns: Sequence[str]) -> dict[str, pd.Series]:
    """Return for each column the group of every sample, missing where it has none."""
    obs = target.obs
    found = {}
    unit = str(target.uns["study"].get("unit", ""))
    for name in dict.fromkeys([truth.label_column, unit, *columns]):
        if not name:
            continue
        groups = obs[name].astype(str).where(obs[name].notna() & (obs[name].astype(str) != ""))
        if groups.nunique() > MOST_GROUPS and name in columns:
            print(f"{name}: {groups.nunique()} different values, no shares by them")
            continue
        found[name] = groups
    return found


def _samples(found: CrossFit, truth: Truth) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": truth.samples,
            "unit": "" if truth.units is None else truth.units,
            "label": truth.labels,
            "score": found.score,
            "fold": found.fold,
            "above": found.above,
            "threshold": found.threshold[found.fold],
        }
    )


def _shares(found: CrossFit, truth: Truth, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    every = np.ones(len(truth.samples), dtype=bool)
    rows = [_share(found, truth, "", "", every) | {"auroc": found.auroc}]
    for column, values in groups.items():
        if column == truth.label_column and truth.classes is not None:
            area = auroc_per_class(found.score[:, None], truth.classes)[1].max()
            rows.append(rows[0] | {"column": column, "auroc": float(area)})
        rows += [
            _share(found, truth, column, group, (values == group).to_numpy())
            for group in sorted(values.dropna().unique())
        ]
    return pd.DataFrame(rows).astype({"n_units": "Int64"})


def _share(
    found: CrossFit, truth: Truth, column: str, group: str, inside: np.ndarray
) -> dict[str, Any]:
    share, low, high = found.share_of(inside)
    return {
        "column": column,
        "group": group,
        "n": int(inside.sum()),
        "n_above": int(found.above[inside].sum()),
        "share": share,
        "low": low,
        "high": high,
        "n_units": None if truth.units is None else len(np.unique(truth.units[inside])),
        "auroc": np.nan,
        "chance": found.chance,
    }
