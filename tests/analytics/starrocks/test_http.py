"""Redirects and credentials."""

import base64
import socket
import threading

import pytest

from analytics.errors import StarRocksRefused, StarRocksUnavailable
from analytics.starrocks.http import StarRocksHttp, cluster_of
from tests.analytics.starrocks.server import Cluster

HEADERS = {"label": "a", "db": "exchange", "table": "assets"}


def test_a_redirect_is_followed_with_credentials(cluster: Cluster, http: StarRocksHttp) -> None:
    assert http.request("POST", "/api/transaction/begin", HEADERS)["Status"] == "OK"
    assert cluster.credentials_at == ["front", "back"]


@pytest.mark.parametrize("elsewhere", ["http://localhost:{port}", "http://127.0.0.2:{port}", "ftp://127.0.0.1:{port}"])
def test_credentials_are_not_sent_to_another_host(cluster: Cluster, http: StarRocksHttp, elsewhere: str) -> None:
    cluster.redirect_to = elsewhere.format(port=cluster.back_end.rpartition(":")[2])
    with pytest.raises(StarRocksRefused, match="is not in STARROCKS_HOSTS, so nothing was sent there"):
        http.request("POST", "/api/transaction/begin", HEADERS)
    assert cluster.credentials_at == ["front"]


@pytest.mark.parametrize("form", ["localhost", "localhost:{port}"])
def test_a_host_of_the_settings_gets_them(cluster: Cluster, url: str, form: str) -> None:
    port = cluster.back_end.rpartition(":")[2]
    cluster.redirect_to = f"http://localhost:{port}"
    http = StarRocksHttp(cluster_of(url, [form.format(port=port)]))
    assert http.request("POST", "/api/transaction/begin", HEADERS)["Status"] == "OK"


def test_another_port_of_a_host_with_a_port_is_refused(cluster: Cluster, url: str) -> None:
    cluster.redirect_to = cluster.back_end.replace("127.0.0.1", "localhost")
    with pytest.raises(StarRocksRefused, match="is not in STARROCKS_HOSTS"):
        StarRocksHttp(cluster_of(url, ["localhost:1"])).request("POST", "/api/transaction/begin", HEADERS)


def test_a_redirect_without_tls_is_refused(http: StarRocksHttp) -> None:
    with_tls = StarRocksHttp(http.cluster._replace(url="https://127.0.0.1:1"))
    with pytest.raises(StarRocksRefused, match="without TLS, so nothing was sent there"):
        with_tls._refuse_foreign("http://127.0.0.1:8040/api")


def test_redirects_in_a_circle_are_refused(cluster: Cluster, http: StarRocksHttp) -> None:
    cluster.redirect_to = http.cluster.url
    with pytest.raises(StarRocksRefused, match="redirects a request more than 3 times"):
        http.request("POST", "/api/transaction/begin", HEADERS)


def test_a_wrong_password_is_told_without_showing_it(http: StarRocksHttp) -> None:
    wrong = StarRocksHttp(http.cluster._replace(password="guessed"))
    with pytest.raises(StarRocksRefused) as error:
        wrong.request("POST", "/api/transaction/begin", HEADERS)
    assert "refuses the user of STARROCKS_URL" in str(error.value)
    assert "guessed" not in str(error.value)


def test_a_server_that_is_away_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        http = StarRocksHttp(cluster_of(f"http://u:p@127.0.0.1:{taken.getsockname()[1]}/exchange", []))
        with pytest.raises(StarRocksUnavailable, match="does not answer: "):
            http.request("GET", "/api/exchange/get_load_state?label=x")


def test_a_front_end_gets_no_body(http: StarRocksHttp) -> None:
    """It answers after the headers; the rows go to the back end alone."""
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def redirect() -> None:
            nonlocal received
            connection, _ = server.accept()
            with connection:
                while b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                while more := connection.recv(65536):
                    received += more

        thread = threading.Thread(target=redirect)
        thread.start()
        of_front = http.cluster._replace(url=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(StarRocksRefused):
            StarRocksHttp(of_front).request("PUT", "/api/transaction/load", HEADERS, b"rows")
        thread.join()
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length: 4\r\n" in received
    assert base64.b64encode(b"loader:secret:of/loader") in received


@pytest.mark.parametrize(
    "url",
    [
        "",
        "starrocks://u:p@h:1/d",
        "http://h:8030/d",
        "http://u:p@h/d",
        "http://u:p@h:8030",
        "http://u:p@h:x/d",
        "http://u:p@h:8030/d/e",
        "http://[u:p@h:8030/d",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(StarRocksRefused, match="STARROCKS_URL is not") as error:
        cluster_of(url, [])
    assert "u:p" not in str(error.value)
