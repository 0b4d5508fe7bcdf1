"""`snakemake --report`: a front page, and the figures by study."""

import yaml

from conftest import ROOT


def test_the_report_has_a_front_page_and_the_figures_by_study(tiny_run, tmp_path):
    page = tmp_path / "report.html"
    done = tiny_run(
        "all", "--configfile", str(tiny_run.folder / "tiny.yaml"), "--report", str(page)
    )
    assert done.returncode == 0, done.output
    text = page.read_text()
    assert "finds topics that vary in a target but not in a background" in text
    assert "every study of the configuration tiny" in text
    for study in ("simulation_beta0", "simulation_beta8", "simulation"):
        assert f'"{study}"' in text  # the category
        for figure in (tiny_run.folder / "results/tiny/figures" / study).glob("*.png"):
            assert f"results/tiny/figures/{study}/{figure.name}" in text


def test_the_catalogue_says_how_to_run_it():
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert entry["software-stack-deployment"]["conda"] is True
    assert entry["report"] is True
    assert 'report: "workflow/report/workflow.rst"' in (ROOT / "Snakefile").read_text()
