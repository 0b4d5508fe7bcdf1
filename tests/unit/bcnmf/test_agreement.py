"""Programs of many starts, on topics of which it is known what they agree on."""

import numpy as np
import pytest

from bcnmf.agreement import UNSTABLE, agreement

STARTS, FEATURES = 20, 40


@pytest.fixture
def spectra():
    """Three programs that all starts find, in any order and at any scale, and a topic of chance."""
    rng = np.random.default_rng(0)
    programs = np.kron(np.eye(3), np.ones(10))
    topics = np.empty((STARTS, 4, FEATURES))
    for one in topics:
        found = np.pad(programs, ((0, 0), (0, 10))) + 0.02 * rng.random((3, FEATURES))
        chance = rng.random(FEATURES) * (rng.random(FEATURES) < 0.2)
        one[rng.permutation(4)] = [*found, chance] * rng.gamma(2, 1, (4, 1))
    return topics


def found_in(spectra, **changes):
    return agreement(spectra, **({"neighbours": 0.3, "max_distance": 0.5, "seed": 0} | changes))


def test_programs_that_all_starts_find_are_stable_and_that_of_chance_is_not(spectra):
    found = found_in(spectra)
    order = np.argsort(-found.stability)
    assert (found.stability[order[:3]] > 0.99).all()
    assert found.support[order[:3]].tolist() == [STARTS] * 3
    assert found.stability[order[3]] < UNSTABLE
    assert np.linalg.norm(found.programs, axis=1) == pytest.approx(1.0)
    blocks = sorted(int(program.argmax()) // 10 for program in found.programs[order[:3]])
    assert blocks == [0, 1, 2]


def test_outliers_enter_no_median(spectra):
    found = found_in(spectra)
    assert found.dropped.sum() == STARTS  # the topic of chance of every start
    kept = ~found.dropped
    unit = spectra / np.linalg.norm(spectra, axis=-1, keepdims=True)
    stable = int(found.stability.argmax())
    median = np.median(unit[(found.cluster == stable) & kept], axis=0)
    assert found.programs[stable] == pytest.approx(median / np.linalg.norm(median))


def test_a_program_that_some_starts_lack_counts_the_others(spectra):
    rng = np.random.default_rng(1)
    for one in spectra[:5]:  # a quarter of the starts
        first = int(np.argmax(one[:, :10].sum(1) / one.sum(1)))
        one[first] = np.pad(rng.random(10), (30, 0))
    found = found_in(spectra)
    lacking = int(np.argmax(found.programs[:, :10].sum(1)))
    assert found.support[lacking] == STARTS - 5
    assert found.stability[lacking] == pytest.approx(0.75, abs=0.01)


def test_one_program_split_in_two_is_not_found_twice(spectra):
    # Four topics of which two are the same program, in every start.
    doubled = spectra.copy()
    for one in doubled:
        shares = one / one.sum(1, keepdims=True)
        chance = int(np.argmin([shares[i, :30].reshape(3, 10).sum(1).max() for i in range(4)]))
        rest = [i for i in range(4) if i != chance]
        one[chance] = one[rest[0]] * (1 + 1e-3 * np.arange(FEATURES) / FEATURES)
    assert found_in(doubled).stability.min() < UNSTABLE


def test_order_and_scale_of_topics_change_nothing(spectra):
    rng = np.random.default_rng(2)
    shuffled = np.stack([one[rng.permutation(4)] * rng.gamma(2, 1, (4, 1)) for one in spectra])
    one, other = found_in(spectra), found_in(shuffled)
    cosines = one.programs @ other.programs.T
    match = cosines.argmax(1)
    assert cosines.max(1) == pytest.approx(1.0, abs=1e-6)
    assert one.stability == pytest.approx(other.stability[match], abs=1e-6)


def test_ordered_takes_everything_along(spectra):
    found = found_in(spectra)
    order = np.array([2, 0, 3, 1])
    other = found.ordered(order)
    assert np.array_equal(other.programs, found.programs[order])
    assert np.array_equal(other.stability, found.stability[order])
    for place, number in enumerate(order):
        assert np.array_equal(other.cluster == place, found.cluster == number)


@pytest.mark.parametrize("k", [1, 3])
def test_starts_that_are_one_agree(k):
    topics = np.tile(np.eye(k, 5) + 0.1, (6, 1, 1))
    found = found_in(topics)
    assert found.stability == pytest.approx(1.0)
    assert not found.dropped.any()


def test_topics_without_loadings_are_no_program():
    topics = np.tile(np.eye(3, 5), (6, 1, 1))
    topics[:, 2] = 0
    found = found_in(topics)
    assert sorted(found.stability.round(6)) == [0, 1, 1]
    assert np.isfinite(found.programs).all()
