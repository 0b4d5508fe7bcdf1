"""Reported against reproduced in words and tables."""

import pandas as pd
import pytest

from bcnmf_pipeline.report.front import text_of
from bcnmf_pipeline.report.reported import reproduced_of
from plot_tables import mouse_scores
from report_figures import reproduced_of as made

ABSENT = {
    "study": "leukemia", "method": "bcnmf", "score": "ari_usage", "value": "0.591",
    "source": "arXiv", "verdict": "not run", "why": "the study is not in this run",
}  # fmt: skip
TITLES = {"mouse": "Mice"}


def table(rest=(ABSENT,), change=None, **more):
    scores = mouse_scores(3)
    return made(scores if change is None else change(scores), {"bcnmf": "bcNMF"}, rest, **more)


def texts(table):
    return [
        dict(zip(table.columns, [cell.text for cell in row], strict=True)) for row in table.rows
    ]


def shifted(by):
    return lambda scores: scores.assign(value=scores["value"] + by)


def test_a_value_stands_beside_ours_with_interval_and_verdict():
    found = reproduced_of(table(representation="UMAP", note="one mouse"), TITLES)
    assert found.words == (
        "Of 2 reported values 1 can be compared with this run: 1 within what is reported (1 not "
        "run)."
    )
    (row,) = texts(found.compared)
    assert row == {
        "Study": "Mice", "Method": "bcNMF", "Score": "ARI UMAP", "K": "15", "Alpha": "1",
        "Reported": "0.7894", "This run (mean ± s.d.)": "0.7894 ± 0.0000",
        "95% interval": "[0.789, 0.789]", "Verdict": "within", "Difference": "0.0000",
        "Runs": "3", "Where reported": "section 2.3", "Remarks": "one mouse",
    }  # fmt: skip
    reported, interval = found.compared.rows[0][4], found.compared.rows[0][6]
    assert reported.notes == ("of UMAP",)
    assert interval.notes == ("over fit seeds",)
    (rest,) = texts(found.rest)
    assert (rest["Verdict"], rest["Why"]) == ("not run", "the study is not in this run")
    assert found.outside == []


@pytest.mark.parametrize(
    ("by", "text", "verdict"),
    [(0.0106, "+0.0106", "above"), (-0.0894, "−0.0894", "below"), (0, "0.0000", "within")],
)
def test_difference_has_a_sign(by, text, verdict):
    found = reproduced_of(table(change=shifted(by)), TITLES)
    (row,) = texts(found.compared)
    assert (row["Difference"], row["Verdict"]) == (text, verdict)
    assert [line.split(":")[0] for line in found.outside] == [verdict] * (verdict != "within")


def test_the_authors_spread_stands_below_the_value():
    (row,) = reproduced_of(table(sd="0.01", n="5"), TITLES).compared.rows
    assert row[4].notes == ("of what: not stated", "± 0.01, 5 runs")
    (row,) = reproduced_of(table(sd="0.01", low="0.7", high="0.8"), TITLES).compared.rows
    assert row[4].notes == ("of what: not stated", "0.7 to 0.8")


def test_of_several_settings_the_nearest_counts_and_all_are_shown():
    def two(scores):
        other = scores[scores["method"] == "bcnmf"].assign(alpha=2.0)
        return pd.concat([shifted(-0.3)(other), scores])

    found = reproduced_of(table(change=two), TITLES)
    assert [row["Verdict"] for row in texts(found.compared)] == ["below", "within"]
    assert "1 can be compared with this run: 1 within" in found.words
    assert found.words.endswith("the one that comes nearest counts here.")
    assert found.outside == []


def test_the_terminal_gets_the_counts_and_what_is_outside():
    found = reproduced_of(table(change=shifted(-0.1)), TITLES)
    assert text_of([], found).split("\n") == [
        "Reported against reproduced",
        "Of 2 reported values 1 can be compared with this run: 1 below what is reported (1 not "
        "run).",
        "below: Mice, bcNMF, ARI UMAP: reported 0.7894, here 0.6894, 95% [0.689, 0.689] over fit "
        "seeds",
        "",
    ]


def test_nothing_is_said_of_values_of_other_studies_alone():
    found = reproduced_of(table(), {"mine": "Mine"})
    assert found.words == ""
    rest = made(mouse_scores(1).head(0), {}, [ABSENT])
    found = reproduced_of(rest, {"leukemia": "Leukemia"})
    assert found.words == "Of 1 reported value none can be compared with this run (1 not run)."
    assert text_of([], found) == "\n"
