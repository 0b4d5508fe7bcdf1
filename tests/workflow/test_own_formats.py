"""Own data in other formats than .h5ad: paired, and anew when what stands beside them changes."""

import json
import os
import time

import pytest

from awkward_data import N, table, tenx_folder, text_table, zarr
from conftest import TINY

pytestmark = pytest.mark.slow
MADE = {"table": text_table("My cells.csv"), "tenx": tenx_folder(), "zarr": zarr}


def test_tables_and_folders_are_paired(workflow):
    rows = [
        "\t".join([name, str(make(workflow.folder)), "arm=drug", "arm=vehicle"])
        for name, make in MADE.items()
    ]
    header = "study\tdataset\ttarget\tbackground"
    (workflow.folder / "mine.tsv").write_text("\n".join([header, *rows]) + "\n")
    settings = TINY | {
        "name": "mine", "studies": list(MADE), "methods": ["nmf"], "seeds": {"default": [0]},
        "replicates": {"default": 1}, "sheets": {"studies": "mine.tsv"},
    }  # fmt: skip
    pairs = [f"results/mine/pairs/{name}/0/pair.json" for name in MADE]
    done = workflow(*pairs, settings=settings)
    assert done.returncode == 0, done.output
    for pair in pairs:
        record = json.loads((workflow.folder / pair).read_text())
        assert (record["n_target"], record["n_background"]) == (N // 2, N // 2)
        assert record["study"]["values"] == "counts"
        assert record["scaled_over"] == "all"
    done = workflow("-n", *pairs, settings=settings)
    assert "Nothing to be done" in done.output
    samples = workflow.folder / "My cells.obs.csv"
    table().iloc[:40].to_csv(samples)
    later = time.time() + 5
    os.utime(samples, (later, later))
    done = workflow("-n", *pairs, settings=settings)
    assert "results/mine/pairs/table/0/pair.json" in done.stdout
    assert "results/mine/pairs/tenx/0/pair.json" not in done.stdout
