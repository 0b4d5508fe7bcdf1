"""Schemas: every pattern says in words what it allows, and no error shows one."""

from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.faults import Validator, faults_of_cell, faults_of_key
from bcnmf_pipeline.plan.sheets import check_settings
from bcnmf_pipeline.plan.yaml_loader import load_yaml

ROOT = Path(__file__).resolve().parents[4]
SCHEMAS = sorted((ROOT / "workflow" / "schemas").glob("*.yaml"))
# Each is refused by some pattern, and by whatever wants another type.
ODD = ["", " ", "a b", "-", "\u201ca\u201d", "1,5", "1E+05", "A;b", "a\n", 3.7, None, True, [], {}]

OF_PATTERNS = ("^", "$", "[A-", "[a-", "[0-", "]*", "]+", ")*", ")?", "{64}")


def nodes(schema):
    """Yield every schema within a schema."""
    yield schema
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key])
    for inner in (*schema.get("properties", {}).values(), *schema.get("oneOf", ())):
        yield from nodes(inner)


@pytest.mark.parametrize("path", SCHEMAS, ids=[path.stem for path in SCHEMAS])
def test_every_pattern_is_told_in_words(path):
    patterns = [node for node in nodes(load_yaml(path)) if "pattern" in node]
    assert path.name != "studies.schema.yaml" or len(patterns) > 5
    for node in patterns:
        assert len(node.get("description", "")) > 10, node
        # A comma or colon without quotes would have cut it short.
        assert None not in node.values(), node


@pytest.mark.parametrize("path", SCHEMAS, ids=[path.stem for path in SCHEMAS])
def test_no_error_shows_a_pattern_or_is_empty(path):
    told = 0
    for node in nodes(load_yaml(path)):
        for value in [*ODD, [*ODD], {"-": 1, "a b": 2}]:
            for error in Validator(node).iter_errors(value):
                for text in [*faults_of_cell(error), *faults_of_key(error, lambda place: "")]:
                    told += 1
                    assert [sign for sign in OF_PATTERNS if sign in text] == [], text
    assert told > 100


SETTINGS = [
    ({"name": "a\n"}, r"`name`: found 'a\\n', of which character 2 is '\\n' .*; allowed: letters,"),
    ({"mirror": None}, "`mirror`: found nothing; expected a text — folder or base URL"),
    ({"title": 2024}, r"`title`: found 2024; expected a text \(put it into quotes where it is"),
    ({"studies": 5}, "`studies`: found 5 — studies or groups .*, as a list or as words in one"),
    ({"studies": ["a b"]}, r"`studies\.0`: found 'a b', of which character 2 is ' ' \(SPACE\)"),
    ({"seeds": {"default": ["0"]}}, r"`seeds\.default\.0`: found '0'; expected a whole number"),
    (
        {"seeds": {"default": [0], "a b": [0]}},
        "`seeds`: found the name 'a b', .*; allowed: letters",
    ),
    ({"compute": "cpu"}, "`compute`: found 'cpu'; expected keys and their values"),
    (
        {"mnist": {"sets": "al"}},
        r"`mnist\.sets`: found 'al' \(did you mean 'all'\?\); allowed: auto",
    ),
]


@pytest.mark.parametrize(("change", "message"), SETTINGS)
def test_what_was_found_and_what_is_allowed(change, message):
    schema = load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    settings = load_yaml(ROOT / "config" / "config.yaml") | change
    with pytest.raises(InputError, match=message):
        check_settings(settings, schema, "mine")


def test_faults_name_the_line_of_their_file(tmp_path):
    schema = load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("title: 5\nfoo: 1\nname: mine\n")
    second.write_text("\nname: a b\n")
    settings = load_yaml(ROOT / "config" / "config.yaml") | load_yaml(first) | load_yaml(second)
    with pytest.raises(InputError) as caught:
        check_settings(settings, schema, "mine", [first, second])
    lines = str(caught.value).splitlines()
    assert f"  - {first}, line 1, `title`: found 5" in lines[3]
    assert f"  - {first}, line 2, unknown key `foo`" in lines[1]
    assert f"  - {second}, line 2, `name`: found 'a b'" in lines[2]
