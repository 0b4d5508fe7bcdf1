"""The depression study from files in the published formats."""

import gzip

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import miniatures
from bcnmf import BCNMF, InputError
from bcnmf_pipeline.datasets import donors as choosing
from bcnmf_pipeline.datasets.donor_table import read_donors
from bcnmf_pipeline.datasets.donors import (
    DonorRule,
    NamedDonors,
    choice_of,
    choose_donors,
    matching_donors,
)
from bcnmf_pipeline.datasets.mdd import changed, read_mdd
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.plan.sheets import check_settings, load_yaml
from conftest import ROOT

PUBLISHED = {
    "study": "mdd", "target": "in_target=yes", "background": "role=target control",
    "label": "diagnosis", "unit": "donor", "values": "counts", "n_top_features": "150",
}  # fmt: skip
CASES, CONTROLS = ("F1", "F3", "F5", "F7"), ("F2", "F4", "F6", "F8")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return miniatures.mdd(tmp_path_factory.mktemp("mdd"))


@pytest.fixture(scope="module")
def data(original):
    return read_mdd(**original)


def gz(path, text):
    path.write_bytes(gzip.compress(text if isinstance(text, bytes) else text.encode()))
    return path


def replaced(original, tmp_path, name, change):
    """Return the paths with one file changed, by a function of its text."""
    path = tmp_path / original[name].name
    return original | {name: gz(path, change(gzip.decompress(original[name].read_bytes())))}


# --- what is read ------------------------------------------------------------


def test_nuclei_genes_and_donors_are_those_of_the_files(data):
    names, counts = miniatures.mdd_nuclei()
    table = pd.DataFrame([name.split(".") for name in names])
    donors = [*CASES, *CONTROLS, "F10"]
    kept = (table[0].isin(donors) & table[2].isin(["Ast", "Oli"])).to_numpy()
    # GENE3.1, the repeated symbol, is none that GENCODE knows.
    genes = [i for i in range(200) if i != 7]
    assert data.shape == (9 * 24, 199)
    assert data.X.format == "csr"
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.X.toarray(), counts.toarray()[kept][:, genes])
    assert data.obs_names.tolist() == [name for name, here in zip(names, kept, strict=True) if here]
    assert list(data.obs) == [
        "donor", "diagnosis", "sex", "age", "role", "in_target", "cell_type", "cluster",
        "n_counts", "n_genes",
    ]  # fmt: skip
    about = data.obs.drop_duplicates("donor").set_index("donor")
    assert about.loc[list(CASES), "role"].unique().tolist() == ["target case"]
    assert about.loc[list(CONTROLS), "role"].unique().tolist() == ["target control"]
    assert about.loc["F10", ["role", "in_target", "diagnosis", "sex", "age"]].tolist() == [
        "other control", "no", "control", "female", 55,
    ]  # fmt: skip
    assert data.obs["cluster"].iloc[1] == "Ast2"
    quality = data.uns["qc"]
    assert quality.index.tolist() == donors
    assert quality.loc["F1", ["nuclei", "nuclei_kept", "genes", "protein_coding"]].tolist() == [
        36, 24, 240, 199,
    ]  # fmt: skip
    f1 = data.obs["n_counts"][data.obs["donor"] == "F1"]
    assert quality.loc["F1", "median_counts"] == f1.median()
    description = data.uns["source"]["description"]
    assert "cases F1, F3, F5, F7, controls F2, F4, F6, F8, other controls F10" in description
    assert "chosen here by sex and age, since those of the paper are not published" in description
    assert "199 protein-coding of 240 genes by symbol (1 repeated" in description
    assert data.uns["warnings"].tolist() == []


