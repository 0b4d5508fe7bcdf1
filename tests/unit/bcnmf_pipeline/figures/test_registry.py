"""The list of figures: complete, in step with sheets, captions and code, and its faults named."""

import importlib
import inspect
from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.registry import Drawing, read_drawings, shown_methods
from bcnmf_pipeline.plan.sheets import load_yaml

ROOT = Path(__file__).resolve().parents[4]
REPORT = ROOT / "workflow" / "report"
DRAWINGS = read_drawings(REPORT / "figures.yaml")


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure_has_a_caption_and_code_that_takes_what_it_is_given(name):
    drawing = DRAWINGS[name]
    assert (REPORT / f"{name}.rst").is_file()
    module = importlib.import_module(f"bcnmf_pipeline.figures.{drawing.plot}")
    arguments = dict.fromkeys([*drawing.reads, *drawing.told, *drawing.given])
    inspect.signature(getattr(module, f"plot_{drawing.plot}")).bind(**arguments)


def test_the_studies_sheet_allows_the_figures_that_there_are():
    columns = load_yaml(ROOT / "workflow" / "schemas" / "studies.schema.yaml")["properties"]
    asked = {
        how: [name for name, one in DRAWINGS.items() if one.asked == how]
        for how in ("figure", "panels")
    }
    assert sorted(columns["figure"]["enum"]) == sorted(asked["figure"])
    assert all(name in columns["panels"]["pattern"] for name in asked["panels"])
    series = {one.series for one in DRAWINGS.values() if one.series}
    assert set(columns["series"]["enum"]) == series


def test_of_alternatives_the_first_is_shown_and_without_any_the_last_methods():
    digits = DRAWINGS["digits"]
    assert shown_methods(digits, ["bcnmf", "cpca_grid", "cpca_published", "nmf"]) == [
        "nmf", "cpca_published", "bcnmf",
    ]  # fmt: skip
    assert shown_methods(digits, ["pca", "mine"]) == ["pca", "mine"]
    assert shown_methods(DRAWINGS["loadings"], ["pca", "mine"]) == ["mine"]
    assert shown_methods(DRAWINGS["scores"], ["pca", "mine"]) == ["pca", "mine"]


def test_single_cell_figures_differ_in_their_texts_alone():
    assert DRAWINGS["mdd"].plot == DRAWINGS["leukemia"].plot == "single_cell"
    assert DRAWINGS["mdd"].reads == DRAWINGS["single_cell"].reads
    assert len({DRAWINGS[name].title for name in ("mdd", "leukemia", "mixseq")}) == 3


FAULTS = [
    ("{alt: b, asked: panels}", "figure 'x': missing key 'title'"),
    ("{title: a, alt: '', asked: panels}", "figure 'x': missing key 'alt'"),
    ("{title: a, alt: b, asked: panel}", "key asked: found 'panel' .*mean 'panels'.*allowed: "),
    ("{title: a, alt: b, asked: panels, read: [c]}", "unknown key 'read' .*mean 'reads'"),
]


@pytest.mark.parametrize(("entry", "message"), FAULTS)
def test_a_faulty_figure_is_named(tmp_path, entry, message):
    path = tmp_path / "figures.yaml"
    path.write_text(f"x: {entry}\n")
    with pytest.raises(InputError, match=message) as caught:
        read_drawings(path)
    assert "figures.yaml" in str(caught.value)


def test_a_figure_is_drawn_by_the_code_of_its_name(tmp_path):
    path = tmp_path / "figures.yaml"
    path.write_text("x: {title: a, alt: b, asked: panels, with: {score: c}}\n")
    expected = Drawing(name="x", title="a", alt="b", asked="panels", plot="x", given={"score": "c"})
    assert read_drawings(path) == {"x": expected}
