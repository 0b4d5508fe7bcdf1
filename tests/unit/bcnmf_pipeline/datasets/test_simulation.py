"""The count simulation: rates, blocks, seeds, and departures that leave its numbers alone."""

from pathlib import Path

import numpy as np
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.plan.drivers import DRIVERS, VARIANTS, simulation_arguments, variant_of
from bcnmf_pipeline.plan.sheets import load_yaml

ROOT = Path(__file__).resolve().parents[4]
SMALL = {
    "n_genes": 60, "n_target": 21, "n_background": 10, "n_shared": 2, "n_target_programs": 2,
    "shared_block": 10, "target_block": 8,
}  # fmt: skip


def checksum(data):
    """Return the sum of the counts, and one that depends on where they stand."""
    counts = data.X.toarray().astype(np.int64)
    return int(counts.sum()), int(
        (counts * (1 + np.arange(counts.size).reshape(counts.shape))).sum()
    )


PINNED = {(2.0, 3): (6326, 5825655), (8.0, 0): (41645, 36762693), (0.0, 1): (128, 90448)}


@pytest.mark.parametrize(("beta", "seed"), PINNED)
def test_the_same_seed_gives_the_counts_it_always_gave(beta, seed):
    assert checksum(simulate_counts(beta, **SMALL, random_state=seed)) == PINNED[beta, seed]


def test_defaults_are_no_departure():
    plain = simulate_counts(8.0, **SMALL)
    spelt = simulate_counts(
        8.0, **SMALL, target_depth=1, library_sigma=0.35, n_missing=0, n_background_programs=0
    )
    assert (plain.X != spelt.X).nnz == 0
    assert plain.obs.equals(spelt.obs)
    assert "background_programs" not in plain.uns


def rates(data):
    """Return the means of the counts by the formula of the docstring, from what the data carry."""
    var, obs = data.var, data.obs
    strong = var[[f"program_{name}" for name in obs["shared_program"]]].to_numpy().T
    weak = np.array(
        [
            np.zeros(data.n_vars) if name == "none" else var[f"program_{name}"].to_numpy()
            for name in obs["target_program"]
        ]
    )
    noise = np.outer(obs["cell_noise"], var["gene_noise"])
    rate = 0.15 * weak + data.uns["beta"] * 10 * strong + 0.02 + 0.01 * noise
    return obs["library_size"].to_numpy()[:, None] * rate


@pytest.mark.parametrize(
    "departure",
    [
        {},
        {"target_depth": 3.0, "library_sigma": 1.0},
        {"n_missing": 1, "n_background_programs": 1, "target_shares": [0.1, 0.4]},
    ],
)
def test_counts_are_poisson_around_the_rates(departure):
    data = simulate_counts(0.5, **SMALL | {"n_target": 300, "n_background": 300}, **departure)
    mean, counts = rates(data), data.X.toarray()
    scaled = (counts - mean) / np.sqrt(mean)
    assert abs(scaled.mean()) < 5 / np.sqrt(counts.size)
    assert np.square(scaled).mean() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(counts.sum(), mean.sum(), rtol=0.02)


def test_blocks_do_not_overlap_and_stand_out():
    data = simulate_counts(2.0, **SMALL, n_background_programs=1)
    blocks = data.var["block"].astype(str)
    assert blocks.tolist() == (
        ["shared_1"] * 10 + ["shared_2"] * 10 + ["target_1"] * 8 + ["target_2"] * 8
        + ["background_1"] * 10 + ["none"] * 14
    )  # fmt: skip
    for name in set(blocks) - {"none"}:
        weights = data.var[f"program_{name}"]
        assert weights[blocks == name].mean() > 20 * weights[blocks != name].mean()


def test_beta_changes_neither_programs_nor_cells():
    one, other = (simulate_counts(beta, **SMALL, random_state=4) for beta in (1.0, 16.0))
    assert one.obs.equals(other.obs)
    assert one.var.equals(other.var)


def test_a_deeper_target_has_the_same_library_sizes_times_the_depth():
    plain, deep = (simulate_counts(1.0, **SMALL, target_depth=depth) for depth in (1, 10))
    factor = np.where(plain.obs["side"] == "target", 10, 1)
    np.testing.assert_allclose(deep.obs["library_size"], factor * plain.obs["library_size"])


def test_library_sizes_without_spread_are_one():
    assert (simulate_counts(1.0, **SMALL, library_sigma=0).obs["library_size"] == 1).all()


def programs_of(data, side):
    return set(data.obs.loc[data.obs["side"] == side, "shared_program"])


def test_a_background_lacks_the_last_shared_programs():
    data = simulate_counts(1.0, **SMALL | {"n_background": 60, "n_shared": 3}, n_missing=1)
    assert programs_of(data, "background") == {"shared_1", "shared_2"}
    assert programs_of(data, "target") == {"shared_1", "shared_2", "shared_3"}


