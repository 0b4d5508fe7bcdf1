"""Bad input stops a run before any job, and says what to do."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, TINY, faults_of
from method_rows import with_method

ROW = {
    "study": "mine", "group": "mine", "title": "Mine", "dataset": "mine.h5ad",
    "target": "arm=drug", "background": "arm=vehicle", "label": "kind", "values": "counts",
    "panels": "scores",
}  # fmt: skip


def own_data(folder, matrix=None, name="mine"):
    rng = np.random.default_rng(0)
    matrix = rng.poisson(2.0, (60, 30)).astype(np.float32) if matrix is None else matrix
    obs = pd.DataFrame(
        {"arm": ["drug", "vehicle"] * 30, "kind": ["a", "a", "b", "b"] * 15},
        index=[f"cell{i}" for i in range(60)],
    )
    ad.AnnData(matrix, obs=obs).write_h5ad(folder / f"{name}.h5ad")


def own_studies(folder, *changes, row=ROW):
    rows = [row | change for change in changes]
    lines = [list(rows[0]), *(row.values() for row in rows)]
    (folder / "mine.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return TINY | {
        "name": "mine", "studies": [row["study"] for row in rows], "methods": ["nmf"],
        "sheets": {"studies": "mine.tsv"},
    }  # fmt: skip


def test_an_unknown_key_is_named(workflow):
    done = workflow("-n", settings=TINY | {"sedes": [1]})
    assert done.returncode != 0
    assert "unknown key `sedes` (did you mean 'seeds'?)" in done.output


def test_an_unknown_study_is_named(workflow):
    done = workflow("-n", "--config", "studies=moose")
    assert done.returncode != 0
    assert "'moose' is neither a study nor a group" in done.output


def test_own_data_can_be_planned(workflow):
    own_data(workflow.folder)
    fit = "results/mine/fits/mine/0/nmf/k10_alphanone_seed0.npz"
    done = workflow("-n", "all", fit, settings=own_studies(workflow.folder, {}))
    assert done.returncode == 0, done.output
    assert fit in done.stdout
    assert "results/mine/report.html" in done.stdout


FOUR = {key: ROW[key] for key in ("study", "dataset", "target", "background")}


def test_four_cells_are_enough_and_what_is_found_is_printed(workflow):
    own_data(workflow.folder)
    settings = own_studies(workflow.folder, {}, row=FOUR) | {"methods": ["nmf", "combined"]}
    done = workflow("-n", settings=settings | {"replicates": {"default": 5}})
    assert done.returncode == 0, done.output
    found = "30 target and 30 background samples; values: counts (found out); features: 30"
    assert f"Study mine:\n  {found}\n" in done.output
    assert "  not fitted: combined (no row in " in done.output
    assert "results/mine/figures/mine/embedding.png" in done.stdout
    assert "results/mine/figures/mine/scores.png" not in done.stdout
    assert "results/mine/pairs/mine/1/" not in done.stdout
    # What the target holds that the background does not is asked of methods with topics.
    assert "results/mine/answer/mine" not in done.stdout


def test_a_label_of_one_class_is_a_remark(workflow):
    own_data(workflow.folder)
    row = {"target": "arm=drug;kind=a", "background": "arm=vehicle;kind=a"}
    done = workflow("-n", settings=own_studies(workflow.folder, row))
    assert done.returncode == 0, done.output
    assert "\n  all target samples have 'a' in the label kind" in done.output
    assert "results/mine/figures/mine/scores.png" not in done.stdout


def test_a_study_for_each_value_of_a_column_is_planned(workflow):
    own_data(workflow.folder)
    row = FOUR | {"each": "kind", "background": "arm=vehicle;kind=a,b"}
    settings = own_studies(workflow.folder, row, row=FOUR)
    (workflow.folder / "methods.tsv").write_text(
        (ROOT / "config" / "methods.tsv").read_text().replace("\t10\t", "\t4\t")
    )
    settings["sheets"]["methods"] = "methods.tsv"
    done = workflow("-n", settings=settings)
    assert done.returncode != 0
    few = "0 of 2 values of 'kind' have 20 target and 20 background samples (a (15 target, 30"
    assert few in done.output
    row["target"] = "arm=drug,vehicle"
    row["background"] = "kind=a,b"
    done = workflow("-n", settings=settings | own_studies(workflow.folder, row, row=FOUR))


AWKWARD = ["My Drive - Uni/my cells.h5ad", "it's (0).h5ad", "a&b;c.h5ad", "Zellen_ä.h5ad"]


@pytest.mark.parametrize("path", AWKWARD)
def test_paths_may_hold_spaces_and_signs(workflow, path):
    file = workflow.folder / path
    file.parent.mkdir(exist_ok=True)
    own_data(file.parent, name=file.stem)
    pair = "results/mine/pairs/mine/0/target.h5ad"
    done = workflow(pair, settings=own_studies(workflow.folder, {"dataset": path}))
    assert done.returncode == 0, done.output
    assert (workflow.folder / pair).is_file()


def test_a_home_folder_may_be_written_with_a_tilde(workflow, monkeypatch):
    monkeypatch.setenv("HOME", str(workflow.folder))
    (workflow.folder / "data").mkdir()
    own_data(workflow.folder / "data")
    done = workflow("-n", settings=own_studies(workflow.folder, {"dataset": "~/data/mine.h5ad"}))
    assert done.returncode == 0, done.output
    assert f"input: {workflow.folder}/data/mine.h5ad" in done.stdout


def excel(text):
    return text.replace("Drug, low dose", '"Drug, low dose"').replace("\n", "\r\n").encode()


SPREADSHEETS = {
    "Text (Tab delimited)": excel,
    "Unicode Text": lambda text: excel(text).decode().encode("utf-16"),
    "CSV UTF-8 with semicolons": lambda text: b"\xef\xbb\xbf" + excel(text).replace(b"\t", b";"),
}


@pytest.mark.parametrize("saved", SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_a_sheet_that_a_spreadsheet_program_wrote(workflow, saved):
    own_data(workflow.folder)
    settings = own_studies(workflow.folder, {"title": "Drug, low dose"})
    sheet = workflow.folder / "mine.tsv"
    sheet.write_bytes(saved(sheet.read_text()))
    done = workflow("-n", settings=settings)
    assert done.returncode == 0, done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\nname: other\n", "line 2, column 1: the key 'name' stands in line 1 already"),
        (
            "name: mine\nseeds: {default: [010]}\n",
            "line 2, `seeds.default.0`: found '010'; expected",
        ),
        ("name: [mine]\n", "line 1, `name`: found ['mine']; expected a text"),
        ("name: mine\nstudies: [no]\n", "key studies: 'no' is neither a study nor a group"),
        ("name: mine\nmirror:\n", "line 2, `mirror`: found nothing; expected a text"),
    ],
)
def test_a_configuration_file_is_read_as_it_looks(workflow, text, message):
    path = workflow.folder / "mine.yaml"
    path.write_text(text)
    done = workflow("-n", "--configfile", str(path))
    assert done.returncode != 0
    assert message in done.output
    assert "Traceback" not in done.output


def test_values_of_the_command_line_are_texts_where_texts_are_asked(workflow):
    done = workflow("-n", "--config", "mirror=5", "seeds={default: [0]}", "name=2024")
    assert done.returncode != 0
    assert "`name`: found '2024'; allowed: letters, digits, _ and -, a letter first" in done.output
    assert "`mirror`" not in done.output
    (workflow.folder / "5").mkdir()
    done = workflow(
        "-n",
        "--config",
        "mirror=5",
        "seeds={default: [3]}",
        "title=1e5",
        "studies=simulation_beta2",
    )
    assert done.returncode == 0, done.output


CASES = [
    ({"dataset": "none.h5ad"}, "none.h5ad"),
    ({"target": "arms=drug"}, "arms"),
    ({"target": "arm=durg"}, "durg"),
    ({"label": "kinds"}, "kinds"),
    ({"target": "arm=drug;kind=c"}, "kind"),
    ({"colours": "Kind"}, "column colours: the data have no column 'Kind'"),
    ({"gene_sets": "core"}, "column gene_sets: "),
    ({"background": "arm=drug"}, "the same 30 samples"),
    ({"values": "raw", "layer": "none"}, "none"),
]


@pytest.mark.parametrize(("changes", "named"), CASES)
def test_a_faulty_row_stops_before_any_job(workflow, changes, named):
    own_data(workflow.folder)
    done = workflow(settings=own_studies(workflow.folder, changes))
    assert done.returncode != 0
    assert "mine.tsv" in done.output
    assert named in done.output
    assert not (workflow.folder / "results").exists()


def test_more_topics_than_samples_stops_before_any_job(workflow):
    own_data(workflow.folder)
    (workflow.folder / "methods.tsv").write_text(
        (ROOT / "config" / "methods.tsv").read_text().replace("\t10\t", "\t400\t")
    )
    settings = own_studies(workflow.folder, {})
    settings["sheets"]["methods"] = "methods.tsv"
    done = workflow(settings=settings)
    assert done.returncode != 0
    assert "400" in done.output
    assert "30" in done.output
    assert not (workflow.folder / "results").exists()


VALUES = {
    "missing": (lambda x: np.where(x == x.max(), np.nan, x), "NaN"),
    "below_zero": (lambda x: x - 3, "negative"),
    "logarithms": (lambda x: np.log1p(x), "log"),
}


def test_bad_values_of_all_studies_stop_before_any_job(workflow):
    counts = np.random.default_rng(0).poisson(2.0, (60, 30)).astype(np.float32)
    for name, (change, _) in VALUES.items():
        own_data(workflow.folder, change(counts), name)
    rows = [{"study": name, "dataset": f"{name}.h5ad"} for name in VALUES]
    done = workflow(settings=own_studies(workflow.folder, *rows))
    assert done.returncode != 0
    for name, (_, named) in VALUES.items():
        (line,) = [one for one in done.output.splitlines() if f"mine.tsv, study {name}," in one]
        assert named in line
    assert "Traceback" not in done.output
    assert not (workflow.folder / "results").exists()


# A look at 250 samples of a side does not find the one value below zero of 800.
def test_bad_values_that_a_look_missed_stop_before_any_fit(workflow):
    matrix = np.random.default_rng(0).poisson(2.0, (1600, 12)).astype(np.float32)
    matrix[2, 3] = -1
    obs = pd.DataFrame({"arm": ["drug", "vehicle"] * 800, "kind": ["a", "a", "b", "b"] * 400})
    ad.AnnData(matrix, obs=obs.set_axis(obs.index.astype(str))).write_h5ad(
        workflow.folder / "mine.h5ad"
    )
    done = workflow("--keep-going", settings=own_studies(workflow.folder, {}))
    assert done.returncode != 0
    (message,) = faults_of(done, "pair")
    assert message.startswith("mine.tsv, study mine")
    assert "negative" in message
    assert not list(workflow.folder.glob("results/mine/fits/**/*.npz"))


def test_a_method_of_ones_own_needs_no_row_for_studies_that_are_not_run(workflow):
    sheet = with_method(
        method="mine", label="Mine", algorithm="bcnmf", studies="simulation_beta8",
        values="default", k=2, alpha=2, contrast="relative", loss="squared_error", solver="mu",
        max_iter=9, tol=0,
    )  # fmt: skip
    (workflow.folder / "methods.tsv").write_text(sheet)
    settings = TINY | {
        "studies": ["simulation_beta8"], "methods": ["mine"], "sheets": {"methods": "methods.tsv"},
    }  # fmt: skip
    fit = "results/tiny/fits/simulation_beta8/1/mine/k2_alpha2_seed0.npz"
    done = workflow("-n", "all", fit, settings=settings)
    assert done.returncode == 0, done.output
    assert fit in done.stdout