def test_the_published_pairing_and_one_without_leakage(data, tmp_path):
    data.write_h5ad(tmp_path / "data.h5ad")
    again = ad.read_h5ad(tmp_path / "data.h5ad")
    target, background = make_pair(again, PUBLISHED, "sheet")
    assert (target.n_obs, background.n_obs) == (192, 96)
    record = pair_record(target)
    assert record["labels"] == {"case": 96, "control": 96}
    assert len(record["units"]) == 8
    assert "96 of 96 background samples are in the target too" in record["warnings"][0]
    apart = make_pair(again, PUBLISHED | {"background": "role=other control"}, "sheet")
    assert (apart[0].n_obs, apart[1].n_obs) == (192, 24)
    assert not any("leak" in text for text in pair_record(apart[0])["warnings"])
    assert not set(apart[0].obs["donor"]) & set(apart[1].obs["donor"])


def test_the_program_of_cases_is_found_by_contrast_alone(data):
    target, background = make_pair(data, PUBLISHED | {"n_top_features": ""}, "sheet")
    labels = target.obs["diagnosis"].to_numpy()
    scores = []
    for alpha in (0.0, 2.0):
        model = BCNMF(n_components=2, alpha=alpha, random_state=0, max_iter=100, tol=0)
        usage = model.fit_transform(target.X, background=background.X)
        scores.append(adjusted_rand(labels, kmeans_labels(usage, 2)))
    assert scores[0] < 0.2
    assert scores[1] > 0.8


def test_donors_and_cell_types_can_be_named(original):
    choice = NamedDonors(["F12", "M1"], ["M2"], ["F11", "F2"])
    told = []
    data = read_mdd(
        **original, choice=choice, cell_types=["Mic"], progress=lambda *at: told.append(at)
    )
    assert data.n_obs == 5 * 12
    assert set(data.obs["cell_type"]) == {"Mic"}
    roles = data.uns["qc"]["role"]
    assert roles.to_dict() == {
        "F12": "target case", "M1": "target case", "M2": "target control",
        "F2": "other control", "F11": "other control",
    }  # fmt: skip
    assert "as named in the configuration" in data.uns["source"]["description"]
    assert told[-1][0] == told[-1][1] > 0


def test_what_is_not_as_published_is_said(data):
    assert changed(data) == [
        "504 nuclei, the published file has 160711",
        "240 genes, the published file has 36588",
        "target case: 96 nuclei, the paper has 5241; its donors are not published",
        "target control: 96 nuclei, the paper has 3645; its donors are not published",
        "199 protein-coding genes, the paper has 18716",
    ]


# --- donors ------------------------------------------------------------------


def test_a_series_matrix_is_read_whatever_it_calls_things(tmp_path):
    path = tmp_path / "series.txt.gz"
    miniatures.series_matrix(path)
    donors = read_donors(path)
    assert donors.index.tolist() == [*(f"F{i}" for i in range(1, 13)), "M1", "M2"]
    assert donors.loc["F10"].tolist() == ["control", "female", 55]
    assert donors.loc["M1"].tolist() == ["case", "male", 50]
    titles = ("{donor}", "Female donor {donor}, dlPFC", "snRNA-seq_{donor}", "F_{donor}x")
    for title, key in zip(titles[:2], ("disease state", "Diagnosis"), strict=True):
        miniatures.series_matrix(path, title=title, key=key)
        pd.testing.assert_frame_equal(read_donors(path), donors)
    words = {name: (word, age) for (name, (_, age)), word in zip(
        miniatures.DONORS.items(), ["major depressive disorder", "non-psychiatric control"] * 7,
        strict=True)}  # fmt: skip
    miniatures.series_matrix(path, words)
    assert read_donors(path)["diagnosis"].tolist()[:2] == ["case", "control"]


def test_the_diagnosis_may_stand_in_the_title(tmp_path):
    path = tmp_path / "series.txt.gz"
    donors = {"F1": ("", 50), "F2": ("", 51)}
    miniatures.series_matrix(path, donors, title="{donor} control", key="tissue", ages=False)
    assert read_donors(path)["diagnosis"].tolist() == ["control", "control"]
    assert read_donors(path)["age"].isna().all()


