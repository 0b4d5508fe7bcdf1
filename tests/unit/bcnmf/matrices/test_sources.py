"""Damaged files: whatever is wrong with them, they are named and nothing else is read."""

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf import BCNMF, InputError
from bcnmf.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

X = np.random.default_rng(0).poisson(1.0, (43, 12)).astype("f4")
QUICK = {"n_components": 2, "max_iter": 3, "tol": 0, "device": "cpu"}
DAMAGED = "the file is damaged, cut short or was closed"


def value(part, place, number):
    def change(group):
        group[part][place] = number

    return change


def whole(**changes):
    def change(group):
        for part, make in changes.items():
            array = make(group[part][:])
            del group[part]
            group[part] = array

    return change


DAMAGE = {
    "index 5000": (value("indices", 7, 5000), f"rows .*indices must be < 12.*{DAMAGED}"),
    "index 2e9": (value("indices", 7, 2 * 10**9), DAMAGED),
    "index in the last row": (value("indices", -1, 10**6), DAMAGED),
    "negative index": (value("indices", 3, -2), f"indices must be >= 0.*{DAMAGED}"),
    "pointer starts late": (value("indptr", 0, 3), f"indptr goes from 3 .*{DAMAGED}"),
    "pointer falls": (value("indptr", 5, 1), DAMAGED),
    "pointer peaks": (value("indptr", 5, 10**6), DAMAGED),
    "negative pointer": (value("indptr", 5, -7), DAMAGED),
    "pointer too far": (value("indptr", -1, 10**6), f"indptr goes from 0 to 1000000.*{DAMAGED}"),
    "pointer too short": (whole(indptr=lambda a: np.r_[a[:-1], a[-1] - 1]), DAMAGED),
    "fewer values": (whole(data=lambda a: a[:-4]), DAMAGED),
    "indices of floats": (whole(indices=lambda a: a + 0.5), "stores values, indices and pointers"),
    "swapped bytes": (whole(data=lambda a: a.astype(">f4")), "in this machine's byte order"),
    "complex": (whole(data=lambda a: a + 0j), "holds complex64 values"),
    "NaN": (value("data", 2, np.nan), "1 of .* stored values are NaN"),
}


@pytest.fixture
def path(tmp_path):
    ad.AnnData(sp.csr_matrix(X)).write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


@pytest.mark.parametrize("batch_size", [7, 100])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_refused(path, kind, batch_size):
    change, message = DAMAGE[kind]
    model = BCNMF(**QUICK, alpha=0, batch_size=batch_size).fit(X)
    with h5py.File(path, "r+") as file:
        change(file["X"])
    backed = ad.read_h5ad(path, backed="r")
    with pytest.raises(InputError, match=f"^target.*{message}"):
        BCNMF(**QUICK, batch_size=batch_size).fit(backed, background=X)
    with pytest.raises(InputError, match=f"^X.*{message}"):
        model.transform(backed)


def test_other_types_are_read(path):
    expected = BCNMF(**QUICK, alpha=0).fit(X).components_
    with h5py.File(path, "r+") as file:
        whole(
            data=lambda a: a.astype("u1"), indices=lambda a: a.astype("u4"),
            indptr=lambda a: a.astype("u8"),
        )(file["X"])  # fmt: skip
    for backed in (None, "r"):
        found = BCNMF(**QUICK, alpha=0, batch_size=7).fit(ad.read_h5ad(path, backed=backed))
        np.testing.assert_allclose(found.components_, expected, atol=1e-5)


@pytest.mark.parametrize("more", [[], ["--batch-size", "7"]])
def test_the_command_line_says_it_in_a_line(path, capsys, more):
    with h5py.File(path, "r+") as file:
        file["X/indices"][7] = 2 * 10**9
    arguments = ["fit", "--target", str(path), "-k", "2", "--alpha", "0", "--device", "cpu"]
    assert main([*arguments, "--out", str(path.with_name("o.h5ad")), *more]) == 2
    printed = capsys.readouterr().err
    assert "indices must be < 12" in printed
    assert "Traceback" not in printed
