"""Downloads from a real server on this machine: whole and right, or a message that says why not."""

import errno
import gzip
import hashlib
import json
import re
import socket
import time
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.acquire import download, sources
from bcnmf_pipeline.acquire.download import fetch
from bcnmf_pipeline.acquire.errors import DownloadError
from bcnmf_pipeline.acquire.registry import Entry
from loopback import Answer, Loopback

BODY = b"PK\x03\x04" + bytes(range(256)) * 40
OTHER = BODY[:-1] + b"!"
PAGE = b"\n<!DOCTYPE html><html><head><title>Please\n log in</title></head></html>"


def digest(body):
    return hashlib.sha256(body).hexdigest()


def entry(url="", body=BODY, **changes):
    row = {
        "dataset": "mice", "file": "table.zip", "url": url, "mirror": "", "sha256": digest(body),
        "bytes": len(body), "licence": "CC BY 4.0", "citation": "A paper", "part": "table",
    }  # fmt: skip
    return Entry(**{**row, **changes})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Loopback() as running:
        yield running


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "downloads" / "mice" / "table.zip"


@pytest.fixture
def pauses(monkeypatch):
    """Return the pauses that `fetch` would have made, by its default for `sleep`."""
    made = []
    monkeypatch.setitem(fetch.__kwdefaults__, "sleep", made.append)
    return made


def refused(entry, destination, **settings) -> str:
    """Return the message of a failed download, of which nothing may be left."""
    with pytest.raises(DownloadError) as caught:
        fetch(entry, destination, **settings)
    assert not destination.parent.exists() or list(destination.parent.iterdir()) == []
    message = str(caught.value)
    assert "mice/table.zip" in message
    assert str(destination) in message
    return message


def record(destination):
    return json.loads(Path(f"{destination}.json").read_text())


def test_a_good_file_arrives_with_a_record_of_its_origin(server, destination, pauses):
    url = server.give("/table.zip", Answer(BODY))
    fetch(entry(url), destination)
    assert destination.read_bytes() == BODY
    assert {file.name for file in destination.parent.iterdir()} == {"table.zip", "table.zip.json"}
    found = record(destination)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found.pop("time"))
    assert found == {
        "dataset": "mice", "file": "table.zip", "address": url, "answered": url,
        "bytes": len(BODY), "sha256": digest(BODY), "checked": True,
        "licence": "CC BY 4.0", "citation": "A paper",
    }  # fmt: skip
    assert server.requests[0][1]["User-Agent"].startswith("bcnmf/")
    assert pauses == []


def test_a_large_file_comes_in_blocks_and_tells_how_far_it_is(
    server, destination, monkeypatch, capsys
):
    body = BODY * 300
    monkeypatch.setattr(download, "PROGRESS_SECONDS", 0.0)
    fetch(entry(server.give("/t", Answer(body)), body), destination)
    assert destination.read_bytes() == body
    told = re.findall(r"([0-9.]+) of 3\.1 \(([0-9]+)%\) MB", capsys.readouterr().out)
    assert told == [("1.0", "34"), ("2.1", "68"), ("3.1", "100")]


@pytest.mark.parametrize("answer", [Answer(BODY, chunked=True), Answer(BODY, length=None)])
def test_a_file_of_unannounced_length_arrives(server, destination, answer):
    fetch(entry(server.give("/t", answer)), destination)
    assert destination.read_bytes() == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_recorded(server, destination, status):
    there = server.give("/there", Answer(BODY))
    here = server.give("/here", Answer(status=status, headers={"Location": there}))
    fetch(entry(here), destination)
    assert (record(destination)["address"], record(destination)["answered"]) == (here, there)


@pytest.mark.parametrize("target", ["file:///etc/hosts", "ftp://127.0.0.1/table.zip"])
def test_redirects_elsewhere_are_not_followed(server, destination, target, pauses):
    url = server.give("/t", Answer(status=302, headers={"Location": target}))
    message = refused(entry(url), destination)
    assert f"{url}: status 302" in message
    assert target in message
    assert pauses == []


def test_redirects_without_end_stop(server, destination, pauses):
    url = server.give("/t", Answer(status=302, headers={"Location": "/t"}))
    assert "infinite loop" in refused(entry(url), destination)
    assert pauses == []


def test_a_redirect_to_no_host_is_named(server, destination):
    url = server.give("/t", Answer(status=302, headers={"Location": "http://a..b/t"}))
    assert f"{url}: the address, or one that it redirects to" in refused(entry(url), destination)


