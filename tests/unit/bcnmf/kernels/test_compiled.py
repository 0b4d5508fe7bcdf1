"""Compiled functions, kept on disk where that is possible."""

import pytest
from numba.core.dispatcher import Dispatcher

from bcnmf.kernels import compiled as module
from bcnmf.kernels.compiled import compiled


def double(x):
    return 2 * x


def test_without_a_folder_for_the_cache_functions_work_and_one_warning_says_what_to_do(monkeypatch):
    def no_folder(self):
        raise RuntimeError("cannot cache function 'double': no locator available")

    monkeypatch.setattr(Dispatcher, "enable_caching", no_folder)
    module._warn_of_no_cache.cache_clear()
    with pytest.warns(UserWarning, match="Set NUMBA_CACHE_DIR") as caught:
        functions = [compiled()(double) for _ in range(2)]
    assert len(caught) == 1
    assert [function(3) for function in functions] == [6, 6]


def test_functions_are_kept_where_they_can_be():
    assert compiled()(double).stats.cache_path is not None
