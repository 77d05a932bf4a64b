"""Requests to a StarRocks cluster, with its redirects.

A front end (FE) answers most requests with 307 and the address of a back end (BE), which takes the data. The user name
and the password are sent again, but only to the hosts of the settings: a front end that was replaced must not be able
to send them elsewhere. A body is sent only to where the front end redirects.
https://docs.starrocks.io/docs/loading/Stream_Load_transaction_interface/
"""

import base64
import json
from collections.abc import Collection, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from analytics.errors import StarRocksRefused, StarRocksUnavailable

_REDIRECTS = 3
_REDIRECTED = (301, 302, 303, 307, 308)
_MAX_ANSWER = 1 << 20


class Cluster(NamedTuple):
    """`hosts`: where credentials may be sent, as HOST or HOST:PORT; without a port: any port."""

    url: str  # of a front end, without credentials and path
    database: str
    user: str
    password: str
    hosts: frozenset[str]
    timeout_s: float = 60.0


def cluster_of(url: str, hosts: Collection[str], timeout_s: float = 60.0) -> Cluster:
    """Reads `http://USER:PASSWORD@HOST:PORT/DATABASE`. Raises StarRocksRefused; the password is not shown."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise StarRocksRefused("STARROCKS_URL is not a URL.") from error
    database = parts.path.strip("/")
    if (
        parts.scheme not in ("http", "https")
        or not host
        or not port
        or not database.isidentifier()
        or not parts.username
    ):
        raise StarRocksRefused("STARROCKS_URL is not of the form http://USER:PASSWORD@HOST:PORT/DATABASE.")
    return Cluster(
        url=f"{parts.scheme}://{_name(host)}:{port}",
        database=database,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        hosts=frozenset({host, *hosts}),
        timeout_s=timeout_s,
    )


class StarRocksHttp:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> dict[str, Any]:
        """The JSON object of the answer, whatever it says.

        Raises StarRocksUnavailable: whether the request was carried out is unknown; StarRocksRefused.
        """
        url = f"{self.cluster.url}{path}"
        for hop in range(_REDIRECTS + 1):
            self._refuse_foreign(url)
            try:
                status, location, text = self._exchange(method, url, headers or {}, body, is_first=hop == 0)
            except (OSError, HTTPException) as error:
                raise StarRocksUnavailable(f"{_place(url)} does not answer: {_reason(error)}.") from error
            if status not in _REDIRECTED:
                return _document(url, status, text)
            url = urljoin(url, location)
        raise StarRocksRefused(f"StarRocks redirects a request more than {_REDIRECTS} times.")

    def _refuse_foreign(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            names = {parts.hostname, f"{parts.hostname}:{parts.port}"}
        except ValueError as error:
            raise StarRocksRefused("StarRocks redirects to an address that is not a URL.") from error
        if self.cluster.url.startswith("https:") and parts.scheme != "https":
            raise StarRocksRefused(f"StarRocks redirects to {_place(url)} without TLS, so nothing was sent there.")
        if parts.scheme not in ("http", "https") or not names & self.cluster.hosts:
            raise StarRocksRefused(
                f"StarRocks redirects to {_place(url)}, which is not in STARROCKS_HOSTS, so nothing was sent there."
            )

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, is_first: bool
    ) -> tuple[int, str, bytes]:
        """Status, the header Location, and the body of one answer."""
        parts = urlsplit(url)
        connection = self._connection(parts)
        try:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.putrequest(method, path)
            credentials = f"{self.cluster.user}:{self.cluster.password}".encode()
            connection.putheader("Authorization", f"Basic {base64.b64encode(credentials).decode()}")
            connection.putheader("Expect", "100-continue")
            connection.putheader("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value)
            # The front end never reads a body: it redirects as soon as it has the headers.
            connection.endheaders(None if is_first else body)
            response: HTTPResponse = connection.getresponse()
            return response.status, response.headers.get("Location", ""), response.read(_MAX_ANSWER)
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> HTTPConnection:
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self.cluster.timeout_s)


def _document(url: str, status: int, text: bytes) -> dict[str, Any]:
    if status in (401, 403):
        raise StarRocksRefused(f"{_place(url)} refuses the user of STARROCKS_URL: check its password and its rights.")
    if status >= 500:
        raise StarRocksUnavailable(f"{_place(url)} answered with status {status}.")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise StarRocksUnavailable(f"{_place(url)} answered with status {status} and no JSON.") from error
    if not isinstance(found, dict):
        raise StarRocksUnavailable(f"{_place(url)} answered with status {status} and no JSON object.")
    return found


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"StarRocks at {parts.netloc.rpartition('@')[2]}"


def _name(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
