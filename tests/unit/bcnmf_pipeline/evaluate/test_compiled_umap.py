"""UMAP compiles once: in this process alone where nothing can be written."""

import numpy as np
import pytest
from numba.core.caching import CacheImpl, NullCache

from bcnmf_pipeline.evaluate.compiled_umap import umap_class


@pytest.fixture
def single_epoch():
    """Return the slowest to compile, uncached as umap-learn has it."""
    layouts = pytest.importorskip("umap.layouts")
    function = layouts._nb_optimize_layout_euclidean_single_epoch
    before, function._cache = function._cache, NullCache()
    yield function
    function._cache = before


def test_what_umap_compiles_is_kept(single_epoch):
    import umap

    assert umap_class() is umap.UMAP
    assert single_epoch.stats.cache_path


def test_umap_works_where_nothing_can_be_written(single_epoch, monkeypatch):
    def refuse(self, function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(CacheImpl, "__init__", refuse)
    model = umap_class()(n_neighbors=5, random_state=0, n_jobs=1)
    assert model.fit_transform(np.random.default_rng(0).random((30, 2))).shape == (30, 2)
    assert not single_epoch.stats.cache_path
