"""README's section on one's own data names the columns and options that there are."""

import re
import shlex

import pytest
import yaml

from bcnmf_pipeline.cli import _NEW_EXAMPLES
from bcnmf_pipeline.cli import _parser as pipeline_parser
from bcnmf_pipeline.plan.sheets import load_yaml
from bcnmf_pipeline.plan.studies import load_studies
from conftest import ROOT
from readme import block, own_data_section

SCHEMAS = ROOT / "workflow" / "schemas"
SCHEMA = load_yaml(SCHEMAS / "studies.schema.yaml")


def rows_of_table():
    """Return (columns, option) of each row of the table of further columns."""
    lines = re.findall(r"^\| (`.*?) \| (.*?) ?\| .* \|$", own_data_section(), re.M)
    return [(re.findall(r"`(\w+)`", names), option.strip("` ")) for names, option in lines]


def test_the_table_has_every_column_of_the_schema_once():
    named = [name for names, _ in rows_of_table() for name in names]
    assert sorted(named) == sorted(set(SCHEMA["properties"]) - set(SCHEMA["required"]))


@pytest.mark.parametrize(
    ("column", "option"), [(names[0], option) for names, option in rows_of_table() if option]
)
def test_an_option_of_the_table_fills_its_column(column, option):
    given = pipeline_parser().parse_args(["new", "mine", *shlex.split(option)])
    assert vars(given)[column] == shlex.split(option)[1]


def commands():
    text = own_data_section()
    lines = block("bash").splitlines() + re.findall(r"`(\.venv/bin/bcnmf-pipeline [^`]*)`", text)
    lines += _NEW_EXAMPLES.replace("\\\n", "").splitlines()
    return [line.split("#")[0].strip() for line in lines if "bcnmf-pipeline" in line]


@pytest.mark.parametrize("command", commands())
def test_each_command_can_be_read(command):
    pipeline_parser().parse_args(shlex.split(command)[1:])


def test_there_are_commands():
    assert len(commands()) >= 7


def test_the_sheet_by_hand_is_one(tmp_path):
    (tmp_path / "mine.tsv").write_text(block(""))
    (row,) = load_studies(tmp_path / "mine.tsv", SCHEMAS).values()
    settings = yaml.safe_load(block("yaml"))
    assert settings["studies"] == [row["study"]]
    assert settings["sheets"] == {"studies": "mine.tsv"}
