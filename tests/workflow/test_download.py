"""The rule `download` against a server on this machine: a bad file stops the job with a message."""

import hashlib
import json
import re

import pytest

from conftest import TINY
from loopback import Answer, Loopback

pytestmark = pytest.mark.slow

COLUMNS = ("dataset", "file", "url", "mirror", "sha256", "bytes", "licence", "citation", "part")
BODY = b"PK\x03\x04" + bytes(range(256)) * 400
SIZE = len(BODY)
DIGEST = hashlib.sha256(BODY).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title>Moved</title></head></html>"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Loopback() as running:
        yield running


@pytest.fixture
def download(workflow, server):
    """Return a function that runs the rule for files of a datasets sheet of its own."""

    def run(*files, sha256=DIGEST, size=SIZE, **settings):
        rows = [
            ("mice", file, f"{server.address}/{file}", "", sha256, str(size), "CC0", "A", "table")
            for file in files
        ]
        (workflow.folder / "datasets.tsv").write_text(
            "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))
        )
        settings = TINY | {
            "sheets": {"datasets": "datasets.tsv"}, "download": {"retries": 1, "timeout": 5},
            **settings,
        }  # fmt: skip
        targets = [f"resources/downloads/mice/{file}" for file in files]
        return workflow(*targets, "--keep-going", settings=settings)

    run.folder = workflow.folder / "resources" / "downloads" / "mice"
    run.log = workflow.folder / "logs" / "download" / "mice" / "bad.zip.log"
    return run


def fault_of(done) -> str:
    """Return the message of the rule, which is for people: no traceback in it."""
    assert done.returncode != 0
    assert "ERROR in rule download: " in done.output, done.output
    message = done.output.split("ERROR in rule download: ")[1].split("\n\n")[0]
    assert "Traceback" not in message
    return message


def test_a_good_file_arrives_and_is_not_fetched_twice(download, server):
    server.give("/good.zip", Answer(BODY))
    done = download("good.zip")
    assert done.returncode == 0, done.output
    assert (download.folder / "good.zip").read_bytes() == BODY
    record = json.loads((download.folder / "good.zip.json").read_text())
    assert record["sha256"] == DIGEST
    assert record["address"] == f"{server.address}/good.zip"
    assert "Nothing to be done" in download("good.zip").output
    assert server.paths() == ["/good.zip"]


CASES = [
    (
        Answer(BODY[:-1] + b"!"),
        r"not the registered file: 102,404 bytes, SHA-256 [0-9a-f]{64}",
    ),
    (Answer(b"gone", 404), "status 404 Not Found"),
    (Answer(PAGE), "an HTML page came, entitled 'Moved', in place of the file"),
    (
        Answer(BODY[:50_000], length=SIZE),
        r"cut off after 50,000 of 102,404 bytes \(2 ",
    ),
]


@pytest.mark.parametrize(
    ("answer", "found"), CASES, ids=["wrong checksum", "missing", "page", "cut"]
)
def test_a_bad_file_stops_the_job_and_costs_nothing_else(download, server, answer, found):
    server.give("/good.zip", Answer(BODY))
    server.give("/bad.zip", answer)
    message = fault_of(download("bad.zip", "good.zip"))
    assert message.startswith("mice/bad.zip could not be fetched to resources/downloads/mice/bad")
    assert re.search(f"{server.address}/bad.zip: {found}", message)
    assert f"Expected: 102,404 bytes, SHA-256 {DIGEST}" in message
    assert "What to do: check the network" in message
    assert message in download.log.read_text()
    assert {file.name for file in download.folder.iterdir()} == {"good.zip", "good.zip.json"}
    # Once the address works, only what was missing is fetched.
    server.give("/bad.zip", Answer(BODY))
    server.requests.clear()
    done = download("bad.zip", "good.zip")
    assert done.returncode == 0, done.output
    assert server.paths() == ["/bad.zip"]
    assert (download.folder / "bad.zip").read_bytes() == BODY


def test_a_pending_checksum_is_told_in_the_log(download, server):
    server.give("/bad.zip", Answer(BODY))
    done = download("bad.zip", sha256="pending", size="pending")
    assert done.returncode == 0, done.output
    log = " ".join(download.log.read_text().split())
    assert f"write both into the sheet: bytes {SIZE}, sha256 {DIGEST}" in log


def test_a_file_comes_from_the_mirror_without_the_internet(download, server, tmp_path):
    (tmp_path / "mirror" / "mice").mkdir(parents=True)
    (tmp_path / "mirror" / "mice" / "good.zip").write_bytes(BODY)
    done = download("good.zip", mirror="mirror")
    assert done.returncode == 0, done.output
    assert (download.folder / "good.zip").read_bytes() == BODY
    assert server.requests == []


def test_a_mirror_that_is_not_there_is_named(download, server):
    message = fault_of(download("good.zip", mirror="mirrors"))
    assert "key mirror: 'mirrors' does not exist" in message
    assert server.requests == []


def test_an_unknown_file_is_named(workflow):
    done = workflow("resources/downloads/mice_protein/Data_Cortex.csv")
    assert done.returncode != 0
    assert "(did you mean 'Data_Cortex_Nuclear.csv'?)" in done.output


def test_a_faulty_registry_stops_before_any_job(download, server):
    done = download("good.zip", sha256="abc")
    assert done.returncode != 0
    assert "datasets.tsv: cannot be used:" in done.output
    assert "64 hexadecimal digits, or pending" in done.output
    assert server.requests == []
