"""`snakemake --report`: a front page, and the figures by study."""

import json
import re

import yaml

from conftest import ROOT


def test_the_report_has_a_front_page_and_the_figures_by_study(tiny_run, tmp_path):
    page = tmp_path / "report.html"
    settings = str(tiny_run.folder / "tiny.yaml")
    done = tiny_run("all", "--configfile", settings, "--report", str(page))
    assert done.returncode == 0, done.output
    text = page.read_text()
    assert "finds topics that a target holds and a background does not" in text
    assert "report of configuration tiny begins with" in text
    found = json.loads(re.search(r"var categories = (\{.*\});", text).group(1))
    shown = {
        (study, path)
        for study, kinds in found.items()
        for paths in kinds.values()
        for path in paths
    }
    figures = (tiny_run.folder / "results/tiny/figures").glob("*/*.png")
    assert shown == {
        (path.parent.name, path.relative_to(tiny_run.folder).as_posix()) for path in figures
    }
    assert shown


def test_the_catalogue_says_how_to_run_it():
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert entry["software-stack-deployment"]["conda"] is True
    assert entry["report"] is True
    assert 'report: "workflow/report/workflow.rst"' in (ROOT / "Snakefile").read_text()
