"""The report in a browser: headless Chromium runs a script in the page and prints what it saw."""

import re

import numpy as np
import pandas as pd
import pytest

from axe import axe_script, browser
from bcnmf_pipeline.report.answer import answer_of
from bcnmf_pipeline.report.evidence import evidence_of
from bcnmf_pipeline.report.explorer import explorer_json, top_values
from bcnmf_pipeline.report.page import StudyDetails, write_report
from bcnmf_pipeline.report.topic_words import topics_of
from browser import seen
from plot_tables import mouse_scores, study_tables, summarise
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

pytestmark = pytest.mark.slow

LABELS = {"pca": "PCA", "nmf": "NMF", "cpca_auto": "cPCA", "bcnmf": "bcNMF"}
HOSTILE = "</script><img src=x onerror=alert(1)>"


def samples_of(n):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "method": "bcnmf", "k": 3, "alpha": 1.0, "replicate": 0, "seed": 0,
            "sample": [f"cell{i}" for i in range(n)],
            "label": np.where(np.arange(n) % 2, "treated", HOSTILE), "unit": "",
            "umap_1": rng.normal(size=n), "umap_2": rng.normal(size=n),
        }
    )  # fmt: skip
    return table.assign(**{f"usage_{k}": rng.random(n) for k in (1, 2, 3)})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two studies: the mice, and one with ten thousand samples."""
    browser()  # Or the tests are skipped.
    folder = tmp_path_factory.mktemp("browser")
    tables, scores = study_tables(seeds=2), mouse_scores(3)
    samples = tables["samples"]
    samples["target_score"] = samples["usage_1"].where(samples["method"].isin(["nmf", "bcnmf"]))
    names = tables["samples"]["sample"].unique()
    genes = top_values(["DYRK1A_N"], np.arange(float(len(names)))[:, None], ["DYRK1A_N"], names)
    label = samples.drop_duplicates("sample").set_index("sample")["label"]
    fit, topics = topics_of(
        tables["topics"], tables["loadings"], method="bcnmf", samples=samples,
        columns={"Genotype": label},
    )  # fmt: skip
    mouse = {"study": "mouse", "title": "Mice", "label": "Genotype", "unit": "mouse"}
    groups = {("Genotype", name): (60, 135, 0.36, 0.53) for name in ("Control", HOSTILE)}
    shares = shares_of("mouse", groups) + shares_of("mouse", {}, method="classifier")
    picture = figure_of(folder / "figures", "mouse", "answer", caption_file=CAPTIONS / "scores.rst")
    picture["png"].write_bytes(tiny_png(2150, 1500))
    evidence = {
        "programs": programs_of([0.002, *([0.5] * 30)]),
        "null": null_of("Refits with mice exchanged between the sides explain as much (p = 0.4)."),
        "diagnosis": diagnosis_of((1, "share", "fault"), (0, "confounded", "batch")),
    }
    mice = StudyDetails(
        fit, topics, LABELS, "by loading",
        explorer=explorer_json(
            tables["samples"], None, genes, study="mouse", labels=LABELS, label_name="Genotype",
            unit="mouse",
        ),
        answer=answer_of(pd.DataFrame(shares), mouse, "bcnmf"), with_sets=True,
        evidence=evidence_of(evidence, "bcnmf", "mouse", topics),
    )  # fmt: skip
    others = [
        {"study": "leukemia", "method": "bcnmf", "score": f"score_{place}", "value": "0.591",
         "source": "arXiv", "verdict": "not run", "why": "the study is not in this run"}
        for place in range(30)
    ]  # fmt: skip
    large = StudyDetails(explorer=explorer_json(samples_of(10_000), study="large"))
    tsv = folder / "scores.tsv"
    tsv.write_text("a\tb\n1\t2\n")
    path = folder / "report.html"
    write_report(
        path, config_name="test", title=f"A run {HOSTILE}", scores=scores,
        summary=summarise(scores, LABELS),
        figures=[figure_of(folder / "figures", "mouse", "scores"), picture],
        provenance={"versions": {"python": "3.11"}},
        studies=[
            mouse,
            {"study": "large", "title": "Ten thousand", "label": "label"},
        ],
        warnings=[], tables={"Scores": tsv}, details={"mouse": mice, "large": large},
        methods_text="Fitted were things.", reproduced=reproduced_of(scores, LABELS, others),
    )  # fmt: skip
    return path


def test_it_loads_without_errors_or_requests(report):
    answer, console = seen(
        report,
        "tell({images: [...document.images].every((i) => i.complete && i.naturalWidth > 0),"
        " n: document.images.length,"
        " requests: performance.getEntriesByType('resource').filter("
        "   (r) => !r.name.startsWith('data:')).map((r) => r.name),"
        " title: document.querySelector('h1').textContent,"
        " strangers: document.querySelectorAll('img[src=x]').length});",
    )
    assert console == []
    assert answer == {
        "images": True, "n": 2, "requests": [], "title": f"A run {HOSTILE}", "strangers": 0,
    }  # fmt: skip


FIRST = (
    "const box = (name) => { const b = document.querySelector(name).getBoundingClientRect();"
    " return [b.top, b.bottom, b.left, b.right].map(Math.round); };"
    "tell({headline: box('.headline'), picture: box('.answer img'), words: box('.answer .words'),"
    " programs: box('.programs'), warnings: box('#warnings'), height: innerHeight,"
    " over: document.documentElement.scrollWidth - innerWidth, text:"
    " document.querySelector('.headline').textContent});"
)


def test_the_first_screen_is_the_answer(report):
    answer, _ = seen(report, FIRST, width=1400)
    assert answer["text"].startswith("50 of 100 target samples hold something that the background")
    _, bottom, left, _ = answer["picture"]
    assert bottom <= answer["height"]
    # Words and picture side by side.
    assert max(answer["headline"][3], answer["words"][3]) <= left
    assert max(answer["headline"][1], answer["words"][1]) <= answer["height"]
    assert bottom <= answer["programs"][0] < answer["height"]
    assert answer["programs"][1] < answer["warnings"][0]


def test_on_a_telephone_the_answer_is_the_first_screen_too(report):
    answer, console = seen(report, FIRST, width=400)
    assert console == []
    assert answer["over"] <= 0
    assert answer["headline"][1] < answer["picture"][0] < answer["height"] / 2
    assert answer["picture"][1] <= answer["words"][0] < answer["programs"][0]
    # Rows of the table stand one below the other, no wider than the screen.
    assert answer["programs"][3] <= 400


@pytest.mark.parametrize("width", [400, 800, 1400])
def test_how_sure_fits_the_page_and_long_tables_scroll_below_their_header(report, width):
    answer, console = seen(
        report,
        "const tests = document.querySelector('#table-tests-1').parentElement;"
        "const head = document.querySelector('#table-tests-1 thead th');"
        "tests.scrollTop = 300;"
        "document.querySelector('details:has(#table-not-compared)').open = true;"
        "const rest = document.querySelector('#table-not-compared').parentElement;"
        "const place = (element) => element.getBoundingClientRect();"
        "tell({over: document.documentElement.scrollWidth - innerWidth,"
        " scrolled: tests.scrollTop, high: [tests, rest].map((one) => place(one).height),"
        " header: Math.round(place(head).top - place(tests).top),"
        " remedy: getComputedStyle(document.querySelector('.remedy'), '::before').content});",
        width=width,
    )
    assert console == []
    assert answer["over"] <= 0
    assert answer["scrolled"] == 300
    assert max(answer["high"]) <= 40 * 16 + 2
    assert answer["header"] == 0
    assert "→" in answer["remedy"]


def test_tables_sort_and_say_so(report):
    answer, _ = seen(
        report,
        "const all = document.querySelector('#table-study-1');"
        "const place = [...all.tHead.rows[0].cells].findIndex((c) => c.textContent === 'ARI UMAP');"
        "const button = all.tHead.rows[0].cells[place].firstElementChild;"
        "const read = () => [...all.tBodies[0].rows].map("
        " (r) => Number(r.cells[place].dataset.sort));"
        "button.click(); const up = read(); const first = button.parentElement.ariaSort;"
        "button.click(); const down = read();"
        "tell({up, down, first, second: button.parentElement.ariaSort, tag: button.tagName});",
    )
    assert answer["up"] == sorted(answer["up"])
    assert answer["down"] == sorted(answer["down"], reverse=True)
    assert len(set(answer["up"])) > 3
    assert (answer["first"], answer["second"]) == ("ascending", "descending")
    assert answer["tag"] == "BUTTON"


def test_a_filter_leaves_the_rows_that_hold_all_words(report):
    answer, _ = seen(
        report,
        "const box = document.querySelector('#table-study-1-filter');"
        "const table = document.getElementById(box.dataset.table);"
        "box.value = 'cpca 22'; box.dispatchEvent(new Event('input'));"
        "const rows = [...table.tBodies[0].rows].filter((r) => r.offsetParent !== null);"
        "tell({texts: rows.map((r) => r.textContent), all: table.tBodies[0].rows.length,"
        " said: box.parentElement.querySelector('output').textContent});",
    )
    assert 0 < len(answer["texts"]) < answer["all"]
    assert all("cpca" in text.lower() and "22" in text for text in answer["texts"])
    assert answer["said"] == f"{len(answer['texts'])} of {answer['all']} rows"


PIXELS = (
    "const explorer = document.querySelectorAll('.explorer')[0].explorer;"
    "const canvas = explorer.canvas;"
    "const pixels = () => { const d = canvas.getContext('2d').getImageData("
    " 0, 0, canvas.width, canvas.height).data; let n = 0, sum = 0;"
    " for (let i = 0; i < d.length; i += 4) if (d[i + 3]) { n++; sum += d[i] + 3 * d[i + 1]; }"
    " return [n, sum]; };"
)


def test_the_map_reacts_to_colour_map_zoom_and_legend(report):
    answer, console = seen(
        report,
        PIXELS + "const start = pixels();"
        "const names = [...explorer.colourSelect.options].map((o) => o.textContent);"
        "const choose = (name) => { explorer.colourSelect.value = names.indexOf(name);"
        " explorer.colourSelect.dispatchEvent(new Event('change')); };"
        "const map = explorer.root.querySelector('select'); map.value = '1';"
        "map.dispatchEvent(new Event('change'));"
        "const scored = [...explorer.colourSelect.options].map((o) => o.textContent);"
        "explorer.colourSelect.value = scored.indexOf('target score');"
        "explorer.colourSelect.dispatchEvent(new Event('change'));"
        "const score = [pixels()[1], explorer.keys.querySelectorAll('.ramp').length];"
        "explorer.colourSelect.value = 0;"
        "explorer.colourSelect.dispatchEvent(new Event('change')); map.value = '0';"
        "map.dispatchEvent(new Event('change'));"
        "choose('Topic 1'); const topic = pixels(); const ramps ="
        " explorer.keys.querySelectorAll('.ramp').length;"
        "choose('gene DYRK1A_N'); const gene = pixels(); choose('Genotype');"
        "explorer.keys.querySelector('button').click(); const off = pixels();"
        "const pressed = explorer.keys.querySelector('button').getAttribute('aria-pressed');"
        "explorer.keys.querySelector('button').click(); const on = pixels();"
        "canvas.dispatchEvent(new KeyboardEvent('keydown', {key: '+'})); const zoomed = pixels();"
        "canvas.dispatchEvent(new KeyboardEvent('keydown', {key: '0'})); const whole = pixels();"
        "map.value = '3';"
        "map.dispatchEvent(new Event('change')); const other = pixels();"
        "tell({start, topic, ramps, gene, off, on, pressed, zoomed, whole, other, names,"
        " scored, score});",
    )
    assert console == []
    assert answer["names"][:3] == ["Genotype", "mouse", "Component 1"]
    assert answer["scored"][:4] == ["Genotype", "mouse", "target score", "Topic 1"]
    assert answer["score"][0] != answer["start"][1]
    assert answer["score"][1] == 1
    for change in ("gene", "off", "zoomed", "other"):
        assert answer[change] != answer["start"], change
    assert answer["pressed"] == "false"
    assert answer["off"][0] < 0.8 * answer["start"][0]
    assert answer["on"] == answer["whole"] == answer["start"]


def test_hovering_names_the_sample_and_its_strongest_topic(report):
    answer, _ = seen(
        report,
        PIXELS + "const [x, y] = explorer.point(5); const box = canvas.getBoundingClientRect();"
        "const at = (dx) => canvas.dispatchEvent(new PointerEvent('pointermove',"
        " {clientX: box.left + x + dx, clientY: box.top + y}));"
        "at(0); const tip = explorer.root.querySelector('.tip');"
        "const said = [...tip.children].map((c) => c.textContent);"
        "canvas.dispatchEvent(new PointerEvent('pointerleave'));"
        "tell({said, gone: tip.hidden, name: explorer.data.samples[5]});",
    )
    assert answer["gone"] is True
    assert len(answer["said"]) == 4
    assert answer["said"][1].startswith("Genotype: ")
    assert re.fullmatch(r"strongest: (Topic|Component) \d+ .*", answer["said"][3])


def test_ten_thousand_samples_are_drawn_fast_enough_to_drag(report):
    """Seconds are no measure: they stand still in the page (its time is virtual)."""
    answer, _ = seen(
        report,
        "const explorer = document.querySelectorAll('.explorer')[1].explorer;"
        "const calls = {}; const context = CanvasRenderingContext2D.prototype;"
        "for (const name of ['fillRect', 'arc', 'fill', 'stroke', 'drawImage']) {"
        " const own = context[name]; calls[name] = 0;"
        " context[name] = function (...all) { calls[name]++; return own.apply(this, all); }; }"
        "explorer.draw(); const drawn = {...calls};"
        "for (let i = 0; i < 10; i++) explorer.hover(100 + i, 100);"
        "tell({n: explorer.data.n, drawn, hovered: calls, fills: new Set(explorer.fill).size});",
    )
    assert answer["n"] == 10_000
    # A rectangle a sample, which costs a tenth of a circle, and the same few colours.
    assert answer["drawn"] == {"fillRect": 10_000, "arc": 0, "fill": 0, "stroke": 0, "drawImage": 0}
    assert answer["fills"] <= 256
    assert answer["hovered"] == answer["drawn"]


def test_it_can_be_dark_and_fits_a_telephone(report):
    script = (
        "const box = (name) => document.querySelector(name).getBoundingClientRect();"
        "const range = document.createRange();"
        "range.selectNodeContents(document.querySelector('h1'));"
        "const title = [...range.getClientRects()]; const button = box('.theme');"
        "const covered = title.some((line) => line.right > button.left && line.left < button.right"
        " && line.bottom > button.top && line.top < button.bottom);"
        "const back = () => getComputedStyle(document.body).backgroundColor; const before = back();"
        "document.querySelector('.theme').click(); const after = back();"
        "tell({before, after, covered, over: document.documentElement.scrollWidth - innerWidth,"
        " width: innerWidth});"
    )
    answer, _ = seen(report, script, width=500)
    assert answer["before"] != answer["after"]
    assert answer["over"] <= 0
    assert answer["covered"] is False


def test_everything_that_acts_is_reached_by_the_keyboard(report):
    answer, _ = seen(
        report,
        "const acts = [...document.querySelectorAll('a[href], button, input, select, canvas,"
        " summary, .scroll')];"
        "const shown = acts.filter((a) => a.offsetParent !== null);"
        "const lost = shown.filter((a) => a.tabIndex < 0).map((a) => a.outerHTML.slice(0, 80));"
        "const bare = [...document.querySelectorAll('input, select')].filter("
        " (a) => !a.labels.length).length;"
        "tell({lost, bare, n: shown.length, skip: document.querySelector('.skip').hash});",
    )
    assert answer["lost"] == []
    assert answer["bare"] == 0
    assert answer["n"] > 20
    assert answer["skip"] == "#main"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_nothing_with_all_sections_open(report, width, dark):
    answer, _ = seen(
        report,
        f"{axe_script()};"
        "for (const one of document.querySelectorAll('details')) one.open = true;"
        "const dark = matchMedia('(prefers-color-scheme: dark)').matches;"
        "axe.run().then((found) => tell({dark, passed: found.passes.map((rule) => rule.id),"
        " wrong: found.violations.flatMap((rule) => rule.nodes.map((node) =>"
        " `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))}));",
        width=width,
        dark=dark,
    )
    assert answer["wrong"] == []
    assert answer["dark"] is dark
    # It did look: at colours, names, tables and what scrolls.
    passed = {"color-contrast", "button-name", "scope-attr-valid", "scrollable-region-focusable"}
    assert passed <= set(answer["passed"])


def test_where_the_keyboard_is_can_be_seen(report):
    answer, _ = seen(
        report,
        "for (const one of document.querySelectorAll('details')) one.open = true;"
        "const acts = [...document.querySelectorAll('a[href], button, input, select, canvas,"
        ' summary, .scroll, .paper[tabindex="0"]\')].filter((a) => a.offsetParent !== null);'
        "const line = (a) => { a.focus({focusVisible: true}); const look = getComputedStyle(a);"
        " return document.activeElement === a && look.outlineStyle !== 'none' &&"
        " parseFloat(look.outlineWidth) >= 2; };"
        "const papers = acts.filter((a) => a.matches('.paper')).length;"
        "tell({papers, n: acts.length, unseen: acts.filter((a) => !line(a))"
        ".map((a) => a.outerHTML.slice(0, 80))});",
        width=400,
    )
    assert answer["unseen"] == []
    assert answer["n"] > 20
    # The large picture is wider than a telephone, the others are not.
    assert answer["papers"] == 1


def test_on_paper_it_is_light_and_nothing_scrolls(report):
    """The rules for print, applied to the screen."""
    answer, _ = seen(
        report,
        "for (const rule of document.styleSheets[0].cssRules)"
        " if (rule.media && rule.media.mediaText === 'print') rule.media.mediaText = 'all';"
        "document.documentElement.dataset.theme = 'dark';"
        "const shown = (name) => [...document.querySelectorAll(name)].some("
        " (one) => getComputedStyle(one).display !== 'none');"
        "tell({page: getComputedStyle(document.body).backgroundColor,"
        " tools: ['nav', '.theme', '.filter', '.explorer'].filter(shown),"
        " cut: [...document.querySelectorAll('.scroll, .paper')].filter("
        "   (one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML),"
        " over: document.documentElement.scrollWidth - innerWidth});",
        width=700,
    )
    assert answer == {"page": "rgb(255, 255, 255)", "tools": [], "cut": [], "over": 0}


def test_tables_can_be_had_from_the_file_alone(report):
    answer, _ = seen(
        report,
        "const link = document.querySelector('a[download=\"scores.tsv\"]');"
        "const text = atob(link.href.split(',')[1]); tell({text});",
    )
    assert answer["text"] == "a\tb\n1\t2\n"
