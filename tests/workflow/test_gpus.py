"""A machine with two GPUs, which are made up: jobs of fits share them out, by profiles/gpus.

What is real: the profile, Snakemake and its jobs at once, the claims of devices by their processes,
and the fits, which compute on the CPU. What is made up: that torch finds two CUDA devices, and that
what is sent to one gets there.
"""

import json
import os
from itertools import pairwise

import pytest

from conftest import ROOT, TINY
from snakemake_process import run_snakemake

pytestmark = pytest.mark.slow

STUDY = TINY | {
    "studies": ["simulation_beta8"], "methods": ["nmf", "bcnmf"],
    "replicates": {"default": 3, "simulation": 3},
}  # fmt: skip

# Every Python of the run reads this first. What a fit was told is noted, with its process.
MADE_UP = """\
import atexit, importlib.abc, importlib.util, json, os, pathlib, sys, time

NOTES = pathlib.Path({folder!r})


def of_torch(torch):
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 2
    torch.cuda.get_device_name = lambda device=None: "a GPU that is made up"


def of_device(module):
    import torch
    resolved = module.resolve_device

    def resolve_device(device):
        if module.left_open(device):
            return torch.device(device.replace("auto", "cuda"))
        found = resolved(device)
        if found.type == "cuda" and found.index is not None:
            note(str(found))
            return torch.device("cpu")
        return found

    module.resolve_device = resolve_device


def note(device):
    mine = NOTES / f"{{os.getpid()}}.json"
    if mine.exists():
        return
    begun = time.time()
    mine.write_text(json.dumps([device, begun, None]))
    atexit.register(lambda: mine.write_text(json.dumps([device, begun, time.time()])))
    # The first two jobs are to be there at once.
    while len(list(NOTES.glob("*.json"))) < 2 and time.time() < begun + 120:
        time.sleep(0.1)


class Patched(importlib.abc.MetaPathFinder):
    changes = {{"torch": of_torch, "bcnmf.device": of_device}}

    def find_spec(self, name, path, target=None):
        change = self.changes.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patched())
"""


@pytest.fixture
def made_up(tmp_path):
    """Return a function that runs the workflow as on a machine with two GPUs, and the notes."""
    notes, site = tmp_path / "notes", tmp_path / "site"
    notes.mkdir()
    site.mkdir()
    (site / "sitecustomize.py").write_text(MADE_UP.format(folder=str(notes)))
    temporary = tmp_path / "tmp"  # the locks are there
    temporary.mkdir()

    def run(*arguments, compute):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(STUDY | {"compute": compute}))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CUDA_"))}
        return run_snakemake(
            [
                "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path),
                "--workflow-profile", str(ROOT / "profiles" / "gpus"), "--cores", "4",
                "--configfile", str(path), *arguments,
            ],
            kept | {
                "PYTHONPATH": f"{site}{os.pathsep}{ROOT / 'workflow'}",
                "XDG_CACHE_HOME": str(tmp_path / ".cache"), "TMPDIR": str(temporary),
            },
        )  # fmt: skip

    run.notes = lambda: [json.loads(path.read_text()) for path in notes.glob("*.json")]
    run.fits = lambda: [
        json.loads(path.read_text())
        for path in (tmp_path / "results").rglob("k*_alpha*_seed*.json")
    ]
    return run


def test_jobs_take_the_gpus_in_turns_and_never_one_at_once(made_up):
    done = made_up("--until", "fit", "--resources", "gpu=2", compute={"device": "cuda"})
    assert done.returncode == 0, done.stdout + done.stderr
    notes = made_up.notes()
    assert len(notes) == 3  # a job for each replicate, on two devices
    assert {device for device, _, _ in notes} == {"cuda:0", "cuda:1"}
    for device in ("cuda:0", "cuda:1"):
        spans = sorted((begun, ended) for one, begun, ended in notes if one == device)
        assert all(ended <= begun for (_, ended), (begun, _) in pairwise(spans))
    assert {fit["device_reason"] for fit in made_up.fits()} == {"as asked for"}
    assert {fit["estimator"]["parameters"]["device"] for fit in made_up.fits()} == {
        "cuda:0", "cuda:1",
    }  # fmt: skip


def test_auto_leaves_small_fits_on_the_processors_and_says_why(made_up, tmp_path):
    done = made_up("--until", "fit", compute={"device": "auto"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert made_up.notes() == []
    fits = made_up.fits()
    assert fits
    for fit in fits:
        assert fit["device"] == fit["machine"]["device"] == "cpu"
        assert fit["device_reason"].endswith("a GPU is taken from 1.0e+11 on")
    logs = "".join(path.read_text() for path in (tmp_path / "results").rglob("fits_*.log"))
    assert logs.count("s on cpu (") == logs.count("multiplications; a GPU is taken from") == 9
