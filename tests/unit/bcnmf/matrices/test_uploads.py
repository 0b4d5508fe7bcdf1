"""Blocks on their way to a GPU: what is copied, waited for and kept, with a GPU that is played."""

from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf.matrices import uploads as uploading
from bcnmf.matrices.dense import DenseMatrix
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.streamed import streamed
from bcnmf.matrices.uploads import Uploads

CPU, DTYPE = torch.device("cpu"), torch.float64
N, FEATURES, K, ROWS = 40, 12, 3, 8


class Played:
    """Streams and events of a GPU; memory is the CPU's, and everything is done at once."""

    def __init__(self, monkeypatch, free=10**9, kernels=True):
        self.log, self.free = [], free
        played = self

        class Stream:
            def __init__(self, device):
                self.name = "copies"

            def wait_event(self, event):
                played.log.append(("waits", self.name, event.recorded_on))

        class Event:
            def record(self, stream):
                self.recorded_on = stream.name
                played.log.append(("event", stream.name))

            def synchronize(self):
                played.log.append(("host waits", self.recorded_on))

        computing = Stream(None)
        computing.name = "computing"

        class On:
            def __init__(self, stream):
                self.stream = stream

            def __enter__(self):
                played.log.append(("on", self.stream.name))

            def __exit__(self, *_):
                played.log.append(("off", self.stream.name))

        def pin_memory(array):
            played.log.append(("pinned", array.dtype))
            return array.clone()

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "stream", On)
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
        monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda array, at: self.log.append(("held", at.name))
        )
        monkeypatch.setattr(uploading.memory, "free", lambda device: self.free)
        monkeypatch.setattr(uploading, "FusedSparseMatrix", OfTensors)
        monkeypatch.setattr(
            uploading, "accelerated", SimpleNamespace(present=lambda device: kernels)
        )

    def count(self, *what):
        return Counter(self.log)[what]


class OfTensors(DenseMatrix):
    """Stands in for the matrix of the kernels: made of the same arrays, and dense."""

    prepared = 0

    @classmethod
    def from_tensors(cls, host_pointer, pointer, index, values, shape):
        assert host_pointer.dtype == np.int64
        assert [array.dtype for array in (pointer, index, values)] == [
            torch.int64, torch.int32, DTYPE,
        ]  # fmt: skip
        stored = sp.csr_matrix((values.numpy(), index.numpy(), pointer.numpy()), shape)
        return cls(torch.from_numpy(stored.toarray()))

    def prepare(self):
        OfTensors.prepared += 1


def counts(seed=0):
    x = np.random.default_rng(seed).poisson(0.8, (N, FEATURES)).astype(float)
    x[3] = 0
    return x


def in_blocks(x):
    data = streamed(x, "target", DTYPE, CPU, ROWS)
    data._uploads = Uploads(DTYPE, CPU)
    return data


def passed(data):
    rng = torch.Generator().manual_seed(0)
    components = torch.rand((K, FEATURES), generator=rng, dtype=DTYPE)
    usage = torch.rand((N, K), generator=rng, dtype=DTYPE)
    moments = data.exact_pass(components, components @ components.T, usage)
    return [*vars(moments).values(), usage, *data.poisson_pass(components, usage, 0.5), usage]


@pytest.mark.parametrize("free", [0, 10**9], ids=["none stays", "all stay"])
@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_passes_are_those_of_the_data_in_memory(monkeypatch, container, kernels, free):
    x = container(counts())
    expected = passed(as_matrix(x, "target", DTYPE, CPU))
    Played(monkeypatch, free, kernels)
    data = in_blocks(x)
    for found, wanted in zip(passed(data), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    assert data.passes == 3  # the first look, and two


def test_blocks_that_fit_stay_and_are_read_once(monkeypatch):
    played = Played(monkeypatch)
    OfTensors.prepared = 0
    data, reads = in_blocks(sp.csr_matrix(counts())), []
    load = data._load
    data._load = lambda piece: reads.append(piece.rows.start) or load(piece)
    for _ in range(3):
        passed(data)
    assert reads == [0, 8, 16, 24, 32]
    assert OfTensors.prepared == 5
    assert played.count("pinned", torch.int32) == 5


def test_from_the_first_block_on_that_does_not_fit_none_stays(monkeypatch):
    block = ROWS * FEATURES * 8
    played = Played(monkeypatch, free=1000)  # a quarter is left for other things
    data, reads = in_blocks(np.ones((N, FEATURES))), []
    load, keep = data._load, data._uploads._keep
    room = {0: 250 + 4 * block, 16: 250 + 4 * block - 1}

    def with_room(key, found, sent):
        played.free = room.get(key, 10**9)
        keep(key, found, sent)

    data._uploads._keep = with_room
    data._load = lambda piece: reads.append(piece.rows.start) or load(piece)
    passed(data)
    assert reads == [0, 8, 16, 24, 32, 16, 24, 32]


def test_copies_are_pinned_ahead_and_waited_for_by_the_device_alone(monkeypatch):
    played = Played(monkeypatch, free=0)
    uploads = Uploads(DTYPE, CPU)
    blocks = [sp.csr_matrix(counts(seed)) for seed in range(3)]
    first, second = uploads.send(blocks[0]), uploads.send(blocks[1])
    assert ("host waits", "computing") not in played.log  # there is room for two
    before = len(played.log)
    uploads.block(0, first)
    assert played.log[before] == ("waits", "computing", "copies")
    assert played.count("held", "computing") == 3
    uploads.done(first)
    uploads.block(1, second)
    before = len(played.log)
    uploads.send(blocks[2])
    # The host copies into pinned memory first, and then waits for the room of the first block.
    kinds = [entry[0] for entry in played.log[before:]]
    assert kinds == ["pinned"] * 3 + ["host waits", "on", "event", "off"]


def test_what_is_on_the_device_does_not_add_up(monkeypatch):
    played = Played(monkeypatch, free=0)
    data = in_blocks(sp.csr_matrix(counts()))
    for _ in range(4):
        passed(data)
    assert len(data._uploads._ends) <= 2
    assert played.count("host waits", "computing") == data._uploads._sent - 2