def test_what_is_no_web_server_is_named(server, destination, pauses):
    url = server.give("/t", Answer(b"220 files by another protocol\r\n", status=None))
    assert f"{url}: BadStatusLine: 220 files by another" in refused(entry(url), destination)
    assert pauses == []


@pytest.mark.parametrize(("status", "text"), [(401, ""), (403, "Forbidden"), (404, "Not Found")])
def test_what_is_not_there_is_not_asked_for_again(server, destination, status, text, pauses):
    url = server.give("/t", Answer(b"no", status))
    message = refused(entry(url), destination)
    assert f"\n  - {url}: status {status} {text}" in message
    assert f"Expected: {len(BODY):,} bytes, SHA-256 {digest(BODY)}" in message
    assert "put the file yourself at <mirror>/mice/table.zip and run again with" in message
    assert "--config mirror=<mirror>" in message
    assert len(server.requests) == 1
    assert pauses == []


def test_a_status_without_a_file_is_named(server, destination):
    message = refused(entry(server.give("/t", Answer(status=204))), destination)
    assert "status 204 No Content" in message


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_busy_server_is_asked_again(server, destination, status, pauses):
    busy = Answer(b"busy", status)
    fetch(entry(server.give("/t", busy, busy, busy, Answer(BODY))), destination)
    assert destination.read_bytes() == BODY
    assert len(pauses) == 3
    for pause, most in zip(pauses, (1, 2, 4), strict=True):
        assert most / 2 <= pause <= most


def test_a_server_that_stays_busy_is_given_up(server, destination, pauses):
    url = server.give("/t", Answer(b"", 500), Answer(b"", 503))
    message = refused(entry(url), destination, retries=3)
    assert "status 500 Internal Server Error; then status 503 Service Unavailable (4 att" in message
    assert len(server.requests) == 4
    assert len(pauses) == 3
    refused(entry(url), destination, retries=0)
    assert len(server.requests) == 5


def test_pauses_do_not_grow_without_end(server, destination, pauses):
    refused(entry(server.give("/t", Answer(b"", 500))), destination, retries=12)
    assert max(pauses) <= download.LONGEST_PAUSE


def test_a_server_that_asks_for_patience_gets_it(server, destination, pauses):
    later = formatdate(time.time() + 90, usegmt=True)
    asked = [Answer(status=429, headers={"Retry-After": value}) for value in ("77", later, "soon")]
    fetch(entry(server.give("/t", *asked, Answer(BODY))), destination)
    assert pauses[0] == 77
    assert 80 <= pauses[1] <= 91
    assert pauses[2] <= 4


@pytest.mark.parametrize("value", ["1.5", "-3", "Mon, 01 Jan 0 00:00:00 GMT", "²", ""])
def test_what_cannot_be_read_of_retry_after_is_left(value):
    assert sources._retry_after(value) == 0


def test_a_server_that_asks_for_too_much_is_left(server, destination, pauses):
    second = server.give("/second", Answer(BODY))
    first = server.give("/first", Answer(status=503, headers={"Retry-After": "3600"}))
    message = refused(entry(first), destination)
    assert "asks to come back in 3600 s, which is too long to wait" in message
    fetch(entry(first, mirror=second), destination)
    assert server.paths() == ["/first", "/first", "/second"]
    assert pauses == []


@pytest.mark.parametrize("body", [PAGE, b"\xef\xbb\xbf<html>", b'<?xml version="1"?>\n<html >'])
def test_a_page_in_place_of_the_file_is_recognised(server, destination, body, pauses):
    url = server.give("/t", Answer(body))
    assert f"{url}: an HTML page came" in refused(entry(url), destination)
    assert "an HTML page came" in refused(entry(url, sha256=None, bytes=None), destination)
    assert pauses == []


def test_the_title_of_the_page_is_told(server, destination):
    message = refused(entry(server.give("/t", Answer(PAGE))), destination)
    assert "an HTML page came, entitled 'Please log in', in place of the file" in message


def test_a_page_may_be_what_is_registered(server, destination):
    page = destination.with_name("table.html")
    fetch(entry(server.give("/t", Answer(PAGE)), PAGE, file="table.html"), page)
    assert page.read_bytes() == PAGE


CUTS = [
    Answer(BODY[:5000], length=len(BODY)),
    Answer(BODY[:5000], length=None),
    Answer(BODY[:5000], chunked=True, then="cut"),
    Answer(BODY[:5000], length=len(BODY), then="reset"),
    Answer(b"", length=len(BODY)),
    Answer(status=None),
]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_connection_is_taken_up_again(server, destination, cut, pauses):
    fetch(entry(server.give("/t", cut, Answer(BODY))), destination)
    assert destination.read_bytes() == BODY
    assert len(pauses) == 1


