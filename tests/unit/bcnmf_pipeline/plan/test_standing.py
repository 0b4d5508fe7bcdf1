"""A fit stands where it was made with the same."""

import json

import pytest

from bcnmf_pipeline.plan.standing import is_made_with

RECIPE = {"row": {"algorithm": "bcnmf"}, "code": "1a", "compute": {"device": "cpu"}}


def fit(folder, said):
    path = folder / "k2.npz"
    path.touch()
    if said is not None:
        path.with_suffix(".json").write_text(said)
    return path


def test_a_fit_that_says_the_same_stands(tmp_path):
    assert is_made_with(fit(tmp_path, json.dumps(RECIPE | {"seconds": 1.0})), RECIPE)


@pytest.mark.parametrize(
    "said",
    [json.dumps(RECIPE | {"code": "1b"}), json.dumps({"code": "1a"}), "", "[]", None],
    ids=["other code", "less", "empty", "no mapping", "missing"],
)
def test_others_do_not(tmp_path, said):
    assert not is_made_with(fit(tmp_path, said), RECIPE)


def test_nor_does_one_that_is_gone(tmp_path):
    fit(tmp_path, json.dumps(RECIPE)).unlink()
    assert not is_made_with(tmp_path / "k2.npz", RECIPE)
