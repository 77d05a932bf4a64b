"""The market page behind a proxy that serves it below a path of its own."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.gateway.market_page.market_view import MarketView
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import new_market

pytestmark = pytest.mark.services("browser")

PREFIX = b"GET /venue/"


class _Proxy(socketserver.ThreadingTCPServer):
    """Takes the prefix out of each request. It does not read the requests: none of a browser here has a body."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target: int) -> None:
        self.target = target
        super().__init__(("127.0.0.1", 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: _Proxy
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.target)) as there:
            back = threading.Thread(target=self._copy, args=(there, self.request), daemon=True)
            back.start()
            self._copy(self.request, there)
            back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(b"GET /" + data.removeprefix(PREFIX) if data.startswith(PREFIX) else data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(target: int) -> Iterator[int]:
    with _Proxy(target) as server:
        accepting = threading.Thread(target=server.serve_forever, args=(0.05,))
        accepting.start()
        yield server.server_address[1]
        server.shutdown()
        accepting.join()


def test_the_page_is_live_below_a_prefix(view: MarketView, gateway: RunningGateway) -> None:
    market = new_market(gateway)
    with proxy(gateway.port) as port:
        view.open_live(f"http://127.0.0.1:{port}/venue/market/{market.symbol.lower()}")
        assert view.browser.current_url.endswith(f"/venue/market/{market.engine_symbol}")
        market.trade_at("100")
        view.until(lambda page: view.text("last") == "100.00")
        assert not view.all_complaints()
        view.open("about:blank")
