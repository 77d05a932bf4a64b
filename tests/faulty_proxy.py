"""A proxy for HTTP on loopback that lets one request in some fail, before it reaches the real server or after."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from exchange_site.operations.free_addresses import HOST

_BUSY = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>'
)


class Fault(Enum):
    BUSY = "503 without asking the server"
    CUT_UPLOAD = "the server gets half of the body, then the connection ends"
    CUT_ANSWER = "the client gets half of the answer, then the connection ends"
    SILENCE = "no answer until the proxy ends"


Choose = Callable[[str, str], Fault | None]
"""Called with method and path of each request."""


class FaultyProxy:
    def __init__(self, server: str) -> None:
        """`server`: host and port."""
        self.server = server
        self.choose: Choose = lambda method, path: None
        self.faults = 0
        self.ends = threading.Event()


@contextmanager
def faulty_proxy(server: str) -> Iterator[tuple[str, FaultyProxy]]:
    """The proxy's URL, and the proxy."""
    proxy = FaultyProxy(server)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    listener = ThreadingHTTPServer((HOST, 0), handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listener.server_port}", proxy
    finally:
        proxy.ends.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that does not wait for the end of an answer
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""

    def _pass_on(self) -> None:
        is_chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        body = self._chunks() if is_chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.choose(self.command, self.path)
        self.proxy.faults += fault is not None
        if fault is Fault.BUSY:
            self._answer(503, "Slow Down", [("Content-Type", "application/xml")], _BUSY)
        elif fault is Fault.SILENCE:
            self.proxy.ends.wait()
            self._hang_up()
        elif fault is Fault.CUT_UPLOAD:
            self._send_half(body)
            self._hang_up()
        else:
            self._relay(body, is_cut=fault is Fault.CUT_ANSWER)

    def _chunks(self) -> bytes:
        """The body as it was sent, with the lengths of its chunks."""
        body = b""
        while True:
            line = self.rfile.readline()
            size = int(line.split(b";")[0], 16)
            body += line + (self.rfile.read(size + len(b"\r\n")) if size else self.rfile.readline())
            if not size:
                return body

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _relay(self, body: bytes, *, is_cut: bool) -> None:
        connection = HTTPConnection(self.proxy.server)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders()
            connection.send(body)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            self._hang_up()
            return
        finally:
            connection.close()
        kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("connection", "transfer-encoding")]
        self._answer(answer.status, answer.reason, kept, data, is_cut=is_cut)

    def _answer(
        self, status: int, reason: str, headers: list[tuple[str, str]], data: bytes, *, is_cut: bool = False
    ) -> None:
        self.send_response_only(status, reason)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if is_cut else data)
        if is_cut:
            self._hang_up()

    def _send_half(self, body: bytes) -> None:
        host, port = self.proxy.server.split(":")
        with socket.create_connection((host, int(port))) as server:
            head = f"{self.command} {self.path} HTTP/1.1\r\n" + "".join(
                f"{n}: {v}\r\n" for n, v in self.headers.items()
            )
            server.sendall(head.encode("latin-1") + b"\r\n" + body[: len(body) // 2])

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client was faster
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
