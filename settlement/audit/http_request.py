"""One HTTP request, without redirects: for webhooks, and for files at a URL."""

import http.client
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import SplitResult


class HttpFailed(Exception):
    """The request failed or was not answered; the text is the reason."""


class HttpAnswer(NamedTuple):
    status: int
    body: bytes


def send_request(
    url: SplitResult,
    timeout_s: float,
    *,
    post: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = 1 << 16,
) -> HttpAnswer:
    """A GET, or a POST of JSON. `url` has a host and is http or https. Reads `max_bytes` of the answer.

    `headers`: further ones. `timeout_s` applies to each wait on the socket. Raises HttpFailed.
    """
    connection = _connection(url, timeout_s)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    own = {} if post is None else {"Content-Type": "application/json"}
    try:
        connection.request("GET" if post is None else "POST", target, post, {**own, **(headers or {})})
        answer = connection.getresponse()
        return HttpAnswer(answer.status, answer.read(max_bytes))
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: an invalid host or target
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HttpFailed(reason or str(error) or type(error).__name__) from error
    finally:
        connection.close()


def post(url: SplitResult, timeout_s: float, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """A POST of JSON that has to be answered with a status from 200 to 299. Raises HttpFailed."""
    status = send_request(url, timeout_s, post=body, headers=headers).status
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise HttpFailed(f"it answered with status {status}")


def _connection(url: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, url.port, timeout=timeout_s)