@pytest.mark.parametrize("cut", CUTS)
def test_what_stays_cut_is_never_taken_for_the_file(server, destination, cut, pauses):
    message = refused(entry(server.give("/t", cut)), destination, retries=2)
    assert re.search(r"cut|reset|Remote end closed connection", message)
    assert "(3 attempts)" in message
    assert len(pauses) == 2


def test_a_cut_is_noticed_by_the_announced_length_alone(server, destination, pauses):
    cut = Answer(BODY[:5000], length=len(BODY))
    message = refused(entry(server.give("/t", cut), sha256=None, bytes=None), destination)
    assert f"cut off after 5,000 of {len(BODY):,} bytes (5 attempts)" in message


@pytest.mark.parametrize(
    "silence",
    [Answer(status=None, then="hang"), Answer(BODY[:5000], length=len(BODY), then="hang")],
)
def test_silence_is_not_waited_for(server, destination, silence, pauses):
    url = server.give("/t", silence)
    message = refused(entry(url), destination, retries=1, timeout=0.2)
    assert f"{url}: no answer within 0.2 s (2 attempts)" in message
    server.give("/t", silence, Answer(BODY))
    # Many attempts: on a busy machine a good answer may take longer, too.
    fetch(entry(url), destination, retries=50, timeout=0.2)
    assert destination.read_bytes() == BODY


@pytest.mark.parametrize("answer", [Answer(BODY * 300, chunked=True), Answer(BODY * 300)])
def test_a_body_without_end_is_not_read_to_its_end(server, destination, answer, pauses):
    url = server.give("/t", answer)
    message = refused(entry(url), destination)
    assert f"{len(BODY):,} bytes" in message
    assert pauses == []


def test_too_much_is_stopped_when_it_comes(server, destination, monkeypatch):
    """The announced length is right, as far as it goes; nobody says that more is to come."""
    written = []
    monkeypatch.setattr(download._Progress, "tell", lambda self, size: written.append(size))
    url = server.give("/t", Answer(BODY * 1000, length=None))
    message = refused(entry(url), destination)
    assert f"more than the registered {len(BODY):,} bytes came; stopped there" in message
    assert written == []


def test_another_size_is_refused_before_it_is_fetched(server, destination, pauses):
    message = refused(entry(server.give("/t", Answer(BODY[:-1]))), destination)
    assert f"holds {len(BODY) - 1:,} bytes; registered are {len(BODY):,} bytes" in message
    assert pauses == []


def test_a_wrong_file_is_refused_and_not_asked_for_again(server, destination, pauses):
    url = server.give("/t", Answer(OTHER))
    message = refused(entry(url), destination)
    found = f"{url}: not the registered file: {len(BODY):,} bytes, SHA-256 {digest(OTHER)} came"
    assert found in message
    assert digest(BODY) in message
    assert len(server.requests) == 1
    assert pauses == []


def test_after_a_wrong_file_the_second_address_is_asked(server, destination, capsys):
    first, second = server.give("/1", Answer(OTHER)), server.give("/2", Answer(BODY))
    fetch(entry(first, mirror=second), destination)
    assert destination.read_bytes() == BODY
    assert record(destination)["address"] == second
    assert f"{first}: not the registered file" in capsys.readouterr().out


def test_every_address_is_accounted_for(server, destination, tmp_path, pauses):
    (tmp_path / "mirror").mkdir()
    first, second = server.give("/1", Answer(OTHER)), server.give("/2", Answer(b"", 404))
    message = refused(entry(first, mirror=second), destination, mirror=f"{tmp_path}/mirror")
    lines = [line for line in message.splitlines() if line.startswith("  - ")]
    assert lines[0] == f"  - {tmp_path}/mirror/mice/table.zip: no such file"
    assert lines[1].startswith(f"  - {first}: not the registered file")
    assert lines[2] == f"  - {second}: status 404 Not Found"
    assert f"put the file yourself at {tmp_path}/mirror/mice/table.zip and run again" in message


def test_without_any_address_the_message_says_so(destination):
    message = refused(entry(), destination)
    assert "the datasets sheet has no address for it, and no mirror is set" in message


def test_a_pending_checksum_is_never_trusted_silently(server, destination):
    url = server.give("/t", Answer(BODY))
    with pytest.warns(UserWarning, match="could not be checked") as caught:
        fetch(entry(url, sha256=None, bytes=None), destination)
    message = str(caught[0].message)
    assert f"write both into the sheet: bytes {len(BODY)}, sha256 {digest(BODY)}" in message
    assert "mice/table.zip" in message
    assert record(destination)["checked"] is False
    assert record(destination)["sha256"] == digest(BODY)


