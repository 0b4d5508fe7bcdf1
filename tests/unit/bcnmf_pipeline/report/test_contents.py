"""What a report says of a run: which fits, which sizes, which warnings."""

from pathlib import Path

import pandas as pd
import pytest

from bcnmf_pipeline.figures.registry import read_drawings
from bcnmf_pipeline.record.tables import write_table
from bcnmf_pipeline.report.contents import (
    all_warnings,
    described_figure,
    fitted_runs,
    study_details,
    study_with_sizes,
)
from plot_tables import beta_scores, mouse_scores, study_tables
from report_figures import diagnosis_of, programs_of, shares_of

CAPTIONS = Path(__file__).resolve().parents[4] / "workflow" / "report"
DRAWINGS = read_drawings(CAPTIONS / "figures.yaml")
LABELS = {"nmf": "NMF", "bcnmf": "bcNMF"}
STUDY = {"study": "mouse", "title": "Mice", "description": "", "label": "Genotype", "unit": "unit"}


SHARES = pd.DataFrame(shares_of("mouse", {}))
SCORES = mouse_scores(1)


def described(name, scores, **changes):
    figure = {
        "name": name, "study": "mouse", "png": "a.png", "pdf": "a.pdf", "studies": ["mouse"],
        "labels": LABELS,
    } | changes  # fmt: skip
    return described_figure(figure, DRAWINGS[name], scores, CAPTIONS)


def test_a_figure_has_its_texts_and_says_which_fits_it_shows():
    found = described("mouse", mouse_scores(3))
    assert found["fields"]["title"] == "Mouse figure of the paper"
    assert found["alt"].endswith("top proteins; study mouse")
    assert found["caption_file"] == CAPTIONS / "mouse.rst"
    chosen = found["fields"]["chosen"]
    assert chosen.startswith("Shown: NMF with K = ")
    assert "bcNMF with K = " in chosen
    assert "smallest seed" in chosen
    alone = described("loadings", mouse_scores(3), labels={"bcnmf": "bcNMF"})
    assert "; " not in alone["fields"]["chosen"].split(". Chosen")[0]


def test_a_series_is_of_its_studies_whatever_its_group_is_called():
    scores = beta_scores(2, 2)
    found = described("beta", scores, study="mine", studies=list(scores["study"].unique()))
    assert "all replicates and seeds" in found["fields"]["chosen"]
    assert found["alt"].endswith("; study mine")
    of_drivers = described("drivers", scores, study="mine", studies=["simulation_beta8"])
    assert of_drivers["fields"]["chosen"].startswith("Unless varied: NMF with K = ")


def test_runs_without_scores_are_counted_and_named_where_there_is_no_label(tmp_path):
    table = tmp_path / "evaluation" / "mine" / "0" / "topics.tsv"
    table.parent.mkdir(parents=True)
    rows = [("nmf", "", seed, topic) for seed in (0, 1) for topic in (1, 2)] + [("bcnmf", 1, 0, 1)]
    table.write_text(
        "study\treplicate\tmethod\tk\talpha\tseed\ttopic\n"
        + "".join(f"mine\t0\t{name}\t2\t{alpha}\t{seed}\t{k}\n" for name, alpha, seed, k in rows)
    )
    scores = mouse_scores(3)
    own = scores[scores["method"] == "bcnmf"].head(1).assign(study="mine")
    studies = [STUDY, STUDY | {"study": "mine", "label": ""}]
    runs = fitted_runs(pd.concat([scores, own]), studies, tmp_path)
    assert len(runs[runs["study"] == "mine"]) == 3
    of_mice = scores[["method", "k", "alpha", "seed", "replicate"]].drop_duplicates()
    assert len(runs[runs["study"] == "mouse"]) == len(of_mice)
    found = described("embedding", runs, study="mine", studies=["mine"])
    assert "NMF with K = 2" in found["fields"]["chosen"]


def test_sizes_stand_behind_the_description():
    record = {"n_target": 30, "n_background": 20, "n_features": 7}
    sizes = "30 target and 20 background samples, 7 features."
    assert study_with_sizes(STUDY, record)["description"] == sizes
    about = STUDY | {"description": "About mice."}
    assert study_with_sizes(about, record)["description"] == f"About mice. {sizes}"


def test_warnings_are_those_of_the_pairs_and_of_data_made_otherwise():
    records = [{"warnings": ["few samples"]}, {"warnings": []}]
    studies = [STUDY, STUDY | {"title": "Other"}]
    assert all_warnings(studies, records, [], {}, {}, SHARES, SCORES) == ["Mice: few samples"]
    (_, otherwise) = all_warnings(studies, records, ["mouse", "mdd"], {}, {}, SHARES, SCORES)
    assert "reported values" in otherwise
    assert otherwise.endswith(": mouse, mdd.")
    with pytest.raises(ValueError, match="shorter"):
        all_warnings(studies, records[:1], [], {}, {}, SHARES, SCORES)


