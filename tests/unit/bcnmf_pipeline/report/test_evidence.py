"""How sure an answer is: in words, in a table, and on the first screen."""

import math

import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.representative import Chosen
from bcnmf_pipeline.report.answer import answer_of
from bcnmf_pipeline.report.evidence import Evidence, evidence_of
from bcnmf_pipeline.report.front import Answered, parts_of, text_of
from bcnmf_pipeline.report.topic_words import Topic
from report_figures import diagnosis_of, null_of, programs_of, shares_of

NAN = math.nan
NULL = "Refits with units permuted explain less in 199 of 200 (p = 0.005)."
TROUBLE = diagnosis_of(
    (1, "share", "ok"), (2, "share", "unclear"), (0, "confounded", "batch"), (3, "share", "fault"),
    overall="One program is faulty.",
)  # fmt: skip
TESTED = programs_of([0.002, 0.01, 0.3, NAN])


def topic(number, stability=0.9):
    return Topic(number, "", NAN, NAN, NAN, ["ISG15"], [], stability=stability)


def evidence(unit="donor", topics=(), fit=None, **tables):
    return evidence_of(tables, "bcnmf", unit, topics, fit=fit)


def texts(table):
    return [
        dict(zip(table.columns, [cell.text for cell in row], strict=True)) for row in table.rows
    ]


def test_what_was_not_asked_for_is_not_shown():
    nothing = evidence()
    assert nothing.empty
    assert (nothing.first, nothing.words, nothing.findings, nothing.table) == ([], [], [], None)
    assert nothing.cell.text == ""
    assert Evidence().empty


def test_units_come_first_and_the_test_of_samples_stands_beside():
    found = evidence(programs=TESTED)
    assert found.words == [
        "By donor, target against background (6 against 6): target score p = 0.002; 1 of 2 "
        "programs has q ≤ 0.05, where a test that takes every sample for a replicate says 2."
    ]
    rows = texts(found.table)
    assert [row["Program"] for row in rows] == ["Target score", "Topic 1", "Topic 2", "Topic 3"]
    assert rows[0] == {
        "Program": "Target score", "Effect": "0.5", "Units (donor)": "6 + 6", "p, donor": "0.002",
        "q, donor": "0.004", "p, samples": "1e-09", "q, samples": "1e-08",
        "Test of units": "exact, 924 arrangements",
    }  # fmt: skip
    assert rows[3]["p, donor"] == "–"
    assert found.table.rows[0][1].notes == ("95% [0.1, 0.9]",)
    assert found.table.rows[0][-1].notes == ("left-out units",)
    assert "Of 4 rows it calls 4 at q ≤ 0.05; the test of units calls 2." in found.note
    assert found.note.endswith("to show that, and not to be used.")


def test_labels_are_a_contrast_of_their_own_behind_that_of_the_sides():
    label = programs_of([0.5, 0.04], contrast="Genotype: a against b", paired=True)
    found = evidence(programs=pd.concat([label, TESTED]))
    assert [words.split("(")[0] for words in found.words] == [
        "By donor, target against background ",
        "By donor, Genotype: a against b ",
    ]
    assert "(6 pairs)" in found.words[1]
    assert found.first == found.words[:1]
    assert "Contrast" in found.table.columns
    assert found.table.rows[0][3].notes == ("paired",)


def test_where_there_is_no_p_value_the_reason_is_said():
    none = programs_of([NAN, NAN], test="not tested: one unit in a class", n_units_first=1)
    found = evidence(programs=none)
    assert found.words == [
        "By donor, target against background: there is no p-value (not tested: one unit in a "
        "class)."
    ]
    assert texts(found.table)[0]["p, donor"] == "–"
    assert found.cell.text == ""
    without = programs_of([NAN], test="", n_units_first=NAN, n_units_second=NAN, q_cells=NAN)
    found = evidence(unit="", programs=without)
    # The answer says that no unit is named.
    assert found.words == []
    assert found.table.columns == ["Program", "Effect", "p, samples", "q, samples", "Test of units"]
    assert found.table.caption == "Tests of programs, by sample"
    assert all(len(row) == 5 for row in found.table.rows)
    assert "it calls" not in found.note


def test_the_null_stands_first_by_units_before_samples():
    both = pd.concat([null_of("By samples.", "samples"), null_of(NULL, p_value=0.005)])
    found = evidence(programs=TESTED, null=both)
    assert found.words[:2] == [NULL, "By samples."]
    assert found.first == [NULL]
    assert found.cell.text == "p = 0.005"
    assert evidence(null=null_of("By samples.", "samples")).cell.text == ""


def test_findings_are_told_worst_first_with_their_remedies():
    found = evidence(diagnosis=TROUBLE)
    assert found.findings == [
        ("share of 3 is fault.", "Mend share."),
        ("confounded of 0 is batch.", "Mend confounded."),
        ("share of 2 is unclear.", "Mend share."),
    ]
    assert found.first == ["One program is faulty. Program 3: Mend share."]
    assert (found.worst, found.cell.text) == ("fault", "faulty")