def test_a_table_can_take_the_place_of_the_series_matrix(tmp_path):
    path = tmp_path / "donors.csv"
    path.write_text("Sample,Condition,Sex,Age (years)\nF1,Case,Female,44\nM02,Control,M,50.5\n")
    donors = read_donors(path)
    assert donors.loc["F1"].tolist() == ["case", "female", 44]
    assert donors.loc["M2"].tolist() == ["control", "male", 50.5]
    path.write_text("donor\tdiagnosis\nF1\tMDD\nF1\tMDD\n")
    assert read_donors(path)["diagnosis"].to_dict() == {"F1": "case"}


def frame(**people):
    rows = {name: (kind, "female" if name[0] == "F" else "male", age)
            for name, (kind, age) in people.items()}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=["diagnosis", "sex", "age"])


def test_donors_are_paired_by_age_and_ties_go_by_number():
    people = frame(
        F20=("case", 50), F3=("case", 50), F5=("case", 45), F1=("control", 50),
        F10=("control", 50), F2=("control", 41), F4=("control", 60), F6=("control", 70),
    )  # fmt: skip
    nuclei = pd.Series(10, index=people.index)
    roles, notes = choose_donors(people, nuclei, DonorRule(cases=2, controls=2), "file")
    assert roles.to_dict() == {
        "F3": "target case", "F20": "target case", "F1": "target control",
        "F10": "target control", "F2": "other control", "F4": "other control",
    }  # fmt: skip
    assert notes == []
    shuffled = people.iloc[::-1]
    again, _ = choose_donors(shuffled, nuclei, DonorRule(cases=2, controls=2), "file")
    assert again.to_dict() == roles.to_dict()
    # More controls than cases: the rest by number.
    roles, _ = choose_donors(people, nuclei, DonorRule(cases=1, controls=3), "file")
    assert roles.index[roles == "target control"].tolist() == ["F1", "F2", "F4"]
    # A donor without nuclei is no candidate; without candidates left, others are of any age.
    few = nuclei.drop(["F2", "F4"])
    roles, _ = choose_donors(people, few, DonorRule(cases=2, controls=2), "file")
    assert roles.index[roles == "other control"].tolist() == ["F6"]
    roles, notes = choose_donors(
        people.drop("F6"), few.drop("F6"), DonorRule(cases=2, controls=2), "file"
    )
    assert "other control" not in set(roles)
    assert "no background of other donors" in notes[0]


def test_sets_of_donors_with_the_published_numbers_are_found(monkeypatch):
    people = frame(**{name: (kind.lower(), age) for name, (kind, age) in miniatures.DONORS.items()})
    nuclei = pd.Series(2 ** np.arange(len(people)), index=people.index)
    monkeypatch.setattr(choosing, "N_CASE_NUCLEI", int(nuclei[list(CASES)].sum()))
    controls = ["F2", "F4", "F6", "F10"]
    monkeypatch.setattr(choosing, "N_CONTROL_NUCLEI", int(nuclei[controls].sum()))
    assert matching_donors(people, nuclei) == [(CASES, tuple(controls))]
    _, notes = choose_donors(people, nuclei, DonorRule(), "file")
    assert notes[0].startswith("1 sets of 4 cases and 4 controls, women of 40 to 60")
    assert "F1, F3, F5, F7 with F2, F4, F6, F10" in notes[0]
    monkeypatch.setattr(choosing, "N_CONTROL_NUCLEI", 1)
    assert matching_donors(people, nuclei) == []


