"""The workflow as a module of another one, which has its own configuration, data and prefix."""

import json
import shutil
import subprocess

import pytest
import snakemake
import yaml

from conftest import ROOT, TINY, Workflow, copy_repository

# What differs from the defaults, and no more.
PARTIAL = {
    "name": "topics",
    "studies": ["simulation_beta8"],
    "methods": ["pca"],
    "replicates": {"simulation": 1},
    "simulation": TINY["simulation"],
}
PARENT = """
configfile: "config/config.yaml"

module bcnmf:
    snakefile: {snakefile}
    config: config["bcnmf"]
    prefix: "contrast"

use rule * from bcnmf as bcnmf_*
"""
LOCAL = repr(str(ROOT / "Snakefile"))
SCORES = "contrast/results/topics/tables/studies/simulation_beta8.scores.tsv"


@pytest.fixture
def parent(tmp_path):
    """Return what makes a parent workflow in an empty folder."""

    def make(settings=PARTIAL, snakefile=LOCAL, more=""):
        (tmp_path / "config").mkdir()
        own = {"samples": "samples.tsv", "bcnmf": settings}
        (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(own))
        (tmp_path / "Snakefile").write_text(PARENT.format(snakefile=snakefile) + more)
        return Workflow(tmp_path, tmp_path)

    return make


def test_defaults_stand_under_the_configuration_of_the_parent(parent):
    done = parent()("-n", "bcnmf_all", "bcnmf_quick")
    assert done.returncode == 0, done.output
    assert "contrast/results/quick/report.html" in done.output
    assert "rule bcnmf_report:" in done.output
    for made in (SCORES, "contrast/results/topics/report.html"):
        assert made in done.output
    # Seeds, which the parent does not give, are those of config/config.yaml.
    fit = "wildcards: config=topics, study=simulation_beta8, replicate=0, part=0"
    assert fit in done.output
    assert "config=topics, study=mouse" not in done.output


def test_a_misspelt_key_of_the_parent_is_named(parent):
    done = parent(PARTIAL | {"sudies": ["mouse"]})("-n", "bcnmf_all")
    assert done.returncode != 0
    assert "unknown key `sudies` (did you mean 'studies'?)" in done.output


def test_data_may_come_from_a_rule_of_the_parent(parent, tmp_path):
    """Its path has no prefix, and it is checked when it is there."""
    sheet = (ROOT / "config" / "studies.tsv").read_text()
    lines = [line for line in sheet.splitlines() if not line.startswith("#")]
    row = dict.fromkeys(lines[0].split("\t"), "")
    row |= {
        "study": "mine", "group": "mine", "title": "Mine", "dataset": "prepared/cells.h5ad",
        "target": "treated=yes", "background": "treated=no", "label": "kind", "values": "log",
        "panels": "scores",
    }  # fmt: skip
    workflow = parent(
        PARTIAL | {"studies": ["mine"], "sheets": {"studies": "samples/pairs.tsv"}},
        more='\nrule prepare:\n    output: "prepared/cells.h5ad"\n    shell: "touch {output}"\n',
    )
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "pairs.tsv").write_text(
        "\n".join([lines[0], "\t".join(row.values())]) + "\n"
    )
    done = workflow("-n", "bcnmf_all")
    assert done.returncode == 0, done.output
    assert "rule prepare:" in done.output
    assert "input: prepared/cells.h5ad" in done.output
    assert "contrast/prepared" not in done.output
    assert "output: contrast/results/topics/pairs/mine/0/target.h5ad" in done.output


def test_a_hosted_workflow_brings_its_library_along(parent, tmp_path):
    """`github(...)` runs from a clone in Snakemake's cache; put there, nothing is fetched."""
    copy = copy_repository(tmp_path / "copy")
    with (copy / "workflow/bcnmf_pipeline/record/made_with.py").open("a") as library:
        library.write('\n\ndef versions():\n    return {"library": "hosted"}\n')
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(copy)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True)
    cache = tmp_path / ".cache" / "snakemake" / "snakemake" / "source-cache"
    clone = cache / "snakemake-git-cache" / "github.com" / "someone" / "bcnmf"
    subprocess.run([*git, "clone", "-q", "--bare", ".", str(clone)], check=True)
    shutil.rmtree(copy)

    hosted = 'github("someone/bcnmf", path="Snakefile", tag="v1")'
    workflow = parent(snakefile=hosted)
    fits = "contrast/results/topics/fits/simulation_beta8/0"
    targets = [f"{fits}/fits_0.json", "contrast/results/topics/provenance.json"]
    # Not this repository's profile, which keeps that cache for one run alone.
    targets += ["--workflow-profile", "none"]
    done = workflow(*targets)
    assert done.returncode == 0, done.output
    assert (tmp_path / fits / "pca" / "k2_alphanone_seed0.npz").stat().st_size > 0
    record = json.loads((tmp_path / "contrast/results/topics/provenance.json").read_text())
    defaults = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    # Not what is installed, but for Snakemake, which runs all.
    assert record["versions"] == {"library": "hosted", "snakemake": snakemake.__version__}
    assert record["configuration"] == defaults | PARTIAL | {
        "replicates": defaults["replicates"] | PARTIAL["replicates"]
    }
    assert not (tmp_path / "results").exists()
    again = workflow(*targets, "-n")
    assert "Nothing to be done" in again.output


@pytest.mark.long
def test_the_report_of_a_module_is_complete(parent, tmp_path):
    done = parent(PARTIAL | {"methods": ["bcnmf"]})("bcnmf_all")
    assert done.returncode == 0, done.output
    assert len((tmp_path / SCORES).read_text().splitlines()) > 1
    report = (tmp_path / "contrast/results/topics/report.html").read_text()
    assert "Scores against beta" in report
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".cache", ".snakemake", "Snakefile", "config", "contrast",
    ]  # fmt: skip