def test_what_is_found_alike_in_several_programs_is_told_once():
    found = evidence(diagnosis=diagnosis_of(
        *[(program, "shared_part", "unclear") for program in (4, 1, 2)], (2, "share", "none"),
        (3, "share", "unclear"), (5, "share", "unclear"),
    ))  # fmt: skip
    assert found.findings == [
        ("share of 2 is none.", "Mend share."),
        ("shared_part of 1 is unclear. Likewise programs 2 and 4.", "Mend shared_part."),
        ("share of 3 is unclear. Likewise program 5.", "Mend share."),
    ]


def test_all_clear_is_one_sentence():
    found = evidence(diagnosis=diagnosis_of((1, "share", "ok"), (2, "share", "ok")))
    assert found.findings == [("All is in order.", "")]
    assert found.first == ["All is in order."]
    assert (found.worst, found.cell.text) == ("", "in order")


def test_unstable_topics_are_named():
    (said,) = evidence(topics=[topic(1, 0.69), topic(2, 0.7), topic(3, NAN), topic(4, 0.2)]).words
    assert said.startswith("Topics 1 and 4 are unstable: ")
    (said,) = evidence(topics=[topic(1, 0.69)]).words
    assert said.startswith("Topic 1 is unstable: ")
    assert evidence(topics=[topic(2)]).words == []


def test_the_fit_is_that_of_the_described_method():
    other = programs_of([0.9, 0.9]).assign(method="shared_target", alpha=NAN)
    again = programs_of([0.8, 0.8]).assign(seed=1)
    found = evidence(programs=pd.concat([other, TESTED, again]))
    assert found.programs["p_units"].tolist()[:3] == [0.002, 0.01, 0.3]
    assert len(found.programs) == 4
    alone = evidence(programs=other)
    assert len(alone.programs) == 2


@pytest.mark.parametrize(("seed", "n"), [(0, 3), (1, 0)])
def test_topics_get_the_tests_of_their_own_fit_alone(seed, n):
    found = evidence(programs=TESTED, fit=Chosen("bcnmf", 15, 1.0, 0, seed))
    assert len(found.tests) == n
    if n:
        assert found.tests[1] == "by donor p = 0.01, q = 0.02 (by sample p = 1×10⁻⁹)"


def test_a_table_without_its_columns_is_named():
    with pytest.raises(InputError, match=r"evidence, programs: missing column\(s\) q_units"):
        evidence(programs=TESTED.drop(columns="q_units"))


def answered(name, **tables):
    study = {"study": name, "title": name, "label": "", "unit": "donor", "group": name, "each": ""}
    answer = answer_of(pd.DataFrame(shares_of(name, {})), study, "bcnmf")
    topics = [topic(1), topic(2, 0.4)]
    return Answered(
        study, f"#{name}", answer, topics, evidence=evidence(topics=topics, **tables)
    )  # fmt: skip


def test_the_first_screen_has_at_most_two_sentences_more():
    plain = answered("a")
    sure = answered("a", programs=TESTED, null=null_of(NULL), diagnosis=TROUBLE)
    assert sure.sentences[: len(plain.sentences)] == plain.sentences
    assert sure.sentences[len(plain.sentences) :] == [
        NULL,
        "One program is faulty. Program 3: Mend share.",
    ]


def test_the_terminal_gets_all_that_is_not_in_order():
    text = text_of(parts_of([answered("a", programs=TESTED, null=null_of(NULL),
                                      diagnosis=TROUBLE)]))  # fmt: skip
    words = " ".join(text.split())
    for one in (
        NULL, "1 of 2 programs has q ≤ 0.05", "share of 3 is fault. Mend share.",
        "confounded of 0 is batch. Mend confounded.", "Topic 2 is unstable",
        "Topic 1: ISG15; stability 0.90; by donor p = 0.01, q = 0.02 (by sample p = 1×10⁻⁹)",
        "Topic 2: ISG15; stability 0.40 (unstable)",
    ):  # fmt: skip
        assert one in words
    assert max(map(len, text.splitlines())) <= 100


def test_in_a_table_of_studies_a_column_says_how_sure_and_trouble_is_told_below():
    many = [answered(name) for name in "abc"]
    many.append(answered("d", programs=TESTED, diagnosis=TROUBLE))
    (part,) = parts_of(many)
    place = part.table.columns.index("How sure")
    assert [row[place].text for row in part.table.rows] == ["–"] * 3 + ["p = 0.002; faulty"]
    assert part.trouble == [("d", "One program is faulty. Program 3: Mend share.")]
    lines = text_of([part]).splitlines()
    assert lines[-1] == "d: One program is faulty. Program 3: Mend share."
    assert max(map(len, lines)) <= 100
    (part,) = parts_of([*many[:3], answered("e")])
    assert "How sure" not in part.table.columns
