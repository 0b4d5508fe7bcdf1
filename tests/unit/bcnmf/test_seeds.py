"""Seeds depend on names alone."""

from hypothesis import given
from hypothesis import strategies as st

from bcnmf.seeds import derive_seed


def test_a_name_has_one_seed_for_ever():
    assert derive_seed("simulation", 0) == derive_seed("simulation", "0") == 656902525


@given(st.text(), st.text())
def test_seeds_are_in_range_and_parts_do_not_run_together(first, second):
    seed = derive_seed(first, second)
    assert 0 <= seed < 2**31
    assert seed != derive_seed(first + second + "x")