RULES = [
    (DonorRule(cases=5), "4 cases are female, 40 to 60 .* but 5 are wanted; widen the rule"),
    (DonorRule(ages=(41, 47)), "2 cases are female, 41 to 47 .*F1, F3"),
    (DonorRule(sex="male"), r"1 cases are male, .*\(M1\), but 4"),
    (NamedDonors(["F99"], ["F2"]), "series_matrix.txt.gz: says nothing about donor F99; known: F1"),
    (NamedDonors(["F2"], ["F4"]), "donor F2 is a control, but is named among the cases"),
    (NamedDonors(["F1"], ["F2"], ["F3"]), "donor F3 is a case, but is named among the controls"),
    (NamedDonors(["F1"], ["F2"], ["F2"]), "donor F2 is named more than once"),
    (NamedDonors([], ["F2"]), "no cases are named"),
    (NamedDonors(["F1"], []), "no controls are named"),
]


@pytest.mark.parametrize(("choice", "message"), RULES)
def test_donors_that_cannot_be_chosen_are_refused(original, choice, message):
    with pytest.raises(InputError, match=message):
        read_mdd(**original, choice=choice)


def test_a_named_donor_without_nuclei_is_refused(original, tmp_path):
    paths = replaced(original, tmp_path, "cells", lambda text: text.replace(b'"F1.', b'"F2.9'))
    with pytest.raises(InputError, match="donor F1 has no nuclei of the wanted cell types; those"):
        read_mdd(**paths, choice=NamedDonors(["F1"], ["F4"]))


def test_without_ages_donors_have_to_be_named(original, tmp_path):
    path = tmp_path / "series.txt.gz"
    miniatures.series_matrix(path, ages=False)
    paths = original | {"donors": path}
    with pytest.raises(InputError, match=r"series.txt.gz: states no age, .*name the donors"):
        read_mdd(**paths)
    assert read_mdd(**paths, choice=NamedDonors(["F1"], ["F2"])).n_obs == 48


def series(tmp_path, **options):
    path = tmp_path / "series.txt.gz"
    miniatures.series_matrix(path, **options)
    return gzip.decompress(path.read_bytes()).decode()


