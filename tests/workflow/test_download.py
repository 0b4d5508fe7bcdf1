"""The rule `download` against a server on this machine: a bad file stops the job with a message."""

import hashlib
import json
import re

import pytest

from conftest import ROOT, TINY, Workflow, faults_of
from loopback import Answer, Loopback

pytestmark = pytest.mark.slow

COLUMNS = ("dataset", "file", "url", "mirror", "sha256", "bytes", "licence", "citation", "part")
BODY = b"PK\x03\x04" + bytes(range(256)) * 400
SIZE = len(BODY)
DIGEST = hashlib.sha256(BODY).hexdigest()
PAGE = b"<!DOCTYPE html><html><head><title>Moved</title></head></html>"


class Download:
    """The rule, run for files of a datasets sheet of its own."""

    def __init__(self, workflow, server):
        self.workflow, self.server = workflow, server
        self.folder = workflow.folder / "resources" / "downloads" / "mice"

    def __call__(self, *files, sha256=DIGEST, size=SIZE, **settings):
        address = self.server.address
        rows = [
            ("mice", file, f"{address}/{file}", "", sha256, str(size), "CC0", "A", "table")
            for file in files
        ]
        (self.workflow.folder / "datasets.tsv").write_text(
            "".join("\t".join(row) + "\n" for row in (COLUMNS, *rows))
        )
        settings = TINY | {
            "sheets": {"datasets": "datasets.tsv"}, "download": {"retries": 1, "timeout": 60},
            **settings,
        }  # fmt: skip
        targets = [f"resources/downloads/mice/{file}" for file in files]
        return self.workflow(*targets, "--keep-going", settings=settings)

    def log_of(self, file):
        return (self.workflow.folder / "logs" / "download" / "mice" / f"{file}.log").read_text()


@pytest.fixture(scope="module")
def loopback():
    with pytest.MonkeyPatch.context() as patch, Loopback() as running:
        patch.setenv("no_proxy", "127.0.0.1")
        yield running


@pytest.fixture
def server(loopback):
    loopback.answers.clear()
    loopback.requests.clear()
    return loopback


@pytest.fixture
def download(workflow, server):
    return Download(workflow, server)


def fault_of(done, about="") -> str:
    """Return the message of the rule, which is for people: no traceback in it."""
    assert done.returncode != 0
    (message,) = [text for text in faults_of(done, "download") if text.startswith(about)]
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


BAD = {
    "checksum.zip": (
        Answer(BODY[:-1] + b"!"), r"not the registered file: 102,404 bytes, SHA-256 [0-9a-f]{64}",
    ),
    "missing.zip": (Answer(b"gone", 404), "status 404 Not Found"),
    "page.zip": (Answer(PAGE), "an HTML page came, entitled 'Moved', in place of the file"),
    "cut.zip": (Answer(BODY[:50_000], length=SIZE), r"cut off after 50,000 of 102,404 bytes \(2 "),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad(loopback, tmp_path_factory):
    """Return a run in which all files but one are bad, and one after they were put right."""
    loopback.give("/good.zip", Answer(BODY))
    for file, (answer, _) in BAD.items():
        loopback.give(f"/{file}", answer)
    download = Download(Workflow(ROOT, tmp_path_factory.mktemp("bad")), loopback)
    download.first = download(*BAD, "good.zip")
    download.logs = {file: download.log_of(file) for file in BAD}
    download.arrived = {file.name for file in download.folder.iterdir()}
    for file in BAD:
        loopback.give(f"/{file}", Answer(BODY))
    loopback.requests.clear()
    download.second = download(*BAD, "good.zip")
    download.asked = loopback.paths()
    return download


@pytest.mark.parametrize("file", BAD)
def test_a_bad_file_stops_the_job_and_costs_nothing_else(bad, file):
    message = fault_of(bad.first, f"mice/{file} ")
    folder = f"resources/downloads/mice/{file}"
    assert message.startswith(f"mice/{file} could not be fetched to {folder}")
    assert re.search(f"{bad.server.address}/{file}: {BAD[file][1]}", message)
    assert f"Expected: 102,404 bytes, SHA-256 {DIGEST}" in message
    assert "What to do: check the network" in message
    assert message in bad.logs[file]
    assert bad.arrived == {"good.zip", "good.zip.json"}


def test_once_the_addresses_work_only_what_was_missing_is_fetched(bad):
    assert bad.second.returncode == 0, bad.second.output
    assert sorted(bad.asked) == sorted(f"/{file}" for file in BAD)
    for file in BAD:
        assert (bad.folder / file).read_bytes() == BODY


def test_a_pending_checksum_is_told_in_the_log(download, server):
    server.give("/bad.zip", Answer(BODY))
    done = download("bad.zip", sha256="pending", size="pending")
    assert done.returncode == 0, done.output
    log = " ".join(download.log_of("bad.zip").split())
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
    assert "datasets.tsv, line 2 (" in done.output
    assert "column sha256: found 'abc'" in done.output
    assert "64 hexadecimal digits, or pending" in done.output
    assert server.requests == []