# Bytes are part of the names of tests, which have to be the same in every worker: no time of day.
EMPTY_GZ = gzip.compress(b"", mtime=0)
KINDS = [("a.zip", b"PK\x03\x04"), ("a.xls", b"\xd0\xcf\x11\xe0"), ("a.csv.gz", EMPTY_GZ)]


@pytest.mark.parametrize(("file", "start"), KINDS)
def test_a_pending_file_is_at_least_of_its_kind(server, tmp_path, file, start):
    url = server.give("/t", Answer(b'{"error": "quota"}'), Answer(start + b"and so on"))
    row = entry(url, sha256=None, bytes=None, file=file)
    with pytest.raises(DownloadError, match=r"is not a \.\w+ file: it begins with b'{\"error\""):
        fetch(row, tmp_path / file)
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(UserWarning, match="could not be checked"):
        fetch(row, tmp_path / file)


def test_a_registered_checksum_alone_decides(server, destination):
    body = b"not what a zip begins with"
    fetch(entry(server.give("/t", Answer(body)), body), destination)
    assert destination.read_bytes() == body


@pytest.mark.parametrize("answer", [Answer(b""), Answer(b"", chunked=True), Answer(length=None)])
def test_an_empty_file_is_refused(server, destination, answer):
    row = entry(server.give("/t", answer), sha256=None, bytes=None, file="table.csv")
    with pytest.raises(DownloadError, match="an empty file came"):
        fetch(row, destination)
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_mirror_folder_is_asked_first(server, destination, tmp_path, scheme):
    place = tmp_path / "mirror" / "mice" / "table.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(BODY)
    url = server.give("/t", Answer(BODY))
    fetch(entry(url), destination, mirror=f"{scheme}{tmp_path}/mirror")
    assert destination.read_bytes() == place.read_bytes() == BODY
    assert record(destination)["answered"] == str(place)
    assert server.requests == []


def test_a_wrong_file_in_the_mirror_is_refused(destination, tmp_path):
    place = tmp_path / "mirror" / "mice" / "table.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(OTHER)
    message = refused(entry(), destination, mirror=f"{tmp_path}/mirror")
    assert f"{place}: not the registered file" in message
    assert place.read_bytes() == OTHER


def test_a_mirror_without_the_file_leaves_the_internet(server, destination, tmp_path, capsys):
    (tmp_path / "mirror").mkdir()
    fetch(entry(server.give("/t", Answer(BODY))), destination, mirror=f"{tmp_path}/mirror")
    assert destination.read_bytes() == BODY
    assert f"{tmp_path}/mirror/mice/table.zip: no such file" in capsys.readouterr().out


def test_the_mirror_url_is_asked_first(server, destination):
    url = server.give("/t", Answer(BODY))
    fetch(entry(url), destination, mirror=f"{server.address}/data/")
    assert server.paths() == ["/data/mice/table.zip", "/t"]
    destination.unlink()
    server.give("/data/mice/table.zip", Answer(BODY))
    fetch(entry(url), destination, mirror=f"{server.address}/data")
    assert server.paths()[2:] == ["/data/mice/table.zip"]
    assert record(destination)["address"] == f"{server.address}/data/mice/table.zip"


@pytest.mark.parametrize("mirror", ["/no/such/folder", "ftp://example.org"])
def test_a_mirror_that_cannot_be_used_is_named(server, destination, mirror):
    with pytest.raises(InputError, match=f"key mirror: '{mirror}'"):
        fetch(entry(server.give("/t", Answer(BODY))), destination, mirror=mirror)
    assert server.requests == []
    assert not destination.exists()


def test_a_file_address_works(destination, tmp_path):
    (tmp_path / "a table.zip").write_bytes(BODY)
    fetch(entry(f"file://{tmp_path}/a%20table.zip"), destination)
    assert destination.read_bytes() == BODY


