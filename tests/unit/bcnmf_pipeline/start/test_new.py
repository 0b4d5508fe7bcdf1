import sys
from pathlib import Path

from bcnmf_pipeline.start import new
from readme import block


def install(root, monkeypatch):
    """Make a folder look like a checkout after `make setup`, in which the programs run."""
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "snakemake"):
        (programs / name).touch()
    monkeypatch.setattr(new, "ROOT", root)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))


def test_the_line_to_run_is_that_of_the_readme(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert new.run_line(Path("mine.yaml")) == block("bash").splitlines()[-1]


def test_the_line_to_run_works_from_another_folder(tmp_path, monkeypatch):
    install(tmp_path / "a clone", monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert new.run_line(Path("mine.yaml")) == (
        f"'a clone/.venv/bin/snakemake' --snakefile '{tmp_path}/a clone/Snakefile' "
        "--configfile mine.yaml --cores 4"
    )