def test_a_background_program_is_in_the_background_alone():
    data = simulate_counts(1.0, **SMALL | {"n_background": 60}, n_background_programs=1)
    assert programs_of(data, "background") == {"shared_1", "shared_2", "background_1"}
    assert programs_of(data, "target") == {"shared_1", "shared_2"}
    assert data.uns["background_programs"].shape == (1, 60)
    plain = simulate_counts(1.0, **SMALL | {"n_background": 60})
    np.testing.assert_array_equal(data.uns["shared_programs"], plain.uns["shared_programs"])


def test_unequal_capture_is_of_so_many_genes_of_the_target_alone():
    many = SMALL | {"n_target": 400, "n_background": 400}
    data = simulate_counts(8.0, **many, n_captured=5, capture=4.0)
    plain = simulate_counts(8.0, **many)
    captured = data.var["capture"] == 4
    assert captured.sum() == 5
    assert (data.var.loc[~captured, "capture"] == 1).all()
    assert data.var.loc[captured, "block"].str.startswith("shared").all()
    assert "capture" not in plain.var
    assert data.obs.equals(plain.obs)

    def sums(one, side):
        return np.asarray(one.X[(one.obs["side"] == side).to_numpy()].sum(0))[0]

    expected = {"target": np.where(captured, 4.0, 1.0), "background": np.ones(60)}
    for side in expected:
        found, before = sums(data, side), sums(plain, side)
        much = before > 200
        assert (much & captured).any()
        np.testing.assert_allclose(found[much] / before[much], expected[side][much], rtol=0.3)


@pytest.mark.parametrize(
    ("shares", "numbers"),
    [
        (None, {"target_1": 11, "target_2": 10}),
        ([0.05, 0.95], {"target_1": 1, "target_2": 20}),
        ([0.05, 0.5], {"target_1": 1, "target_2": 11, "none": 9}),
    ],
)
def test_shares_of_the_target_programs(shares, numbers):
    obs = simulate_counts(1.0, **SMALL, target_shares=shares).obs
    found = obs.loc[obs["side"] == "target", "target_program"].value_counts()
    assert found[found > 0].to_dict() == numbers
    assert set(obs.loc[obs["side"] == "background", "target_program"]) == {"none"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"target_depth": 0}, r"target_depth=0; expected a finite number > 0"),
        ({"library_sigma": -1}, r"library_sigma=-1; expected a finite number >= 0"),
        ({"n_missing": 2}, "n_missing=2 of n_shared=2 .*let it lack fewer"),
        ({"n_missing": 3, "n_background_programs": 1}, "n_missing=3 of n_shared=2"),
        ({"n_captured": 21}, "n_captured=21 genes; the blocks of shared programs have 20"),
        ({"n_captured": -1}, "n_captured=-1; expected an integer >= 0"),
        ({"capture": 0.0}, "capture=0.0; expected a finite number > 0"),
        ({"n_missing": 0.5}, "n_missing=0.5; expected an integer >= 0"),
        ({"n_background_programs": 3}, "blocks take 66 genes .*use more genes"),
        ({"target_shares": [0.5]}, "has 1 shares; expected one for each of n_target_programs=2"),
        ({"target_shares": [0.6, 0.5]}, "a sum of at most 1"),
        ({"target_shares": [0.0, 0.5]}, "expected shares > 0"),
        ({"target_shares": [0.01, 0.5]}, "leave a program without a cell"),
    ],
)
def test_faulty_departures_are_named(wrong, message):
    with pytest.raises(InputError, match=f"simulate_counts: .*{message}"):
        simulate_counts(1.0, **SMALL, **wrong)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_can_be_simulated_and_departs(variant):
    sizes = SMALL | {"n_target": 40, "n_background": 40}
    data = simulate_counts(8.0, **simulation_arguments(sizes, variant))
    plain = simulate_counts(8.0, **sizes)
    assert data.shape != plain.shape or (data.X != plain.X).nnz


def test_a_variant_stands_above_the_sizes_of_the_configuration():
    sizes = load_yaml(ROOT / "config" / "config.yaml")["simulation"]
    assert simulation_arguments(sizes, "") == sizes
    assert simulation_arguments(sizes, "background200") == sizes | {"n_background": 200}


def test_every_variant_has_a_place_in_the_figure():
    drawn = [level for driver in DRIVERS for level in driver.levels if level]
    assert sorted(drawn) == sorted(VARIANTS)


@pytest.mark.parametrize(
    ("dataset", "variant"),
    [
        ("simulation_beta8", ""),
        ("simulation_depth3_beta0.5", "depth3"),
        ("simulation_depth4_beta8", None),
        ("digits_texture", None),
    ],
)
def test_variants_stand_in_the_names_of_data_sets(dataset, variant):
    assert variant_of(dataset) == variant
