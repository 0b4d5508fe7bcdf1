"""Addresses of this machine or of the net as streams of bytes."""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from bcnmf import __version__
from bcnmf_pipeline.acquire.registry import local_path

BLOCK = 1 << 20
# A server may ask for patience (Retry-After); beyond this another address is the better choice.
LONGEST_RETRY_AFTER = 120.0
USER_AGENT = f"bcnmf/{__version__} (downloads of the bcNMF pipeline)"

# What passes by itself. A host that refuses or does not exist does not.
_TRANSIENT_ERRORS = (
    TimeoutError,
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    ssl.SSLEOFError,
    http.client.IncompleteRead,
)
_TRANSIENT_STATUS = frozenset({408, 429})


class Fault(Exception):
    """Why an address did not give the file; `transient` if asking again may help."""

    def __init__(self, found: str, transient: bool = False, pause: float = 0.0) -> None:
        super().__init__(found)
        self.transient = transient
        self.pause = pause


class Source(NamedTuple):
    """An open address: its stream, the size it announces, and who answered after redirects."""

    stream: IO[bytes]
    size: int | None
    answered: str


def open_source(address: str, timeout: float) -> Source:
    """Open a path, a file:// or an http(s) address.

    Raises
    ------
    Fault
        It cannot be opened.
    """
    path = local_path(address)
    try:
        if path is not None:
            return Source(path.open("rb"), path.stat().st_size, str(path.absolute()))
        request = urllib.request.Request(address, headers={"User-Agent": USER_AGENT})
        opener = urllib.request.build_opener(_OnlyHttp)
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise _status_fault(error) from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _source_fault(error, timeout) from error
    if response.status != http.HTTPStatus.OK:
        with response:
            raise Fault(f"status {response.status} {response.reason}")
    return Source(response, response.length, response.url)


def blocks(stream: IO[bytes], timeout: float) -> Iterator[bytes]:
    """Yield what a source gives.

    Raises
    ------
    Fault
        It stopped giving.
    """
    while True:
        try:
            block = stream.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _source_fault(error, timeout) from error
        if not block:
            return
        yield block


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follow redirects to http and https alone: none to a file of this machine."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            fp.close()
            raise Fault(f"status {code}: sends on to {newurl}; only http(s) is followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _status_fault(error: urllib.error.HTTPError) -> Fault:
    found = f"status {error.code} {' '.join(str(error.reason).split())}"
    transient = error.code >= 500 or error.code in _TRANSIENT_STATUS
    pause = _retry_after(error.headers.get("Retry-After", "")) if transient else 0.0
    if pause > LONGEST_RETRY_AFTER:
        return Fault(f"{found}; asks to come back in {pause:.0f} s, which is too long to wait")
    return Fault(found, transient, pause)


def _retry_after(value: str) -> float:
    """Return the seconds that a Retry-After header asks for; 0 if it says nothing readable."""
    if re.fullmatch("[0-9]+", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one that no calendar has
        return 0.0


def _source_fault(error: Exception, timeout: float) -> Fault:
    """Say what hindered reading, and whether it may pass."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    transient = isinstance(reason, _TRANSIENT_ERRORS)
    if isinstance(reason, TimeoutError):
        found = f"no answer within {timeout:g} s"
    elif isinstance(reason, FileNotFoundError):
        found = "no such file"
    elif isinstance(reason, http.client.IncompleteRead):
        found = "the connection was cut before the end of the file"
    elif isinstance(reason, socket.gaierror):
        transient = reason.errno == socket.EAI_AGAIN
        found = f"the host name is not known here ({reason.strerror})"
    elif isinstance(reason, UnicodeError):  # its class and text are not the same in every Python
        found = "the address, or one that it redirects to, has a host name that cannot exist"
    else:
        found = f"{type(reason).__name__}: {reason}"
    return Fault(found, transient)