BAD_SERIES = [
    (lambda text: text.replace("!Sample_", "!Thing_"), "no line begins with !Sample_"),
    (lambda text: text.replace('"F1"\t', ""), "a line !Sample_title has not one cell for each of"),
    (lambda text: text.replace('"F', '"Donor').replace('"M', '"Donor'), "no donor .*'Donor1'"),
    (lambda text: text.replace("group: Case", "group: dog"), "F1 has the diagnosis 'F1'; expected"),
    (lambda text: text.replace("Sex: Female", "Sex: n/a", 1), "F1 has the sex 'n/a'; allowed"),
    (lambda text: text.replace('"F3"', '"F1"'), "itself about F1: case, female, age 41"),
    (lambda text: "", "the file is empty"),
    (lambda text: "<html>", "a web page, not a table"),
    (lambda text: "a,b\n1,2\n", "no column donor; found 2 columns: a, b"),
    (lambda text: "donor,b\n1,2\n", "no column diagnosis; found 2 columns: donor, b"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD_SERIES)
def test_other_series_are_refused(tmp_path, change, message):
    path = gz(tmp_path / "other.txt.gz", change(series(tmp_path)))
    with pytest.raises(InputError, match=f"other.txt.gz: .*{message}"):
        read_donors(path)


def test_a_series_that_is_cut_short_or_missing(tmp_path):
    path = tmp_path / "series.txt.gz"
    miniatures.series_matrix(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"series.txt.gz: damaged or cut short"):
        read_donors(path)
    with pytest.raises(InputError, match="none: no such file; expected a GEO series matrix"):
        read_donors(tmp_path / "none")


# --- the other files ---------------------------------------------------------

FILES = [
    ("genes", (b'"x"', b'"y"'), "genes_rows.csv.gz: no column x; found 1 columns: y"),
    ("genes", (b'"GENE5"\n', b""), "has 240 rows, but the table beside it names 239"),
    ("genes", (b"GENE", b"Gene"), "none of its protein-coding genes is among .*'Gene0'"),
    ("cells", (b'"x"', b'"cell"'), "cells_columns.csv.gz: no column x"),
    ("cells", (b".Mic1", b""), "column x: 'F1[.][ACGT]+-1.Mic'; expected donor.barcode.broad"),
    ("cells", (b".Oli.", b".Oligo."), "no nucleus of the cell type Oli; .* Ast, Mic, Oligo"),
    ("matrix", (b"240 504 ", b"240 503 "), "has 503 columns, but the table beside it names 504"),
    ("matrix", (b" 1\n", b" 1.5\n"), "matrix.mtx.gz: .* are no counts, for instance 1.5"),
    ("matrix", (b" 1\n", b" -1\n"), "are no counts, for instance -1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), FILES)
def test_other_files_are_refused(original, tmp_path, name, change, message):
    paths = replaced(original, tmp_path, name, lambda text: text.replace(*change))
    with pytest.raises(InputError, match=message):
        read_mdd(**paths)


def test_a_nucleus_that_stands_twice(original, tmp_path):
    def twice(text):
        first, second, _, *rest = text.split(b"\n")
        return b"\n".join([first, second, second, *rest])

    with pytest.raises(InputError, match=r"column x: 'F1[.].*' stands more than once"):
        read_mdd(**replaced(original, tmp_path, "cells", twice))


def test_no_nuclei_at_all(original, tmp_path):
    with pytest.raises(InputError, match=r"column x: nothing; expected donor.barcode"):
        read_mdd(**replaced(original, tmp_path, "cells", lambda _: b'"x"\n'))


@pytest.mark.parametrize("name", ["matrix", "genes", "cells"])
def test_files_that_are_cut_short_or_missing(original, tmp_path, name):
    path = tmp_path / original[name].name
    content = original[name].read_bytes()
    path.write_bytes(content[: int(0.9 * len(content))])
    with pytest.raises(InputError, match=rf"{path.name}: damaged(,| or) cut short"):
        read_mdd(**original | {name: path})
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}: no such file"):
        read_mdd(**original | {name: path})


def test_repeated_symbols_are_made_unique_and_said(original, tmp_path):
    paths = replaced(original, tmp_path, "genes", lambda text: text.replace(b"GENE3.1", b"GENE3"))
    data = read_mdd(**paths)
    assert data.n_vars == 200
    assert data.var_names[[3, 7]].tolist() == ["GENE3", "GENE3-1"]
    assert data.var["symbol"].iloc[7] == "GENE3"
    assert "1 symbols stand for several genes" in data.uns["warnings"][0]


def test_the_configuration_names_donors_or_gives_the_rule():
    rule = {"sex": "male", "ages": [30, 50], "cases": 2, "controls": 3, "donors": {}}
    assert choice_of(rule) == DonorRule("male", (30, 50), 2, 3)
    named = rule | {"donors": {"cases": ["F1"], "controls": ["F2"]}}
    assert choice_of(named) == NamedDonors(["F1"], ["F2"], ())
    named["donors"]["others"] = ["F4"]
    assert choice_of(named) == NamedDonors(["F1"], ["F2"], ["F4"])


def test_the_configuration_as_it_ships_is_the_papers_rule():
    settings = load_yaml(ROOT / "config" / "config.yaml")["mdd"]
    assert choice_of(settings) == DonorRule()
    assert settings["cell_types"] == ["Ast", "Oli"]


@pytest.mark.parametrize(
    ("donors", "message"),
    [
        ({"cases": ["F1"]}, "'controls' is a dependency of 'cases'"),
        ({"cases": ["X1"], "controls": ["F2"]}, "found 'X1'; allowed: F or M and"),
        ({"cases": ["F1"], "control": ["F2"]}, "unknown key `mdd.donors.control`"),
    ],
)
def test_donors_that_are_named_wrongly_are_refused(donors, message):
    settings = load_yaml(ROOT / "config" / "config.yaml")
    settings["mdd"]["donors"] = donors
    schema = load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    with pytest.raises(InputError, match=message):
        check_settings(settings, schema, "mine.yaml")
