"""Sockets with keys, on loopback: who may connect, who is known as the sender, and what a revocation does."""

import os
import socket as unix
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from structlog.testing import capture_logs

from exchange_site.operations.free_addresses import free_zmq_address
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.listening.connections import CHECK_S, ConnectionLimits
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import LOCAL_PEER, AddressUnusable, Kind, Limits, RawSocket, Socket, Undelivered
from tests.matching.keyed import LIMITS, Keyed, Waiting, received
from tests.matching.small_exchange import until

QUIET_S = 0.7
"""Longer than a connection and two retries take on loopback."""


@pytest.fixture
def keyed() -> Iterator[Keyed]:
    made = Keyed()
    with made.open:
        yield made


def test_a_listening_socket_knows_the_key_of_every_message(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    trader, operator = keyed.key(KeyRole.TRADER, 1, 2), keyed.key(KeyRole.OPERATOR)
    connected = [keyed.connect(address, key) for key in (trader, operator)]
    for one, key in zip(connected, (trader, operator), strict=True):
        one.socket.send(b"verb", b"rest", b"more")
        message = received(listening, one)
        assert message is not None
        assert message[1:] == [b"verb", b"rest", b"more"]
        assert listening.peer == keyed.register.find(key.public)
    assert listening.peer is not None
    assert listening.peer.role is KeyRole.OPERATOR


@pytest.mark.parametrize("limits", [wire.COMMAND_LIMITS, wire.BLOCK_LIMITS, wire.RETRANSMIT_LIMITS])
def test_the_frame_limit_of_an_engines_socket_lets_a_handshake_pass(keyed: Keyed, limits: Limits) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address, limits=limits)
    client = keyed.connect(address, keyed.key(KeyRole.OBSERVER))
    client.socket.send(b"verb")
    assert received(listening, client) is not None


