"""The certificate of the server: what is refused at the start, how it is renewed, and real clients that speak TLS."""

import http.client
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import ccxt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from structlog.testing import capture_logs
from websockets.sync.client import connect

from gateway.server import http as gateway_http
from gateway.server.certificate import Certificate, CertificateUnusable
from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.certificates import Authority, Files, files_in, new_authority, pem_of
from tests.gateway.running_gateway import RunningGateway, gateway_of
from tests.gateway.small_gateway import funds
from tests.matching import small_exchange
from tests.matching.small_exchange import until

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    """Those of a certificate that is valid."""
    made = files_in(tmp_path)
    made.write(authority.issue())
    return made


def refusal(files: Files) -> str:
    with pytest.raises(CertificateUnusable) as refused:
        Certificate(files.certificate, files.key)
    return str(refused.value)


# --- what is refused ---------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(files: Files) -> None:
    files.key.unlink()
    assert refusal(files) == f"The key {files.key} cannot be read: No such file or directory."
    files.certificate.unlink()
    assert refusal(files) == f"The certificate {files.certificate} cannot be read: No such file or directory."


def test_a_folder_is_no_certificate(files: Files) -> None:
    files.certificate.unlink()
    files.certificate.mkdir()
    assert refusal(files) == f"The certificate {files.certificate} cannot be read: Is a directory."


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_refused(files: Files, content: bytes) -> None:
    files.certificate.write_bytes(content)
    assert refusal(files) == f"The file {files.certificate} has no certificate in PEM form."


@pytest.mark.parametrize("content", [b"", b"nothing", pem_of(ec.generate_private_key(ec.SECP256R1()), b"password")])
def test_a_file_without_a_key_is_refused(files: Files, content: bytes) -> None:
    files.key.write_bytes(content)
    assert refusal(files) == f"The key {files.key} is not a private key in PEM form without a password."


def test_a_key_of_another_certificate_is_refused(files: Files, authority: Authority) -> None:
    files.key.write_bytes(authority.issue()[1])
    assert refusal(files) == f"The key {files.key} does not fit the certificate {files.certificate}."


def test_a_certificate_that_has_expired_is_refused(files: Files, authority: Authority) -> None:
    files.write(authority.issue(begins=-2 * DAY, ends=-DAY))
    assert refusal(files).startswith(f"The certificate {files.certificate} has expired: it was valid until 20")


def test_a_certificate_of_the_future_is_refused(files: Files, authority: Authority) -> None:
    files.write(authority.issue(begins=DAY, ends=2 * DAY))
    assert refusal(files).startswith(f"The certificate {files.certificate} is not valid before 20")


@pytest.mark.processes
def test_run_gateway_ends_with_one_sentence(files: Files, process_environment: dict[str, str]) -> None:
    files.key.write_bytes(b"nothing")
    given = {
        **process_environment,
        "GATEWAY_CERTIFICATE_FILE": str(files.certificate),
        "GATEWAY_CERTIFICATE_KEY_FILE": str(files.key),
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", "run_gateway"],
        cwd=settings.BASE_DIR,
        env=given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"CommandError: The key {files.key} is not a private key in PEM form without a password."
    )


# --- renewal -----------------------------------------------------------------------------------------------------


def test_renewed_files_are_loaded_when_both_are_there(files: Files, authority: Authority) -> None:
    loaded = Certificate(files.certificate, files.key)
    renewed = authority.issue(ends=2 * DAY)
    with capture_logs() as lines:
        loaded.refresh()
        files.certificate.write_bytes(renewed[0])
        loaded.refresh()
        loaded.refresh()
        files.key.write_bytes(renewed[1])
        loaded.refresh()
        files.key.unlink()
        loaded.refresh()
    assert [line["event"].removeprefix("gateway.certificate_") for line in lines] == [
        *("unusable", "renewed", "unusable"),
    ]


# --- real clients ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Files:
    made = files_in(tmp_path_factory.mktemp("tls"))
    made.write(authority.issue())
    return made


@pytest.fixture(scope="module")
def gateway(tls_files: Files) -> Iterator[RunningGateway]:
    with (
        pytest.MonkeyPatch.context() as patched,
        small_exchange.leader(small_exchange.plan(ring_blocks=100_000)) as engine,
    ):
        patched.setattr(gateway_http, "CERTIFICATE_CHECK_S", 0.02)
        with gateway_of(engine, certificate=Certificate(tls_files.certificate, tls_files.key)) as running:
            running.call(*DEFINITIONS)
            running.call(*funds(1), *funds(2))
            yield running


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem.decode())


def peer_serial(gateway: RunningGateway, authority: Authority) -> str:
    """The serial number of the certificate that a new connection gets."""
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as plain,
        trusting(authority).wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        found = secured.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_ccxt_buys_over_tls(
    gateway: RunningGateway, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    key, secret = gateway.keys.add(1)
    exchange = ccxt.binance({"apiKey": key, "secret": secret, "options": {"fetchMarkets": {"types": ["spot"]}}})
    exchange.requests_trust_env = True
    exchange.session.trust_env = True
    address = f"https://127.0.0.1:{gateway.port}"
    exchange.urls["api"]["public"] = exchange.urls["api"]["private"] = f"{address}/api/v3"
    exchange.urls["api"]["sapi"] = f"{address}/sapi/v1"
    placed = exchange.create_order("BTC/USD", "limit", "buy", 0.01, 20000)
    assert exchange.fetch_order(placed["id"], "BTC/USD")["status"] == "open"


def test_streams_and_the_websocket_api_speak_tls(gateway: RunningGateway, authority: Authority) -> None:
    address = f"wss://127.0.0.1:{gateway.port}"
    with connect(f"{address}/ws-api/v3", ssl=trusting(authority), open_timeout=60) as session:
        session.send(json.dumps({"id": 1, "method": "ping"}))
        assert json.loads(session.recv(60))["status"] == 200
    with connect(f"{address}/ws/btcusd@trade", ssl=trusting(authority), open_timeout=60) as consumer:
        sell: dict[str, Any] = small_exchange.order(1, "sell", "30000")
        gateway.call(sell, small_exchange.order(2, "buy", "30000"))
        assert json.loads(consumer.recv(60))["e"] == "trade"


def test_a_client_that_does_not_trust_the_authority_refuses(gateway: RunningGateway) -> None:
    connection = http.client.HTTPSConnection(
        "127.0.0.1", gateway.port, context=ssl.create_default_context(), timeout=60
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/api/v3/ping")


def test_plain_http_gets_no_answer(gateway: RunningGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("GET", "/api/v3/ping")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()


def test_new_connections_get_the_renewed_certificate_and_open_ones_stay(
    gateway: RunningGateway, authority: Authority, tls_files: Files
) -> None:
    with connect(f"wss://127.0.0.1:{gateway.port}/ws-api/v3", ssl=trusting(authority), open_timeout=60) as session:
        before = peer_serial(gateway, authority)
        tls_files.write(authority.issue())
        until(lambda: peer_serial(gateway, authority) != before, "the renewed certificate")
        session.send(json.dumps({"id": 1, "method": "ping"}))
        assert json.loads(session.recv(60))["status"] == 200