def test_nothing_listens_and_no_such_host(destination, pauses, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/t"
        assert "ConnectionRefusedError" in refused(entry(url), destination)
    assert pauses == []

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = refused(entry("http://table.invalid/t"), destination)
    assert "the host name is not known here (Name or service not known)" in message
    assert "check the network" in message
    assert pauses == []


def test_a_file_that_is_there_is_kept(server, destination):
    url = server.give("/t", Answer(BODY))
    destination.parent.mkdir(parents=True)
    destination.write_bytes(BODY)
    fetch(entry(url), destination)
    assert server.requests == []


def test_a_file_that_was_changed_is_fetched_anew(server, destination, capsys):
    url = server.give("/t", Answer(BODY))
    destination.parent.mkdir(parents=True)
    destination.write_bytes(OTHER)
    fetch(entry(url), destination)
    assert destination.read_bytes() == BODY
    told = capsys.readouterr().out
    assert "is not the registered one" in told
    assert digest(OTHER) in told


def test_a_changed_file_stays_where_nothing_better_comes(server, destination):
    destination.parent.mkdir(parents=True)
    destination.write_bytes(OTHER)
    with pytest.raises(DownloadError, match="The file that was there before was left as it is"):
        fetch(entry(server.give("/t", Answer(b"", 404))), destination)
    assert [file.read_bytes() for file in destination.parent.iterdir()] == [OTHER]


def test_what_a_link_leads_to_is_never_written_over(server, destination, tmp_path):
    own = tmp_path / "own.zip"
    own.write_bytes(OTHER)
    destination.parent.mkdir(parents=True)
    destination.symlink_to(own)
    fetch(entry(server.give("/t", Answer(BODY))), destination)
    assert (destination.read_bytes(), own.read_bytes()) == (BODY, OTHER)
    own.write_bytes(BODY)
    destination.unlink()
    destination.symlink_to(own)  # the registered file is taken where it is
    fetch(entry(server.give("/t", Answer(BODY))), destination)
    assert destination.is_symlink()


@pytest.mark.filterwarnings("ignore:mice/table.zip could not be checked")
def test_a_pending_file_is_kept_while_it_is_what_was_recorded(server, destination):
    row = entry(server.give("/t", Answer(BODY)), sha256=None, bytes=None)
    fetch(row, destination)
    fetch(row, destination)
    assert len(server.requests) == 1
    destination.write_bytes(OTHER)
    fetch(row, destination)
    assert destination.read_bytes() == BODY
    for text in ("", "[]", "{"):
        Path(f"{destination}.json").write_text(text)
        fetch(row, destination)
    assert len(server.requests) == 5


@pytest.mark.filterwarnings("ignore:mice/table.zip could not be checked")
def test_a_pending_file_of_another_size_than_registered_is_fetched_anew(server, destination):
    url = server.give("/t", Answer(BODY), Answer(BODY * 2))
    fetch(entry(url, sha256=None, bytes=None), destination)
    fetch(entry(url, sha256=None, bytes=2 * len(BODY)), destination)
    assert destination.read_bytes() == BODY * 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_full_disk_is_named_with_what_is_needed(server, destination, monkeypatch, pauses, size):
    @contextmanager
    def on_a_full_disk(path, follow):
        with atomic_path(path, follow) as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            yield temporary

    monkeypatch.setattr(download, "atomic_path", on_a_full_disk)
    second = server.give("/second", Answer(BODY))
    row = entry(server.give("/t", Answer(BODY)), mirror=second, bytes=size)
    message = refused(row, destination)
    assert "the disk or the quota is full" in message
    assert f"Needed: {len(BODY):,} bytes; free in {destination.parent}: " in message
    assert "Make room" in message
    assert server.paths() == ["/t"]
    assert pauses == []


def test_a_quota_is_a_full_disk(destination):
    error = download._disk_error(OSError(errno.EDQUOT, "Quota"), destination, None)
    assert "quota is full. Needed: size not known; free in " in str(error)


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "downloads").write_text("a file")
    destination = tmp_path / "downloads" / "mice" / "table.zip"
    with pytest.raises(DownloadError, match=f"{destination}: cannot be written: .*director"):
        fetch(entry(server.give("/t", Answer(BODY))), destination)


def test_an_interrupted_download_leaves_nothing(server, destination, monkeypatch):
    def interrupt(self, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(download._Progress, "tell", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(entry(server.give("/t", Answer(BODY))), destination)
    assert list(destination.parent.iterdir()) == []


@pytest.mark.parametrize("body", [BODY, OTHER])
def test_any_of_several_checksums_will_do(server, destination, body):
    row = entry(server.give("/t", Answer(body)), sha256=f"{digest(OTHER)},{digest(BODY)}")
    fetch(row, destination)
    assert destination.read_bytes() == body
    before = destination.stat().st_mtime_ns
    fetch(row, destination)
    assert destination.stat().st_mtime_ns == before  # it is kept


def test_none_of_several_checksums_is_refused(server, destination):
    third = BODY[:-1] + b"?"
    row = entry(server.give("/t", Answer(third)), sha256=f"{digest(OTHER)},{digest(BODY)}")
    assert f"not the registered file: {len(third):,} bytes" in refused(row, destination)
    assert not destination.exists()