def test_an_answer_reaches_its_sender_and_comes_from_an_engine(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    client = keyed.connect(address, keyed.key(KeyRole.OBSERVER))
    client.socket.send(b"verb")
    message = received(listening, client)
    assert message is not None
    listening.send(message[0], b"answer")
    assert client.receive() == [b"answer"]
    assert client.socket.peer == keyed.register.find(keyed.engine.public)


def test_an_unknown_key_is_not_admitted_and_is_told_so(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    client = keyed.connect(address, keyed.stranger(KeyRole.TREASURY))
    client.socket.send(b"verb")
    client.wait_for(lambda: "refuses the key treasury-2" in client.socket.problem, "the reason is known")
    assert received(listening, client, QUIET_S) is None


def test_a_key_that_is_registered_later_is_admitted_without_a_restart(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    with pytest.MonkeyPatch.context() as patch:
        before = keyed.register
        trader = keyed.key(KeyRole.TRADER, 1)
        after = keyed.register
        patch.setattr(keyed, "register", before)
        client = keyed.connect(address, trader)
        client.socket.send(b"early")
        client.wait_for(lambda: "refuses" in client.socket.problem, "it is refused at first")
        patch.setattr(keyed, "register", after)
        message = received(listening, client)
    assert message is not None
    assert message[1:] == [b"early"], "the message was carried over to the connection that was admitted"
    client.wait_for(lambda: client.socket.problem == "", "the connection is known to be established")


def test_a_client_without_a_key_gets_no_answer(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    context: zmq.Context[RawSocket] = zmq.Context()
    with context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(address)
        plain.send_multipart([b"verb"])
        assert received(listening, timeout_s=QUIET_S) is None


def test_a_revoked_key_is_known_as_revoked_from_its_next_message_on(keyed: Keyed) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address)
    trader = keyed.key(KeyRole.TRADER, 1)
    client = keyed.connect(address, trader)
    client.socket.send(b"one")
    assert received(listening, client) is not None
    assert listening.peer is not None
    assert not listening.peer.revoked
    keyed.revoke(trader)
    assert listening.peer.revoked, "also for the message that was received before"
    client.socket.send(b"two")
    assert received(listening, client) is not None
    assert listening.peer.revoked


def test_a_socket_admits_only_the_roles_that_it_names(keyed: Keyed) -> None:
    address = free_zmq_address()
    publisher = keyed.listen(address, Kind.PUB, admits=[KeyRole.SETTLEMENT])
    trader = keyed.connect(address, keyed.key(KeyRole.TRADER, 1), Kind.SUB)
    reader = keyed.connect(address, keyed.key(KeyRole.SETTLEMENT), Kind.SUB)
    trader.wait_for(lambda: "may not use this socket" in trader.socket.problem, "the trader is refused")

    def is_subscribed() -> bool:
        publisher.send(b"block")
        return reader.socket.receive() is not None

    reader.wait_for(is_subscribed, "settlement receives blocks")
    assert trader.socket.receive() is None


def test_a_revocation_ends_a_readers_subscription_and_no_others(keyed: Keyed) -> None:
    address = free_zmq_address()
    publisher = keyed.listen(address, Kind.PUB)
    keys = [keyed.key(KeyRole.OBSERVER), keyed.key(KeyRole.SETTLEMENT)]
    observer, settlement = (keyed.connect(address, key, Kind.SUB) for key in keys)

    def reaches(text: bytes) -> list[bool]:
        publisher.send(text)
        observer.network.wait([observer.socket], 0)
        settlement.network.wait([settlement.socket], 0)
        return [[text] in iter(one.socket.receive, None) for one in (observer, settlement)]

    observer.wait_for(lambda: reaches(b"before") == [True, True], "both receive")
    keyed.revoke(keys[0])
    settlement.wait_for(lambda: reaches(b"after") == [False, True], "only settlement receives")
    for _ in range(20):
        assert reaches(b"later")[0] is False
        settlement.network.wait([settlement.socket], 0.02)
    observer.wait_for(lambda: "refuses" in observer.socket.problem, "the observer is told")


def test_a_connection_that_a_revocation_has_closed_does_not_count(keyed: Keyed) -> None:
    address = free_zmq_address()
    publisher = keyed.listen(address, Kind.PUB, connections=ConnectionLimits(connections=1))
    key = keyed.key(KeyRole.OBSERVER)
    with capture_logs() as logs, ExitStack() as opened:
        once = opened.enter_context(zmq.Context()).socket(zmq.SUB)
        opened.callback(once.close)
        once.reconnect_ivl = -1  # it does not come back under the number of its old descriptor
        once.curve_publickey, once.curve_secretkey = key.public.encode(), key.secret.encode()
        once.curve_serverkey = keyed.engine.public.encode()
        once.subscribe(b"")
        closed = once.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        opened.callback(once.disable_monitor)
        once.connect(address)
        began_s = time.monotonic()
        until(lambda: sends_to(publisher, once) and is_checked(began_s), "it reads")
        keyed.revoke(key)
        until(lambda: sends_to(publisher, closed), "its connection is closed")
        for _ in range(20):
            opened.callback(os.close, os.eventfd(0))  # one takes that number
        reader, began_s = keyed.connect(address, keyed.key(KeyRole.SETTLEMENT), Kind.SUB), time.monotonic()
        reader.wait_for(lambda: has_received(publisher, reader) and is_checked(began_s), "another reads")
    assert not [line for line in logs if line["event"] == "transport.connection_cut"]


def sends_to(publisher: Socket, readable: RawSocket) -> bool:
    publisher.send(b"block")
    return bool(readable.poll(1))


def is_checked(since_s: float) -> bool:
    """Whether a connection made since then was measured."""
    return time.monotonic() - since_s > 5 * CHECK_S


def has_received(publisher: Socket, reader: Waiting) -> bool:
    publisher.send(b"block")
    reader.network.wait([reader.socket], 0)
    return reader.socket.receive() is not None


def test_a_client_tries_the_engines_keys_until_one_fits(keyed: Keyed) -> None:
    address = free_zmq_address()
    others = [keyed.key(KeyRole.ENGINE), keyed.key(KeyRole.FOLLOWER)]
    listening = keyed.listen(address, key=others[1])
    client = keyed.connect(address, keyed.key(KeyRole.OBSERVER))
    for text in (b"one", b"two"):
        client.socket.send(text)
    assert [(received(listening, client) or [])[1:] for _ in range(2)] == [[b"one"], [b"two"]]
    assert client.socket.peer == keyed.register.find(others[1].public)


@pytest.mark.parametrize("role", [KeyRole.TRADER, KeyRole.SETTLEMENT])
def test_nobody_but_an_engine_can_answer_at_an_engines_address(keyed: Keyed, role: KeyRole) -> None:
    address = free_zmq_address()
    listening = keyed.listen(address, key=keyed.key(role))
    client = keyed.connect(address, keyed.key(KeyRole.OBSERVER))
    client.socket.send(b"verb")
    client.wait_for(lambda: "has not proved the key of an engine" in client.socket.problem, "the impostor is noticed")
    assert received(listening, client, QUIET_S) is None


def test_a_client_goes_on_trying_all_engine_keys_while_connections_fail(keyed: Keyed) -> None:
    """libzmq repeats the connection with the key that was tried last, which must not put off the other keys."""
    address = free_zmq_address()
    engines = [keyed.key(KeyRole.ENGINE) for _ in range(2)]
    impostor = keyed.listen(address, key=keyed.key(KeyRole.TRADER))
    client = keyed.connect(address, keyed.key(KeyRole.OBSERVER))
    client.wait_for(lambda: bool(client.socket.problem), "the impostor is noticed")
    tried = set[str]()

    def has_tried_all_again() -> bool:
        tried.update([client.socket.peer.public] if client.socket.peer else [])
        return tried >= {key.public for key in engines}

    client.wait_for(has_tried_all_again, "all keys are tried again while the impostor listens")
    keyed.end(impostor)
    listening = keyed.listen(address, key=engines[0])
    client.socket.send(b"verb")
    assert (received(listening, client) or [])[1:] == [b"verb"]


def test_a_client_leaves_an_engine_whose_key_was_revoked_and_finds_its_new_key(keyed: Keyed) -> None:
    address = free_zmq_address()
    client_key = keyed.key(KeyRole.OBSERVER)
    old = keyed.listen(address)
    client = keyed.connect(address, client_key)
    client.socket.send(b"verb")
    message = received(old, client)
    assert message is not None
    new_key = keyed.key(KeyRole.ENGINE)
    keyed.revoke(keyed.engine)
    assert client.receive(QUIET_S) is None
    with pytest.raises(Undelivered):  # the client has closed its connection
        old.send(message[0], b"false")
    keyed.end(old)
    new = keyed.listen(address, key=new_key)
    client.wait_for(lambda: client.socket.peer == keyed.register.find(new_key.public), "the new key is accepted")
    client.socket.send(b"again")
    assert (received(new, client) or [])[1:] == [b"again"]


def test_without_any_engine_key_the_reason_is_reported(keyed: Keyed) -> None:
    keyed.revoke(keyed.engine)
    client = keyed.connect(free_zmq_address(), keyed.key(KeyRole.OBSERVER))
    assert client.socket.problem == "The key register has no key of an engine: make one with make_keys engine NAME."


# Files of ipc:// sockets


def test_an_ipc_socket_can_be_opened_by_its_user_only(keyed: Keyed, tmp_path: Path) -> None:
    path = tmp_path / "sockets" / "commands"
    listening = keyed.listen(f"ipc://{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    client = keyed.connect(f"ipc://{path}", keyed.key(KeyRole.OBSERVER))
    client.socket.send(b"verb")
    assert received(listening) is not None
    assert listening.peer == LOCAL_PEER


@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_an_ipc_socket_in_a_folder_of_others_is_refused(tmp_path: Path, verb: str) -> None:
    tmp_path.chmod(0o777)
    network = ZmqNetwork()
    try:
        with pytest.raises(AddressUnusable, match="can be written to by other users"):
            getattr(network, verb)(Kind.DEALER, f"ipc://{tmp_path}/commands", LIMITS)
    finally:
        network.close()


def test_an_ipc_socket_without_a_file_is_refused() -> None:
    network = ZmqNetwork()
    try:
        with pytest.raises(AddressUnusable, match="has no file"):
            network.bind(Kind.ROUTER, "ipc://@commands", LIMITS)
    finally:
        network.close()


def test_a_socket_file_with_a_listener_is_not_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "commands")
    network = ZmqNetwork()
    try:
        with unix.socket(unix.AF_UNIX) as other:
            other.bind(path)
            other.listen()
            with pytest.raises(AddressUnusable, match="another process listens there already"):
                network.bind(Kind.ROUTER, f"ipc://{path}", LIMITS)
    finally:
        network.close()
