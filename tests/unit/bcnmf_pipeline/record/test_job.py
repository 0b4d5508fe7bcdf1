"""What a script of the workflow leaves in its log."""

import time
from types import SimpleNamespace

import pytest

from bcnmf import progress
from bcnmf.errors import InputError
from bcnmf_pipeline.record.job import logged


@pytest.fixture
def job(tmp_path):
    return SimpleNamespace(log=[str(tmp_path / "logs" / "fit.log")], rule="fit")


def test_what_takes_long_is_told_in_the_log_alone(job, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_IN_SILENCE", 0.1)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN", 0.1)
    with logged(job):
        print("begun")
        with progress.doing("fitting"):
            time.sleep(1.5)
    with open(job.log[0]) as log:
        lines = log.read().splitlines()
    assert "begun" in lines
    assert any(line.startswith("fit, fitting  0:0") for line in lines)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_what_cannot_be_used_ends_the_job_with_its_message(job, capsys):
    with pytest.raises(SystemExit) as ended, logged(job):
        raise InputError("no such column")
    assert ended.value.code == 1
    with open(job.log[0]) as log:
        assert "ERROR in rule fit: no such column" in log.read()
    assert "ERROR in rule fit: no such column" in capsys.readouterr().err
