"""Settings and sheets: every fault is named, with what is allowed."""

from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import check_settings, load_sheet, load_yaml, merge, read_sheet

ROOT = Path(__file__).resolve().parents[4]
SCHEMAS = ROOT / "workflow" / "schemas"


@pytest.fixture
def settings():
    return load_yaml(ROOT / "config" / "config.yaml")


def check(settings):
    check_settings(settings, load_yaml(SCHEMAS / "config.schema.yaml"), "my.yaml")


def test_the_configurations_of_the_repository_are_valid(settings):
    check(settings)
    check(merge(settings, load_yaml(ROOT / "config" / "quick.yaml")))


FAULTS = [
    ({"sedes": 3}, r"unknown key `sedes` \(did you mean 'seeds'\?\); allowed: answer, compute,"),
    ({"compute": {"devise": "cpu"}}, r"unknown key `compute\.devise` \(did you mean 'device'\?\)"),
    (
        {"compute": {"device": "gpu"}},
        r"`compute\.device`: found 'gpu'; allowed: .* auto, cpu, cu",
    ),
    ({"seeds": {"default": [-1]}}, r"`seeds\.default\.0`: -1 is less than the minimum of 0"),
    ({"seeds": {"default": [1, 1]}}, "non-unique"),
    ({"studies": []}, "`studies`"),
    ({"name": "../up"}, "`name`: .*letters, digits, _ and -"),
    (
        {"simulation": {"n_genes": "many"}},
        r"`simulation\.n_genes`: found 'many'; expected a whole",
    ),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_faulty_key_is_named(settings, change, message):
    with pytest.raises(InputError, match=message) as caught:
        check(merge(settings, change))
    assert str(caught.value).startswith("my.yaml: ")


def test_a_missing_key_is_named_and_all_faults_come_at_once(settings):
    del settings["mirror"]
    settings["extra"] = 1
    with pytest.raises(InputError) as caught:
        check(settings)
    assert "`mirror`: is missing or empty" in str(caught.value)
    assert "unknown key `extra`" in str(caught.value)


def test_merge_replaces_lists_and_keeps_its_input():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(base, {"a": {"c": [3]}}, {"d": 2}) == {"a": {"b": 1, "c": [3]}, "d": 2}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


@pytest.mark.parametrize("sheet", ["studies", "methods", "datasets", "reported"])
def test_the_sheets_of_the_repository_are_valid(sheet):
    table = load_sheet(
        ROOT / "config" / f"{sheet}.tsv", load_yaml(SCHEMAS / f"{sheet}.schema.yaml")
    )
    assert len(table.rows)


SHEET = {
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "size": {"type": "string", "pattern": "^[0-9]+$", "description": "a number"},
        "note": {"type": "string"},
    },
    "required": ["name", "size"],
}


def write(tmp_path, text):
    path = tmp_path / "sheet.tsv"
    path.write_text(text)
    return path


def test_comments_blank_lines_and_hashes_in_cells(tmp_path):
    path = write(tmp_path, "# a comment\nname\tsize\tnote\n\na\t1\tno. #1\n# more\nb\t2\t\n")
    table = load_sheet(path, SHEET)
    assert [row["note"] for row in table.rows] == ["no. #1", ""]
    assert read_sheet(path).lines == [4, 6]


def test_a_sheet_that_a_spreadsheet_program_wrote(tmp_path):
    path = tmp_path / "sheet.tsv"
    path.write_bytes(
        b'\xef\xbb\xbf"# a comment, with a comma"\t\t\r\nname\tsize\tnote\r\n'
        b'a\t1\t"low dose, ""x"""\r\n\t\t\r\nb\t2\tit\'s 5" wide\r\n'
    )
    table = load_sheet(path, SHEET)
    assert [row["note"] for row in table.rows] == ['low dose, "x"', "it's 5\" wide"]
    assert table.lines == [3, 5]


SHEET_FAULTS = [
    ("name\tsize\na\tx\n", r"line 2 \('a'\), column size: found 'x'; allowed: a number"),
    (
        "name\tsise\na\t1\n",
        r"unknown column 'sise' \(did you mean 'size'\?\); missing column 'size'",
    ),
    ("name\tsize\na\t1\tb\n", "line 2: 3 cells under 2 columns"),
    ("name\tsize\na\t\n", r"line 2 \('a'\), column size: is missing or empty — a number"),
    ("", "holds no header line"),
]


@pytest.mark.parametrize(("text", "message"), SHEET_FAULTS)
def test_a_faulty_cell_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load_sheet(write(tmp_path, text), SHEET)
    assert "sheet.tsv" in str(caught.value)


def test_missing_files_and_broken_yaml_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.tsv: no such file"):
        load_sheet(tmp_path / "none.tsv", SHEET)
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1")
    with pytest.raises(InputError, match=r"broken\.yaml: not valid YAML"):
        load_yaml(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match=r"list\.yaml: holds list; expected"):
        load_yaml(tmp_path / "list.yaml")
