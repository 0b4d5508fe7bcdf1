"""YAML: no key twice, texts that stay texts, and faults with their lines."""

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.yaml_loader import line_of, load_yaml, parse_yaml

PLAIN = [
    ("no", "no"), ("Yes", "Yes"), ("off", "off"), ("010", "010"), ("1_000", "1_000"),
    ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("1e-5", 1e-5), ("1E5", 1e5), (".5", 0.5),
    ("-3", -3), ("0", 0), ("true", True), ("FALSE", False), ("", None), ("~", None),
    ("null", None), ("'null'", "null"), ("'1'", "1"), ("NA", "NA"), ("1.0", 1.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), PLAIN)
def test_scalars_are_what_they_look_like(text, value):
    found = parse_yaml(f"key: {text}", "here")["key"]
    assert (found, type(found)) == (value, type(value))


FAULTS = [
    ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key 'a' stands in line 1 already; keep one"),
    ("a:\n  b: 1\n  b: 1\n", "line 3, column 3: the key 'b' stands in line 2 already"),
    ("a: [{b: 1, b: 2}]", "line 1, column 12: the key 'b' stands in line 1 already"),
    ('{"a": 1,\n\t"a": 2}', "line 2, column 9: the key 'a' stands in line 1 already"),
    ("a: 1\n2: b\n", "line 2, column 1: the key 2 is no text; put it into quotes"),
    ("true: b\n", "line 1, column 1: the key True is no text"),
    ("a:\n\tb: 1\n", r"line 2, column 1: found character .* indent with blanks, not with tabs"),
    ("a: &x [*x]\n", "line 1, column 4: .*recursive"),
    ("a: &x {b: *x}\n", "line 1, column 4: .*recursive"),
    ("a: [1\n", "line 2, column 1: expected ',' or ']'"),
    ("a: !!python/name:os.system\n", "line 1, column 4: could not determine a constructor"),
    ("a: 1\n---\nb: 2\n", "line 2, column 1: but found another document"),
    ("a: \x07\n", "not valid YAML: unacceptable character"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_faults_have_their_place(text, message):
    with pytest.raises(InputError, match=f"^here: not valid YAML: .*{message}|^here: {message}"):
        parse_yaml(text, "here")


def test_anchors_and_merged_keys_may_be_used():
    text = "base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}\nlist: &l [1]\nagain: *l\n"
    found = parse_yaml(text, "here")
    assert found["mine"] == {"a": 1, "b": 3}
    assert found["again"] == [1]


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"", "holds nothing; expected `key: value` lines"), (b"name:mine", "holds str; expected"),
     (b"- 1", "holds list; expected"), (b"name: \xe4", "line 1, character 7: byte 0xE4 is no UTF")],
)  # fmt: skip
def test_a_file_that_is_no_mapping_is_told(tmp_path, raw, message):
    (tmp_path / "a.yaml").write_bytes(raw)
    with pytest.raises(InputError, match=rf"a\.yaml: {message}"):
        load_yaml(tmp_path / "a.yaml")


def test_lines_of_keys_and_of_members_of_lists(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb:\n  c:\n    - 1\n    - x: 2\n")
    places = {("a",): 1, ("b", "c"): 3, ("b", "c", 1): 5, ("b", "c", 1, "x"): 5, ("b", "d"): None}
    assert {place: line_of(path, place) for place in places} == places
    assert line_of(path, ("b", "c", 7)) is None
    assert line_of(path, ("a", "z")) is None
