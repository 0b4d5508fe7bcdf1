"""Paths of inputs: Snakemake sees wildcards and variables in some of them."""

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.paths import check_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{x}/cells.h5ad", "'{'"), ("cells}.h5ad", "'}'"), ("<results>/cells.h5ad", "'<results>'"),
        ("a\nb.h5ad", r"'\\n'"), ("a\tb.h5ad", r"'\\t'"),
    ],
)  # fmt: skip
def test_what_would_be_taken_apart_is_refused(path, found):
    with pytest.raises(InputError, match=rf"^mine\.tsv: the path .* holds {found}, .* otherwise"):
        check_path(path, "mine.tsv")


@pytest.mark.parametrize(
    "path",
    [
        "C:\\Uni, 50% & (1)/it's \"[a]\" $HOME+=#;.h5ad", "-a?*^|.h5ad",
        "薬 e\u0301 é \U0001f9ec שלום",
        "a < b > c", "<B>.h5ad", "s3:cells.h5ad", "x" * 300,
    ],
)  # fmt: skip
def test_other_signs_are_names(path):
    check_path(path, "mine.tsv")
