"""The HTML report: self-contained, escaped, and with the numbers of its tables."""

from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bcnmf import InputError
from bcnmf_pipeline.figures.representative import Chosen
from bcnmf_pipeline.report.answer import answer_of
from bcnmf_pipeline.report.evidence import evidence_of
from bcnmf_pipeline.report.page import StudyDetails, write_report
from bcnmf_pipeline.report.pictures import render_caption, smaller
from bcnmf_pipeline.report.tables import mean_sd, scores_text_table, study_table
from bcnmf_pipeline.report.topic_words import Topic
from plot_tables import beta_scores, mouse_scores, summarise
from report_figures import (
    CAPTIONS,
    diagnosis_of,
    figure_of,
    null_of,
    programs_of,
    reproduced_of,
    shares_of,
    tiny_png,
)

LABELS = {"bcnmf": "bcNMF", "nmf": "NMF"}
VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = '<script>alert("x")</script>&amp; \' ${y}'


class Page(HTMLParser):
    """Collects elements, texts and table cells, and checks that tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.stack, self.tables, self.scripts = [], [], {}, []
        self.data = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables[attributes["id"]] = self.table = []
        if tag == "tr":
            self.table.append([])
        if tag in ("th", "td"):
            self.table[-1].append(["", attributes])

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if "script" in self.stack:
            self.scripts.append(data)
            return
        self.data.append(data)
        if "td" in self.stack or "th" in self.stack:
            self.table[-1][-1][0] += ("\n" if self.stack[-1] == "small" else "") + data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self):
        return " ".join(" ".join(self.data).split())

    def column(self, table, title):
        rows = self.tables[table]
        place = [cell[0] for cell in rows[0]].index(title)
        return [row[place] for row in rows[1:]]


@pytest.fixture(scope="module")
def scores():
    some = beta_scores(2, 2).query("study in ['simulation_beta0', 'simulation_beta8']")
    return pd.concat([some, mouse_scores(3)], ignore_index=True)


def study(name, **more):
    return {"study": name, "title": f"Title of {name}", "description": f"About {name}."} | more


def make(tmp_path, scores, summary=None, **more):
    path = tmp_path / "run" / "report.html"
    arguments = {
        "config_name": "test", "title": "A run", "scores": scores,
        "summary": summarise(scores, LABELS) if summary is None else summary,
        "figures": [
            figure_of(tmp_path / "run" / "figures", "simulation", "beta"),
            figure_of(tmp_path / "run" / "figures", "mouse", "scores"),
            figure_of(tmp_path / "run" / "figures", "mouse", "embedding",
                      fields={"chosen": "Shown: seed 3."}),
        ],
        "provenance": {"version": "1.2.3", "versions": {"numpy": "9.9"}, "seeds": [0, 1]},
        "studies": [study("simulation_beta0"), study("simulation_beta8"),
                    study("mouse", unit="mouse", label="Genotype")],
        "warnings": ["Mind this."],
        "tables": {"scores.tsv": tmp_path / "run" / "tables" / "scores.tsv"},
        "front_file": CAPTIONS / "workflow.rst",
        "reproduced": reproduced_of(scores, LABELS) if "reported" in scores else None,
    } | more  # fmt: skip
    write_report(path, **arguments)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory, scores):
    return Page(make(tmp_path_factory.mktemp("report"), scores))


def test_nothing_is_fetched_from_anywhere(page):
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/webp;base64,")
        if "href" in attributes:
            assert not re.match(r"[a-z]+:|//|/", attributes["href"])
    assert len(page.scripts) == 1
    assert not re.search(r"https?:|fetch\(|import", page.scripts[0])


def test_page_is_semantic(page):
    (html,) = page.of("html")
    assert html["lang"] == "en"
    for tag in ("title", "main", "header", "nav", "footer", "h1"):
        assert len(page.of(tag)) == 1, tag
    assert all(image["alt"].strip() for image in page.of("img"))
    assert len(page.of("figcaption")) == len(page.of("figure")) == 3
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {a["href"][1:] for a in page.of("a") if a["href"].startswith("#")}
    assert anchors <= set(ids)
    labelled = {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a}
    assert labelled <= set(ids)


def test_headers_can_be_sorted_from_the_keyboard(page):
    for rows in page.tables.values():
        assert all(attributes.get("scope") == "col" for _, attributes in rows[0])
    buttons = [button for button in page.of("button") if "class" not in button]
    assert len(buttons) == sum(len(rows[0]) for rows in page.tables.values())
    assert all(button["type"] == "button" for button in buttons)
    assert "aria-sort" in page.scripts[0]


def test_pictures_are_embedded_pixel_by_pixel(page):
    images = page.of("img")
    drawn = np.asarray(Image.open(BytesIO(tiny_png())).convert("RGB"))
    for image in images:
        embedded = Image.open(BytesIO(base64.b64decode(image["src"].split(",", 1)[1])))
        assert embedded.format == "WEBP"
        np.testing.assert_array_equal(np.asarray(embedded), drawn)
        # 300 dots an inch, shown at 96 times 1.3.
        assert (image["width"], image["height"]) == ("12", "5")
    assert [image["alt"] for image in images] == [
        "beta of simulation",
        "scores of mouse",
        "embedding of mouse",
    ]


def test_links_are_relative(page):
    links = {a["href"] for a in page.of("a") if not a["href"].startswith("#")}
    assert links == {
        "tables/scores.tsv",
        "figures/simulation_beta.pdf",
        "figures/mouse_scores.pdf",
        "figures/mouse_embedding.pdf",
    }


def test_captions_are_rendered(page):
    text = page.text()
    assert "{{" not in text
    assert "Study mouse: UMAP of the usages" in text
    assert "Shown: seed 3." in text
    assert "The report of configuration test begins with" in text
    assert "Mind this." in text
    assert "1.2.3" in text
    assert "0, 1" in text


def test_numbers_of_a_study_equal_the_summary(page, scores):
    summary = summarise(scores, LABELS)
    mine = summary[(summary["study"] == "mouse") & (summary["score"] == "ari_usage")]
    cells = page.column("table-study-3", "ARI usage")
    assert len(cells) == len(mine) == 13
    for (text, attributes), row in zip(cells, mine.itertuples(), strict=True):
        assert float(attributes["data-sort"]) == pytest.approx(row.mean)
        sd = "" if np.isnan(row.sd) else f" ± {row.sd:.3f}"
        assert text.split("\n")[0] == f"{row.mean:.3f}{sd}".replace("-", "−")
    runs = [int(text) for text, _ in page.column("table-study-3", "Runs")]
    assert runs == list(mine["n_runs"])
    alphas = [text for text, _ in page.column("table-study-3", "Alpha")]
    assert alphas[0] == "–"
    assert "1.23" in alphas


def test_unit_interval_and_reported_value_stand_below_the_score(page, scores):
    rows = page.tables["table-study-3"]
    place = [cell[0] for cell in rows[0]].index("ARI UMAP")
    (mine,) = [row for row in rows[1:] if row[0][0].split("\n")[0] == "bcNMF"]
    summary = summarise(scores).query("study == 'mouse' and method == 'bcnmf'")
    means = summary.set_index("score")["mean"]
    low, high = means["ari_umap_units_low"], means["ari_umap_units_high"]
    assert mine[place][0].split("\n") == [
        "0.789 ± 0.000",
        f"95% [{low:.2f}, {high:.2f}]",
        "reported 0.7894",
    ]
    units = mine[[cell[0] for cell in rows[0]].index("ARI UMAP, units")][0]
    assert units.startswith(f"{means['ari_umap_units']:.3f}")
    assert not any("low" in cell[0] for cell in rows[0])


def test_reported_table_sets_both_side_by_side(page, scores):
    summary = summarise(scores, LABELS)
    known = summary[summary["reported"].notna()].copy()
    known["value"] = pd.factorize(known["study"] + known["method"] + known["score"])[0]
    known = known.sort_values("value", kind="stable")  # as the sheet: a value has all its settings
    reported = page.column("table-reported", "Reported")
    assert [float(a["data-sort"]) for _, a in reported] == list(known["reported"])
    ours = page.column("table-reported", "This run (mean ± s.d.)")
    assert [float(a["data-sort"]) for _, a in ours] == pytest.approx(list(known["mean"]))
    difference = page.column("table-reported", "Difference")
    assert [float(a["data-sort"]) for _, a in difference] == pytest.approx(
        list(known["mean"] - known["reported"])
    )
    assert {t for t, _ in page.column("table-reported", "Where reported")} == {
        "Table 1",
        "section 2.3",
    }


def test_what_ran(page, scores):
    assert [int(t) for t, _ in page.column("table-ran", "Samples")] == [1000, 1000, 270]
    runs = ["method", "k", "alpha", "seed", "replicate"]
    expected = [
        len(scores[scores["study"] == name][runs].drop_duplicates())
        for name in ("simulation_beta0", "simulation_beta8", "mouse")
    ]
    assert [int(t) for t, _ in page.column("table-ran", "Fits")] == expected
    assert "19 fits: 6 methods, 1 data replicate, 3 seeds" in page.text()


# --- the answer --------------------------------------------------------------


def details_of(names, **more):
    topic = Topic(3, "b", 0.9, 1e-9, np.nan, ["ISG15"], [("IFN", 0.01)], stability=0.9)
    found = {}
    for name in names:
        row = {"study": name, "label": "Genotype", "unit": ""}
        answer = answer_of(pd.DataFrame(shares_of(name, {})), row, "bcnmf")
        found[name] = StudyDetails(
            Chosen("bcnmf", 15, 1.0, 0, 0), [topic], answer=answer, with_sets=True, **more
        )
    return found


def sure_of(**more):
    tables = {
        "programs": programs_of([0.002, 0.01]), "null": null_of("Refits say p = 0.004."),
        "diagnosis": diagnosis_of((1, "share", "fault"), overall=f"Faulty {HOSTILE}."),
    }  # fmt: skip
    return evidence_of(tables | more, "bcnmf", "mouse")


def test_how_sure_an_answer_is_stands_in_its_study(tmp_path, scores):
    details = details_of(["mouse", "simulation_beta8"])
    details["mouse"] = dataclasses.replace(details["mouse"], evidence=sure_of())
    figures = [
        figure_of(tmp_path / "run" / "figures", "mouse", name, caption_file=CAPTIONS / "scores.rst")
        for name in ("scores", "null")
    ]
    text = make(tmp_path, scores, details=details, figures=figures)
    page = Page(text)
    assert page.text().count("How sure") == 1
    assert "simulation_beta8" not in page.tables
    assert [row[0][0] for row in page.tables["table-tests-3"][1:]] == ["Target score", "Topic 1"]
    assert page.column("table-tests-3", "p, mouse")[0][0] == "0.002"
    # On the first screen two sentences; in the study all of it, and the figure of the null.
    first, rest = page.text().split("How sure")
    assert "Refits say p = 0.004." in first
    assert f"Faulty {HOSTILE}. Program 1: Mend share." in " ".join(first.split())
    assert "By mouse, target against background" not in first
    assert "By mouse, target against background" in rest
    assert "share of 1 is fault. Mend share." in " ".join(rest.split())
    assert order_of(text, 'id="table-study-3"', 'id="table-tests-3"', 'alt="null of mouse"')
    assert order_of(text, 'alt="null of mouse"', 'alt="scores of mouse"')
    assert text.count('alt="null of mouse"') == 1


def test_reported_values_stand_before_the_warnings_where_there_are_any(tmp_path, scores):
    text = make(tmp_path, scores, details=details_of(["mouse"]), figures=[])
    assert order_of(text, 'id="answer"', 'href="#reported">Reported and reproduced</a>: Of 9',
                    'id="reported"', 'id="table-reported"', 'id="warnings"')  # fmt: skip
    assert text.count("can be compared with this run") == 1
    none = reproduced_of(scores.assign(reported=np.nan), LABELS, [
        {"study": "mouse", "method": "bcnmf", "score": "ari_umap", "value": "0.7894",
         "source": "arXiv", "verdict": "made otherwise", "why": "share is 1, reported with 0.1"},
    ])  # fmt: skip
    text = make(tmp_path, scores, details=details_of(["mouse"]), figures=[], reproduced=none)
    page = Page(text)
    assert order_of(text, 'id="answer"', 'id="warnings"', 'id="reported"')
    assert "Of 1 reported value none can be compared with this run (1 made otherwise)." in (
        page.text()
    )
    assert "table-reported" not in page.tables
    assert page.column("table-not-compared", "Why")[0][0] == "share is 1, reported with 0.1"


def order_of(text, *parts):
    places = [text.index(part) for part in parts]
    return places == sorted(places)


def test_the_answer_comes_first_then_warnings_then_the_rest(tmp_path, scores):
    text = make(
        tmp_path, scores, details=details_of(["mouse"]),
        figures=[figure_of(tmp_path / "run" / "figures", "mouse", name,
                           caption_file=CAPTIONS / "scores.rst")
                 for name in ("scores", "answer")],
    )  # fmt: skip
    page = Page(text)
    assert order_of(
        page.text(), "50 of 100 target samples hold something", "No unit of replication",
        "Mind this.", "What ran Background-contrastive", "Topics in words",
    )  # fmt: skip
    assert [image["alt"] for image in page.of("img")] == ["answer of mouse", "scores of mouse"]
    (program,) = page.tables["table-programs-1-1"][1:]
    assert [cell[0] for cell in program] == ["Topic 3", "ISG15", "IFN", "–", "0.90"]
    answer = (tmp_path / "run" / "tables" / "answer.txt").read_text()
    assert answer.startswith("Title of mouse\n50 of 100 target samples hold something")


def test_many_studies_share_a_table_and_keep_their_answers(tmp_path, scores):
    names = ["mouse", *(f"s{place}" for place in range(4))]
    studies = [study(name, label="Genotype") for name in names]
    text = make(tmp_path, scores, studies=studies, figures=[], details=details_of(names))
    page = Page(text)
    titles = [cell[0] for cell in page.column("table-answers-1", "Study")]
    assert titles == [f"Title of {name}" for name in names]
    assert text.count('<p class="headline">') == 5
    assert [a["href"] for a in page.of("a") if a["href"].startswith("#study")].count(
        "#study-2"
    ) == 1
    assert order_of(text, 'id="table-answers-1"', 'id="warnings"', 'class="headline"')


def test_every_figure_stands_on_the_page_once(tmp_path, scores):
    names = ["mouse", *(f"s{place}" for place in range(4))]
    figures = [
        figure_of(
            tmp_path / "run" / "figures", name, "answer", caption_file=CAPTIONS / "scores.rst"
        )
        for name in [*names, "unanswered", "group"]
    ]
    studies = [study(name, label="Genotype") for name in [*names, "unanswered"]]
    text = make(tmp_path, scores, studies=studies, figures=figures, details=details_of(names))
    alt = [image["alt"] for image in Page(text).of("img")]
    assert sorted(alt) == sorted(figure["alt"] for figure in figures)


def test_a_run_without_answers_says_nothing_of_them(page):
    assert not [tag for tag, attributes in page.elements if attributes.get("id") == "answer"]


def test_same_input_same_bytes(tmp_path, scores):
    assert make(tmp_path, scores) == make(tmp_path, scores)


def test_hostile_names_are_text(tmp_path, scores):
    named = scores[scores["study"] == "mouse"].assign(study=HOSTILE)
    text = make(
        tmp_path,
        named,
        summary=summarise(named, {"nmf": HOSTILE}),
        title=HOSTILE,
        warnings=[HOSTILE],
        studies=[study(HOSTILE, title=HOSTILE, unit=HOSTILE, target=HOSTILE)],
        provenance={HOSTILE: HOSTILE, "nested": {HOSTILE: [HOSTILE]}},
        figures=[figure_of(tmp_path, "x", "scores", study=HOSTILE, alt=HOSTILE, pdf='a"b.pdf')],
    )
    page = Page(text)
    assert len(page.scripts) == 1
    assert 'alert("x")' not in page.scripts[0]
    assert page.of("img")[0]["alt"] == HOSTILE
    assert all("%22" in a["href"] for a in page.of("a") if "pdf" in a["href"])
    assert page.text().count('alert("x")') >= 8
    assert f"Study {HOSTILE}: adjusted" in page.text()


def test_nothing_reported_no_warnings_no_figures(tmp_path, scores):
    none = scores.assign(reported=np.nan)
    text = make(
        tmp_path, none, figures=[], warnings=[], tables=None, front_file=None, provenance={}
    )
    page = Page(text)
    assert "table-reported" not in page.tables
    assert "reports no value" in page.text()
    assert "None." in page.text()
    assert not page.of("img")


def test_study_without_scores_and_studies_as_a_table(tmp_path, scores):
    studies = pd.DataFrame([study("mouse", unit=np.nan), study("later")])
    page = Page(make(tmp_path, scores, studies=studies, figures=[]))
    assert len(page.tables["table-study-2"]) == 1
    assert "0 fits" in page.text()
    assert "nan" not in page.text().lower().split()


def test_other_scores_are_shown_too(scores):
    extra = summarise(scores.query("study == 'mouse'")).assign(
        score=lambda t: t["score"].replace("ari_usage", "my_score")
    )
    assert "my_score" in study_table(extra).columns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": pd.DataFrame({"study": []})}, r"table scores: missing column\(s\) method"),
        ({"studies": [{"title": "x"}]}, "without the key study"),
        ({"figures": [{"name": "f"}]}, r"figure 'f'.*missing key\(s\) study"),
    ],
)
def test_faulty_input_is_named(tmp_path, scores, change, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path, change.pop("scores", scores), summarise(scores), **change)
    assert not (tmp_path / "run" / "report.html").exists()


def test_figures_need_an_alternative_text_and_a_png(tmp_path, scores):
    with pytest.raises(InputError, match="`alt` is empty"):
        make(tmp_path, scores, figures=[figure_of(tmp_path, "mouse", "scores", alt=" ")])
    broken = figure_of(tmp_path, "mouse", "scores")
    broken["png"].write_bytes(b"GIF89a" + b"0" * 40)
    with pytest.raises(InputError, match="not a whole PNG"):
        make(tmp_path, scores, figures=[broken])
    broken["png"].write_bytes(tiny_png()[:45])
    with pytest.raises(InputError, match="not a whole PNG"):
        make(tmp_path, scores, figures=[broken])


def test_a_picture_is_much_smaller_in_the_page_than_on_the_disk(tmp_path):
    figure = Figure(figsize=(7.2, 4))
    figure.subplots().plot(np.random.default_rng(0).normal(size=200))
    figure.savefig(tmp_path / "one.png", dpi=300)
    content, width, height = smaller(tmp_path / "one.png")
    assert (width, height) == (2160, 1200)
    assert len(content) < 0.6 * (tmp_path / "one.png").stat().st_size


# --- captions ----------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CAPTIONS.glob("*.rst")), ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["mouse", "mine_", "a_b__"])
def test_captions_render_here_and_in_snakemake(path, name):
    import docutils.core
    import jinja2

    ours = render_caption(
        path, wildcards={"study": name}, config={"name": name}, fields={"chosen": "Shown: A."}
    )
    assert "{{" not in ours
    snakemake = type("S", (), {})()
    snakemake.wildcards = type("W", (), {"study": name})()
    snakemake.config = {"name": name}
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    theirs = environment.from_string(path.read_text()).render(snakemake=snakemake)
    assert theirs.replace("\\_", "_").split() == ours.replace("Shown: A.", "").split()
    assert len(path.read_text().splitlines()) <= 3
    # Snakemake reads the result as reStructuredText: none of it may be taken for markup.
    parts = docutils.core.publish_parts(
        theirs, writer="html", settings_overrides={"report_level": 5, "halt_level": 6}
    )
    assert "system-message" not in parts["body"]
    assert "<a " not in parts["body"]
    assert "\\" not in parts["body"]


def test_every_figure_has_a_caption():
    names = {"beta", "scores", "embedding", "usages", "loadings", "basis", "objective"}
    names |= {"digits", "mouse", "drivers", "drivers_auroc", "selection", "enrichment"}
    names |= {"leukemia", "mixseq", "mdd", "single_cell", "answer", "each", "null"}
    assert names | {"workflow"} == {path.stem for path in CAPTIONS.glob("*.rst")}


def test_caption_faults_are_named(tmp_path):
    path = tmp_path / "x.rst"
    path.write_text("{{ unknown }}")
    with pytest.raises(InputError, match=r"x\.rst.*'unknown' is undefined; known fields: chosen"):
        render_caption(path)
    path.write_text("{% if %}")
    with pytest.raises(InputError, match=r"x\.rst"):
        render_caption(path)
    with pytest.raises(InputError, match="no such caption"):
        render_caption(tmp_path / "absent.rst")


# --- text table --------------------------------------------------------------


def test_text_table_has_the_numbers(scores):
    summary = summarise(scores, LABELS)
    lines = scores_text_table(summary).splitlines()
    header = "study method K alpha ari usage ari usage share ari umap runs reported by the paper"
    assert " ".join(lines[0].split()) == header
    (line,) = [line for line in lines if re.search(r"bcNMF +15", line)]
    row = summary.query("study == 'mouse' and method == 'bcnmf'").set_index("score")
    expected = [f"{row['mean'][s]:.3f} ± {row['sd'][s]:.3f}" for s in ("ari_usage", "ari_umap")]
    assert all(text in line for text in expected)
    assert line.endswith("0.7894 (umap)")
    settings = summary[["study", "method", "k", "alpha"]].drop_duplicates()
    assert len(lines) == 2 + len(settings)
    assert sum(line.startswith("simulation_beta8") for line in lines) == 1
    assert all(line == line.rstrip() for line in lines)


def test_the_target_score_stands_among_the_scores(scores):
    renamed = scores.query("study == 'mouse' and method == 'bcnmf'").replace(
        {"score": {"ari_usage": "ari_target_score", "ari_umap": "share_above"}}
    )
    table = summarise(renamed, LABELS)
    assert "ari target score" in scores_text_table(table).splitlines()[0]
    assert study_table(table).columns[3:5] == ["Something new, share", "ARI target score"]


def test_text_table_of_methods_without_shares(scores):
    table = summarise(scores.query("study == 'mouse' and method == 'pca'"))
    assert "usage share" not in scores_text_table(table).splitlines()[0]


def test_mean_sd():
    assert mean_sd(0.98765, 0.0123) == "0.988 ± 0.012"
    assert mean_sd(0.5, float("nan")) == "0.500"
    assert mean_sd(-0.0004, 0.0) == "0.000 ± 0.000"
    assert mean_sd(-0.25, float("nan"), 2) == "−0.25"
    assert mean_sd(float("nan"), float("nan")) == "–"


def test_automatic_alphas_that_differ_between_replicates_keep_a_row_each():
    summary = summarise(mouse_scores())
    chosen = summary["method"] == "cpca_auto"
    ranks = {"1.23456": "auto1", "4.8": "auto2", "22.1": "auto3"}
    summary.loc[chosen, "alpha_setting"] = summary.loc[chosen, "alpha_setting"].replace(ranks)
    summary.loc[chosen, "alpha"] = np.nan
    rows = study_table(summary).rows
    assert [row[2].text for row in rows if row[0].text == "cpca_auto"] == [
        "auto 1", "auto 2", "auto 3",
    ]  # fmt: skip
    assert re.findall(r"auto (\d)", scores_text_table(summary)) == ["1", "2", "3"]


def test_a_number_that_cannot_be_is_no_result_on_the_page_or_the_terminal(tmp_path, scores):
    summary = summarise(scores, LABELS)
    place = summary.index[(summary["method"] == "nmf") & (summary["score"] == "ari_usage")][0]
    summary.loc[place, "mean"] = -881900.0
    chosen = (summary["method"] == "bcnmf") & (summary["study"] == "mouse")
    summary.loc[chosen, "remark"] = "worse than one topic (-35), 1 of 4 runs"
    page = Page(make(tmp_path, scores, summary))
    said = scores_text_table(summary)
    assert "cannot be (-8.82e+05)" in page.text()
    assert "cannot be (-8.82e+05)" in said
    assert "−881900" not in page.text() + said
    assert "NOTE: worse than one topic (-35), 1 of 4 runs" in page.text()
    assert "NOTE mouse, bcNMF, K=15: worse than one topic (-35), 1 of 4 runs" in said
    assert mean_sd(float("inf"), 0.0) == "cannot be (inf)"
