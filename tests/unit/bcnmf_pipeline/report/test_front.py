"""What a reader sees first, on the page and on the terminal."""

from pathlib import Path

import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.report.answer import answer_of
from bcnmf_pipeline.report.front import Answered, answer_text, parts_of, text_of
from bcnmf_pipeline.report.topic_words import Topic, Use
from report_figures import shares_of

TOPIC = Topic(
    3, "drug", 0.97, 1e-9, float("nan"), ["ISG15", "MX1"], [("INTERFERON", 1e-9)], stability=0.91,
    used=[Use("treatment", "drug", 5.84)],
)  # fmt: skip


def one(name, above=50, *, topics=(TOPIC,), **row):
    study = {"study": name, "title": name, "label": "treatment", "unit": "", "group": name,
             "each": ""} | row  # fmt: skip
    low, high = max(above / 100 - 0.08, 0), above / 100 + 0.08
    shares = pd.DataFrame(shares_of(name, {}, whole=(above, 100, low, high)))
    return Answered(study, f"#{name}", answer_of(shares, study, "bcnmf"), topics, with_sets=True)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_few_studies_are_answered_in_full():
    (part,) = parts_of([one("a"), one("b")])
    assert part.table is None
    assert [answer.row["study"] for answer in part.whole] == ["a", "b"]
    (row,) = texts(part.whole[0].programs)
    assert row == ["Topic 3", "ISG15, MX1", "INTERFERON", "treatment is drug (5.8 times)", "0.91"]
    assert "Stability is the mean cosine" in part.whole[0].note
    assert part.whole[0].programs.columns[-1] == "Stability"


def test_of_many_studies_each_is_a_row_that_leads_to_its_place():
    (part,) = parts_of([one(name, 10 * place) for place, name in enumerate("abcde")])
    assert part.whole == []
    assert [(row[0].text, row[0].href) for row in part.table.rows][:2] == [("a", "#a"), ("b", "#b")]
    assert [row[1].text for row in part.table.rows] == ["0%", "10%", "20%", "30%", "40%"]
    assert part.table.rows[4][1].notes == ("95% [32–48%]",)
    assert texts(part.table)[0][-2:] == ["–", "ISG15, MX1"]


def test_values_of_each_share_a_table_and_the_figures_of_their_group():
    group = [
        one(f"mine-{value}", above, title=f"Mine: {value}", group="mine", each=f"cell type={value}")
        for value, above in (("B", 6), ("NA", 80))
    ]
    figure = {"study": "mine", "name": "each"}
    parts = parts_of([*group, one("alone")], [figure, {"study": "alone", "name": "answer"}])
    assert [part.title for part in parts] == ["Mine", ""]
    assert parts[0].figures == [figure]
    assert parts[0].words.startswith("In 1 of 2 values of cell type more target samples than by")
    assert parts[0].words.endswith("most in NA (80%); chance alone gives 5%.")
    (note,) = parts[0].notes
    assert note.startswith("No unit of replication is named.")
    assert [row[0] for row in texts(parts[0].table)] == ["B", "NA"]
    assert [answer.row["study"] for answer in parts[1].whole] == ["alone"]


def test_missing_stability_is_said():
    unknown = Topic(1, "", float("nan"), float("nan"), float("nan"), ["A"], [])
    answer = one("a", topics=[unknown])
    assert texts(answer.programs) == [["Topic 1", "A", "–", "–"]]
    assert "is not known, because there was one start" in answer.note


def test_the_terminal_gets_the_same_words():
    text = text_of(parts_of([one("a")]))
    assert text.splitlines()[:2] == [
        "a",
        "50 of 100 target samples hold something that the background does not (50%, 95% interval "
        "42–58%).",
    ]
    words = " ".join(text.split())
    assert (
        "Topic 3: ISG15, MX1; known for INTERFERON; used most where treatment is drug (5.8 times); "
        "stability 0.91"
    ) in words
    assert max(map(len, text.splitlines())) <= 100
    long = Topic(1, "", 0.5, 0.5, 0.5, ["APOBEC3A_ENSG00000128383"] * 6, [])
    many = text_of(parts_of([one(name, topics=[long]) for name in "abcd"]))
    lines = many.splitlines()
    assert [line[0] for line in lines if line[1] == " "] == list("abcd")
    assert lines[0].startswith("No unit of replication is named.")
    assert max(map(len, lines)) <= 100


def test_what_units_cannot_tell_is_said_of_a_table_only_where_it_holds_of_all():
    (part,) = parts_of([one("a", unit="donor"), *(one(name) for name in "bcd")])
    assert part.notes == []
    (part,) = parts_of([one(name) for name in "abcd"])
    assert len(part.notes) == 1


def test_the_text_of_a_run_is_read_or_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"answer\.txt: no such file; run `snakemake quick` first"):
        answer_text(Path(tmp_path / "quick"))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "answer.txt").write_text("Found.\n")
    assert answer_text(tmp_path) == "Found.\n"
