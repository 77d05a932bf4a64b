"""HTTP server of a worker process: `/health/live`, `/health/ready` and `/metrics`."""

import socketserver
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from prometheus_client import make_wsgi_app

from exchange_site.configuration.addresses import PortInUseError, parse_host_port, refuse_port_in_use
from exchange_site.operations import health

log = structlog.get_logger(__name__)

POLL_S = 0.1  # upper bound on the delay before the server notices close()
Respond = Callable[[], tuple[int, bytes]]
REASONS = {200: "200 OK", 404: "404 Not Found", 405: "405 Method Not Allowed", 503: "503 Service Unavailable"}


class WorkerServer:
    """Runs in its own threads until closed; also a context manager."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="http", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "WorkerServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(address: str, ready_checks: Mapping[str, health.Probe]) -> WorkerServer:
    """Starts a server at HOST:PORT.

    Raises AddressError if `address` has another form, PortInUseError (an OSError) if the port cannot be used; their
    text is one sentence.
    """
    where = parse_host_port(address)
    refuse_port_in_use(where)
    family = where.family

    class Server(_Server):
        address_family = family

    try:
        server = Server((where.host, where.port), _Handler)
    except OSError as error:  # another process took the port since the check
        raise PortInUseError(error.errno, f"{address} cannot be used: {error.strerror}") from None
    server.set_app(application(ready_checks))
    return WorkerServer(server)


def application(ready_checks: Mapping[str, health.Probe]) -> WSGIApplication:
    metrics: WSGIApplication = make_wsgi_app()
    pages: dict[str, Respond] = {
        "/health/live": lambda: health.answer({}),
        "/health/ready": lambda: health.answer(ready_checks),
    }

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, body = 405, b"{}"
        elif environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start_response)
        elif page := pages.get(environ["PATH_INFO"]):
            status, body = page()
        else:
            status, body = 404, b"{}"
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start_response(REASONS[status], [*headers, ("Content-Length", str(len(body)))])
        return [body]

    return respond


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a client that never finishes its request must not prevent the worker from stopping

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks up the host's name: that can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects during the response is logged as one event, without a traceback."""
        log.info("http.connection_failed", error=type(sys.exception()).__name__)


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds before an idle client is disconnected

    def log_message(self, format: str, *args: object) -> None:
        """Not logged: scrapes and health checks come every few seconds."""
