"""Free ports and addresses for processes of tests."""

import socket

import pytest

from exchange_site.operations.free_addresses import HOST, NoFreePort, Ports, free_addresses, is_free


def test_a_port_is_reused_only_after_all_others() -> None:
    ports = Ports(21_000, 21_039)
    given = [port for _ in range(10) for port in ports.take(2)]
    assert len(set(given)) == 20
    assert all(21_000 <= port <= 21_039 for port in given)


def test_a_port_in_use_is_skipped() -> None:
    (taken,) = Ports().take(1)
    with socket.create_server((HOST, taken)):
        assert not is_free(taken)
        with pytest.raises(NoFreePort, match=f"from {taken} to {taken} are free"):
            Ports(taken, taken).take(1)
    assert Ports(taken, taken).take(1) == [taken]


def test_several_ports_are_consecutive() -> None:
    first, second, third = Ports().take(3)
    assert (second, third) == (first + 1, first + 2)


def test_each_setting_gets_a_different_address() -> None:
    addresses = free_addresses(zmq=["A", "B"], http=["C"])
    assert list(addresses) == ["A", "B", "C"]
    assert [addresses[name].rpartition(":")[0] for name in "ABC"] == ["tcp://127.0.0.1"] * 2 + ["127.0.0.1"]
    assert len({address.rpartition(":")[2] for address in addresses.values()}) == 3
