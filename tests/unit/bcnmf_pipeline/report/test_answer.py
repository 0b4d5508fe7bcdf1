"""The answer of a study in words."""

import numpy as np
import pandas as pd
import pytest

from bcnmf_pipeline.record.tables import read_table, write_table
from bcnmf_pipeline.report.answer import answer_of, headline, percent, sentences
from report_figures import shares_of

STUDY = {"study": "mine", "label": "treatment", "unit": "donor"}
GROUPS = {
    ("treatment", "drug"): (45, 50, 0.80, 0.97),
    ("treatment", "none"): (5, 50, 0.03, 0.20),
    ("donor", "01"): (30, 40, 0.60, 0.85),
    ("donor", "02"): (19, 40, 0.32, 0.63),
    ("donor", "NA"): (1, 20, 0.01, 0.24),
}
# The classifier's other settings are none of ours.
OF_CLASSIFIER = {"method": "classifier", "k": np.nan, "alpha": np.nan}


def answered(rows, study=STUDY, method="bcnmf"):
    return answer_of(pd.DataFrame(rows), study, method, {"bcnmf": "bcNMF"})


def test_the_headline_gives_the_share_its_interval_and_chance():
    text = headline(answered(shares_of("mine", GROUPS, whole=(1234, 2000, 0.59, 0.64))))
    assert text == (
        "1,234 of 2,000 target samples hold something that the background does not (62%, 95% "
        "interval 59–64%). Chance alone would give 5%."
    )


def test_a_share_that_chance_can_give_is_no_finding():
    text = headline(answered(shares_of("mine", {}, whole=(7, 100, 0.03, 0.14))))
    assert text.startswith("Nothing was found that the background does not hold. 7 of 100")
    assert text.endswith("(7%, 95% interval 3–14%), and chance alone would give 5%.")


def test_of_a_small_background_chance_is_said_to_be_more():
    table = shares_of("mine", GROUPS, whole=(30, 100, 0.15, 0.40), chance=0.2)
    answer = answered(table)
    assert headline(answer).startswith("Nothing was found that the background does not hold.")
    assert headline(answer).endswith("and chance alone would give 20%.")
    assert "2 of 3 units (donor) agree: their own interval lies above 20%." in sentences(answer)


def test_groups_and_units_are_told_apart_and_counted():
    answer = answered(shares_of("mine", GROUPS))
    assert list(answer.groups) == ["treatment"]
    assert [one.group for one in answer.units] == ["01", "02", "NA"]
    assert answer.method == "bcNMF, K = 15, α = 1"
    assert sentences(answer) == [
        "By treatment: drug 90%, none 10%.",
        "2 of 3 units (donor) agree: their own interval lies above 5%.",
    ]


def test_names_that_look_like_numbers_or_nothing_survive_the_file(tmp_path):
    groups = {("donor", name): (30, 40, 0.6, 0.85) for name in ("01", "NA", "null", "1e3")}
    write_table(pd.DataFrame(shares_of("mine", groups)), tmp_path / "shares.tsv")
    answer = answer_of(read_table(tmp_path / "shares.tsv"), STUDY, "bcnmf")
    assert sorted(one.group for one in answer.units) == ["01", "1e3", "NA", "null"]
    assert answer.whole.n == 100


ONE, TWO = {("donor", "1"): (40, 40, 0.9, 1.0)}, {("donor", "2"): (1, 40, 0.0, 0.1)}


@pytest.mark.parametrize(
    ("unit", "groups", "n_background", "said"),
    [
        ("", {}, 0, ["No unit of replication is named. If target and background come from diff"]),
        ("donor", ONE, 1, ["Target and background are one donor each. If they are different ones"]),
        ("donor", ONE, 3, ["The target is one donor. What sets this one apart would look"]),
        ("donor", ONE | TWO, 1, ["1 of 2 units (donor) agree", "The background is one donor."]),
        ("donor", ONE | TWO, 2, ["1 of 2 units (donor) agree: their own interval lies above 5%.",
                                 "The target holds 2 and the background 2 of donor. With so few"]),
        ("donor", ONE | TWO, 0, ["1 of 2 units (donor) agree: their own interval lies above 5%."]),
    ],
)  # fmt: skip
def test_what_one_unit_a_side_cannot_tell_is_said(unit, groups, n_background, said):
    table = pd.DataFrame(shares_of("mine", groups))
    answer = answer_of(table, STUDY | {"unit": unit}, "bcnmf", {}, n_background)
    found = sentences(answer)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_of_many_groups_the_ends_are_named():
    groups = {("type", f"t{i}"): (10 * i, 100, i / 10 - 0.04, i / 10 + 0.04) for i in range(9)}
    text = sentences(answered(shares_of("mine", groups)))[0]
    assert text == (
        "By type, most in t8 (80%), t7 (70%), t6 (60%), and least in t0 (0%); 8 of 9 groups are "
        "above chance."
    )


def test_what_a_classifier_finds_beside_is_said_to_be_missed():
    more = {
        ("treatment", "drug"): (50, 50, 0.93, 1.0), ("treatment", "none"): (20, 50, 0.27, 0.54),
    }  # fmt: skip
    ours = shares_of("mine", GROUPS)
    found = shares_of("mine", more, whole=(70, 100, 0.6, 0.8), **OF_CLASSIFIER)
    text = sentences(answered(ours + found))[-1]
    assert text == (
        "A classifier that is told target from background finds 70%, the topics find 50%: the "
        "topics miss what about 20% hold, most where treatment is none (40% against 10%). More "
        "topics or a larger alpha may show it."
    )
    alike = shares_of("mine", more, whole=(54, 100, 0.4, 0.6), **OF_CLASSIFIER)
    text = sentences(answered(ours + alike))[-1]
    assert text.endswith(
        "finds 54%, the topics find 50%: the topics miss little of what can be seen."
    )


def test_the_described_method_and_its_first_setting_are_the_answer():
    rows = shares_of("mine", {}, method="nmf", whole=(10, 100, 0.05, 0.17))
    rows += shares_of("mine", {}, whole=(50, 100, 0.4, 0.6))
    rows += shares_of("mine", {}, k=3, whole=(60, 100, 0.5, 0.7))
    rows += shares_of("other", {}, whole=(1, 100, 0.0, 0.05))
    assert answered(rows).whole.n_above == 50
    assert answered(rows, method="nmf").whole.n_above == 10
    # One that was not cross-fitted is stood in for.
    assert answered(rows, method="shared_target").whole.n_above == 10
    assert answered(rows, STUDY | {"study": "third"}) is None


def test_the_auroc_of_the_label_is_no_group():
    rows = [*shares_of("mine", {}), *shares_of("mine", {("treatment", ""): (0, 100, 0, 0)})[1:]]
    assert answered(rows).groups == {}


def test_percentages_are_never_rounded_to_none_or_all():
    assert [percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == [
        "0%", "less than 1%", "50%", "more than 99%", "100%",
    ]  # fmt: skip
