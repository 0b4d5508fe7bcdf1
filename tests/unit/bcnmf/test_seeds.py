"""Seeds depend on names alone."""

from hypothesis import given
from hypothesis import strategies as st

from bcnmf.seeds import derive_seed, seed_of_start


def test_a_name_has_one_seed_for_ever():
    assert derive_seed("simulation", 0) == derive_seed("simulation", "0") == 656902525


@given(st.text(), st.text())
def test_seeds_are_in_range_and_parts_do_not_run_together(first, second):
    seed = derive_seed(first, second)
    assert 0 <= seed < 2**31
    assert seed != derive_seed(first + second + "x")


def test_no_two_seeds_have_a_start_in_common():
    starts = [seed_of_start(seed, number) for seed in range(1, 21) for number in range(8)]
    assert len(set(starts)) == 160


@given(st.integers(0, 2**32))
def test_the_first_start_is_that_of_the_seed(seed):
    assert seed_of_start(seed, 0) == seed
