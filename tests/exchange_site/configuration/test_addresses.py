import socket

import pytest

from exchange_site.configuration.addresses import (
    AddressError,
    HostPort,
    PortInUseError,
    parse_host_port,
    parse_zmq_endpoint,
    refuse_port_in_use,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", HostPort("127.0.0.1", 8000)),
        ("localhost:1", HostPort("localhost", 1)),
        ("[::1]:65535", HostPort("::1", 65535)),
    ],
)
def test_host_and_port(text: str, address: HostPort) -> None:
    assert parse_host_port(text) == address
    assert parse_zmq_endpoint(f"tcp://{text}") == address
    assert address.is_loopback


@pytest.mark.parametrize(
    "text",
    ["", "8000", "127.0.0.1", "h:0", "h:65536", "h:x", "h:1/path", "u@h:1", "h:1?q", " h:1", "h:1\n", "[::1", "::1"],
)
def test_text_that_is_not_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="is not HOST:PORT"):
        parse_host_port(text)
    with pytest.raises(AddressError, match="is not tcp://HOST:PORT"):
        parse_zmq_endpoint(f"tcp://{text}")


def test_an_ipc_address_has_no_host_and_port() -> None:
    assert parse_zmq_endpoint("ipc:///run/exchange/commands") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "exchange.example"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not HostPort(host, 1).is_loopback


def test_the_url_of_a_wildcard_address_uses_loopback() -> None:
    assert HostPort("0.0.0.0", 8000).url == "http://127.0.0.1:8000"
    assert HostPort("::", 8000).url == "http://[::1]:8000"
    assert HostPort("192.0.2.1", 8000).url == "http://192.0.2.1:8000"


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = HostPort("127.0.0.1", other.getsockname()[1])
        with pytest.raises(PortInUseError) as refused:
            refuse_port_in_use(taken)
        assert refused.value.strerror == f"127.0.0.1:{taken.port} cannot be used: Address already in use"

    refuse_port_in_use(taken)