def test_methods_that_were_not_run_are_named_with_their_reasons():
    left_out = {"mouse": {"bcnmf_poisson": "fits counts", "x": "no row", "y": "fits counts"}}
    assert all_warnings([STUDY], [{"warnings": ["few"]}], [], left_out, {}, SHARES, SCORES) == [
        "Mice: few",
        "Mice: not run: bcnmf_poisson, y (fits counts)",
        "Mice: not run: x (no row)",
    ]


def test_what_could_not_be_cross_fitted_is_named():
    answered = {"mouse": ["bcnmf", "shared_target"]}
    assert all_warnings([STUDY], [{"warnings": []}], [], {}, answered, SHARES, SCORES) == [
        "Mice: not cross-fitted: shared_target; there are too few samples (logs/answer/mouse.log "
        "says more)"
    ]


def test_a_warning_of_several_studies_is_said_once():
    studies = [STUDY | {"study": name, "title": name} for name in "abcde"]
    few, own = {"warnings": ["few"]}, {"warnings": ["few", "own"]}
    none = {"warnings": []}
    assert all_warnings(studies, [few, own, few, few, few], [], {}, {}, SHARES, SCORES) == [
        "All 5 studies: few", "b: own",
    ]  # fmt: skip
    assert all_warnings(studies, [few, none, few, few, few], [], {}, {}, SHARES, SCORES) == [
        "4 of 5 studies: few"
    ]
    assert all_warnings(studies, [none, few, few, none, none], [], {}, {}, SHARES, SCORES) == [
        "b; c: few"
    ]


@pytest.fixture
def run(tmp_path):
    """Return the folder of a run with the tables of one study, and the table of samples."""
    tables = study_tables(runs=(("nmf", 2, float("nan")), ("bcnmf", 2, 1.0)))
    folder = tmp_path / "evaluation" / "mouse" / "0"
    one = tables["samples"].drop_duplicates("sample")
    write = {
        "topics.tsv": tables["topics"].assign(auroc=0.5),
        "loadings.parquet": tables["loadings"],
        "samples.parquet": tables["samples"],
        "annotations.parquet": pd.DataFrame({"sample": one["sample"], "age": one["label"].str[:1]}),
        "top_values.parquet": pd.DataFrame({"sample": one["sample"], "G1": 1.0}),
    }
    folder.mkdir(parents=True)
    for name, table in write.items():
        write_table(table, folder / name)
    return tmp_path


def test_details_are_of_the_described_method_and_of_the_tables_there_are(run):
    details = study_details(STUDY, run, LABELS, "bcnmf", [], SHARES, {})
    assert details.fit.method == "bcnmf"
    assert len(details.topics) == 2
    assert list(details.tables) == ["Scores", "Shares"]
    assert details.ranked_by == "by loading"
    assert '"start":1' in details.explorer
    assert details.answer.whole.n_above == 50
    assert details.with_sets is False
    none = study_details(STUDY, run, LABELS, "bcnmf", [], SHARES.head(0), {})
    assert none.answer is None


def test_evidence_is_of_the_tables_that_the_run_made(run):
    folder = run / "evidence" / "mouse"
    folder.mkdir(parents=True)
    tables = {"programs": programs_of([0.5, 0.25]), "diagnosis": diagnosis_of()}
    paths = {name: str(folder / f"{name}.tsv") for name in tables}
    for name, table in tables.items():
        write_table(table, paths[name])
    none = study_details(STUDY, run, LABELS, "bcnmf", [], SHARES, {})
    assert none.evidence.empty
    some = study_details(
        STUDY, run, LABELS, "bcnmf", list(paths.values()), SHARES, {}, "No setting is recommended."
    )
    assert some.evidence.programs["p_units"].tolist() == [0.5, 0.25]
    assert some.evidence.unit == STUDY["unit"]
    assert some.evidence.words[-1] == "No setting is recommended."
    assert some.evidence.findings == [("All is in order.", "")]
    assert some.evidence.null.empty
    assert set(some.tables) - set(none.tables) == {"programs (TSV)", "diagnosis (TSV)"}


def test_topics_are_used_where_the_label_and_annotations_say(run):
    first = study_details(STUDY, run, LABELS, "bcnmf", [], SHARES, {}).topics[0]
    assert [use.column for use in first.used] == ["Genotype", "age"]
    assert first.used[0].group in ("Control", "Ts65Dn")
    assert first.used[0].group[0] == first.used[1].group
    no_label = study_details(STUDY | {"label": ""}, run, LABELS, "bcnmf", [], SHARES, {})
    assert [use.column for use in no_label.topics[0].used] == ["age"]


def test_methods_whose_topics_say_nothing_are_named_once():
    first = "the topics explain the target worse than one topic (-35)"
    scores = SCORES.assign(remark=SCORES["method"].map({"bcnmf": first, "nmf": ""}).fillna(""))
    scores.loc[scores.index[-1], "remark"] = first.replace("35", "36")
    record = {"warnings": []}
    (said,) = all_warnings([STUDY], [record], [], {}, {}, SHARES, scores[scores.method == "bcnmf"])
    assert said == (
        "Mice: bcnmf: the topics explain the target worse than one topic; the table of scores "
        "marks such fits"
    )
