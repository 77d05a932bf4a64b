"""Makes a server of this machine reachable in network namespaces."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.system.namespaces import Namespaces

_CHUNK_BYTES = 64 * 1024


@contextmanager
def forwarded(machines: Namespaces, names: str, port: int) -> Iterator[None]:
    """While the block runs, 127.0.0.1:port of these namespaces leads to 127.0.0.1:port of this machine."""
    with ExitStack() as opened:
        for name in names:
            thread = opened.enter_context(machines.thread(name))
            server = thread.submit(_Forwarder, port).result()
            opened.callback(server.server_close)
            accepting = threading.Thread(target=server.serve_forever, args=(0.05,))
            accepting.start()
            opened.callback(accepting.join)
            opened.callback(server.shutdown)
        yield


class _Forwarder(socketserver.ThreadingTCPServer):
    """A socket stays in the namespace of the thread that made it, whichever thread uses it later."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(("127.0.0.1", port), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Forwarder
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port)) as there:
            back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
            back.start()
            _copy(self.request, there)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copies until one side closes, then closes both directions."""
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
