"""Settings and sheets: every fault is named, with what is allowed."""

from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import (
    check_settings,
    given_settings,
    load_sheet,
    load_yaml,
    merge,
    read_sheet,
)

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


ROWS = [{"name": "a", "size": "1", "note": "Zähne, 3"}, {"name": "b", "size": "2", "note": ""}]
PLAIN = "name\tsize\tnote\na\t1\tZähne, 3\nb\t2\t\n"
FORMS = {
    "UTF-8 with a mark": PLAIN.encode("utf-8-sig"),
    "Excel's Unicode text": PLAIN.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "line ends of old Macs": PLAIN.replace("\n", "\r"),
    "no line end at the end": PLAIN.rstrip("\n"),
    "semicolons": PLAIN.replace("\t", ";"),
    "commas": PLAIN.replace("\t", ",").replace("Zähne, 3", '"Zähne, 3"'),
    "all cells quoted": '"' + PLAIN.rstrip("\n").replace("\t", '"\t"').replace("\n", '"\n"') + '"',
    "blanks at ends": PLAIN.replace("\t", " \t\xa0"),
    "characters without width": PLAIN.replace("a\t", "\u200ba\ufeff\t", 1),
    "capitals in the header": PLAIN.replace("name\tsize", "Name\t SIZE "),
    "empty columns and rows": PLAIN.replace("\n", "\t\t\n") + "\t\t\t\t\n" * 3,
    "comments with quotes": '#\t"a\n# it\'s "b\n' + PLAIN,
    "empty rows before": "\n\t\t\n" + PLAIN,
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_sheet_is_read_as_programs_write_it(tmp_path, text):
    path = tmp_path / "sheet.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert load_sheet(path, SHEET).rows == ROWS


def test_names_of_columns_may_have_blanks(tmp_path):
    path = write(tmp_path, "n Top-Features\nall\n")
    assert read_sheet(path).columns == ["n_top_features"]


def test_a_quoted_cell_may_hold_tabs_quotes_and_lines(tmp_path):
    path = write(tmp_path, 'name\tsize\tnote\na\t1\t"x\ty ""z""\n# no comment"\nb\t2\t"Fast" b\n')
    sheet = load_sheet(path, SHEET)
    assert [row["note"] for row in sheet.rows] == ['x\ty "z"\n# no comment', "Fast b"]
    assert sheet.lines == [2, 4]


SHEET_FAULTS = [
    ('name\tsize\na\t"1\nb\t2\n', "line 2: a cell begins with a quote that is not closed where"),
    ('name\tsize\tnote\na\t1\t"x\nb\t2\t"y\n', "line 2: a cell begins with a quote that is not"),
    ('name\tsize\na\t"1\n' + "x" * 200_000, "line 2: a cell begins with a quote"),
    ("name\tsize\tSize\na\t1\t1\n", "line 1: the column 'size' stands twice; drop one"),
    ("name\tsize\t\tnote\na\t1\tx\t\n", "line 2, cell 3: 'x' stands in a column without a name"),
    ("name;size\na;1;2\n", "line 2: 3 cells under 2 columns; .* a cell that holds semicolons"),
    ("name\tsize\nmi\u200bne\t1\n", r"of which character 3 is '\\u200b' \(ZERO WIDTH SPACE\)"),
    ("name\tsize\n\u201ca\u201d\t1\n", r"character 1 is '\\u201c' \(LEFT DOUBLE QUOTATION MARK\)"),
    ("name\tsize\na\t1.0\n", "column size: found '1.0'; allowed: a number"),
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


def test_all_faults_of_a_sheet_come_at_once(tmp_path):
    path = write(tmp_path, "name\tsize\nA\t1\nb\t2\t3\nc\tx\n")
    with pytest.raises(InputError) as caught:
        load_sheet(path, SHEET)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: cannot be used:"
    assert [line.partition(",")[0].partition(":")[0] for line in lines] == [
        "  - line 3", "  - line 2 ('A')", "  - line 4 ('c')",
    ]  # fmt: skip


def test_what_is_no_sheet_is_told(tmp_path):
    (tmp_path / "mine.numbers").mkdir()
    with pytest.raises(InputError, match=r"mine\.numbers: is a folder, not a sheet"):
        read_sheet(tmp_path / "mine.numbers")
    (tmp_path / "mine.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"mine\.xlsx: is a workbook .*; save it as tab-separated"):
        read_sheet(tmp_path / "mine.xlsx")


GIVEN = [
    ("studies=1", "1"), ("studies=no", "no"), ("studies=a b", "a b"),
    ("studies=[a, b]", ["a", "b"]), ("name=2024", "2024"), ("name=01", "01"),
    ("title=1e5", "1e5"), ("title=Drug: low", "Drug: low"),
    ("mirror=5", "5"), ("mirror=", ""), ("mirror=/a=b", "/a=b"),
    ("seeds={default: [0]}", {"default": [0]}),
    ("compute={device: cpu}", {"device": "cpu"}), ("compute=5", 5), ("other=5", 5),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "value"), GIVEN)
def test_values_of_the_command_line_are_of_the_kind_that_is_asked(entry, value):
    schema = load_yaml(SCHEMAS / "config.schema.yaml")
    assert given_settings([], [entry], schema) == {entry.partition("=")[0]: value}


def test_the_command_line_stands_above_files_and_later_files_above_earlier_ones(tmp_path):
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("compute: {device: cpu, dtype: float32}\nname: one\ntitle: no\n")
    second.write_text("compute: {dtype: float64}\nname: two\n")
    schema = load_yaml(SCHEMAS / "config.schema.yaml")
    assert given_settings([first, second], ["name=three"], schema) == {
        "compute": {"device": "cpu", "dtype": "float64"}, "name": "three", "title": "no",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"--config seeds: .* stands in line 1 already"):
        given_settings([], ["seeds={default: [0], default: [1]}"], schema)


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
