"""A web server on this machine that answers as a test tells it to."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One answer: what is said about the body, and what then comes."""

    body: bytes = b""
    status: int | None = 200  # None: no head, the body alone
    headers: dict[str, str] = field(default_factory=dict)
    length: int | str | None = "true"  # what Content-Length says; None: nothing
    chunked: bool = False
    then: str = "close"  # or: cut (a chunked body), reset, hang


class Loopback:
    """Serve scripted answers: a list per path, the last of which stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def give(self, path: str, *answers: Answer) -> str:
        """Script a path, and return its address."""
        self.answers[path] = list(answers)
        return f"{self.address}{path}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, path: str) -> Answer:
        script = self.answers.get(path, [Answer(b"nothing here", 404)])
        return script.pop(0) if len(script) > 1 else script[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                loopback.requests.append((self.path, dict(self.headers)))
                self.close_connection = True
                answer = loopback._next(self.path)
                try:
                    loopback._send(self, answer)
                except OSError:
                    return  # the client has gone, as some tests want

            def log_message(self, *_: object) -> None:
                """Keep the output of tests clean."""

        return Handler

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.status is not None:
            self._send_head(handler, answer)
        if answer.chunked:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(answer.body), answer.body))
            if answer.then == "close":
                handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.wfile.write(answer.body)
        handler.wfile.flush()
        if answer.then == "hang":
            self._stop.wait(30)
        elif answer.then == "reset":
            # Closing with no linger sends a reset instead of an orderly end.
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()

    def _send_head(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        elif answer.length is not None:
            length = len(answer.body) if answer.length == "true" else answer.length
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
