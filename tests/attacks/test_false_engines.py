"""Others bind the ports of a stopped engine, or announce themselves as its followers: clients refuse them."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import zmq

from matching.client.client import Client
from matching.core.engine import Engine
from matching.core.errors import EngineUnreachable
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import LEADER
from matching.transport.key_register import KeyRole, OwnKey
from matching.transport.sockets import Kind, RawSocket
from tests.attacks.conftest import Site, stranger
from tests.matching.small_exchange import deposit, until
from tests.matching.stages import one_block
from tests.system.conftest import Process, Start

pytestmark = pytest.mark.processes

IMPOSTOR_S = 4.0
"""How long the impostor publishes: long enough for the exchange's programs to connect again several times."""


@dataclass
class Impostor:
    """Binds an engine's ports with the attacker's own key, or without one, and answers as a leader with a new block."""

    context: "zmq.Context[RawSocket]"
    address: wire.Addresses
    key: OwnKey | None

    def __post_init__(self) -> None:
        engine = Engine()
        self.block = one_block(engine, [{"command": "asset", "symbol": "FAKE", "decimals": 2}])
        board = StatusBoard(engine, Ring(10, 1 << 20), self.address, LEADER, "none")
        self.status = wire.encode_json({**board.fields(), "epoch": 1_000})
        self.commands = self._bound(zmq.ROUTER, self.address.commands)
        self.blocks = self._bound(zmq.PUB, self.address.blocks)
        self.retransmission = self._bound(zmq.ROUTER, self.address.retransmission)
        self.questions = 0

    def _bound(self, kind: int, address: str) -> RawSocket:
        socket = self.context.socket(kind)
        socket.linger = 0
        if self.key is not None:
            socket.curve_publickey = self.key.public.encode("ascii")
            socket.curve_secretkey = self.key.secret.encode("ascii")
            socket.curve_server = True
        until(lambda: _is_bound(socket, address), f"{address} to be free")
        return socket

    def act(self) -> None:
        """Publishes, and answers every question that arrives."""
        self.blocks.send_multipart([wire.STATUS, self.status])
        self.blocks.send_multipart([wire.BLOCK, self.block.data])
        for socket in (self.commands, self.retransmission):
            while socket.poll(0):
                sender, *frames = socket.recv_multipart()
                self.questions += 1
                socket.send_multipart([sender, wire.STATUS, self.status, *frames[1:2]])
                socket.send_multipart([sender, wire.BLOCK, self.block.data])

    def act_for(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.act()
            self.commands.poll(20)


def _is_bound(socket: RawSocket, address: str) -> bool:
    try:
        socket.bind(address)
    except zmq.ZMQError:
        return False
    return True


@contextmanager
def impostor(address: wire.Addresses, key: OwnKey | None) -> Iterator[Impostor]:
    with zmq.Context() as context:
        made = Impostor(context, address, key)
        try:
            yield made
        finally:
            for socket in (made.commands, made.blocks, made.retransmission):
                socket.close()


def addresses(engine: Process) -> wire.Addresses:
    return wire.Addresses(*(engine.address(name) for name in ("COMMAND", "BLOCK", "RETRANSMIT")))


ATTACKERS = [None, stranger(KeyRole.ENGINE, "false")]


@pytest.mark.parametrize("key", ATTACKERS, ids=["without a key", "with a key of its own"])
def test_settlement_and_clients_do_not_believe_who_binds_the_ports_of_a_stopped_engine(
    site: Site, start: Start, key: OwnKey | None
) -> None:
    shared = {"data_dir": site.engine.data_dir, "PLAIN_SOCKETS": "false", **site.engine.stream_settings}
    settlement = start("run_settlement", **shared)
    until(lambda: site.confirmed() == site.block(), "all blocks are settled", 120)
    confirmed = site.confirmed()
    assert site.engine.stop() == 0

    with impostor(addresses(site.engine), key) as attacker:
        attacker.act_for(IMPOSTOR_S)
        with pytest.raises(EngineUnreachable):
            Client(site.commands, timeout_s=2, make_network=site.network(site.local()))
        attacker.act()
        assert attacker.questions == 0, "nobody spoke to it"
    assert settlement.popen.poll() is None

    again = start("run_engine", **shared).wait_until_ready()
    assert f"at block {confirmed}, " in again.lines[0], "the blocks that were there before, and no other"
    site.assert_it_works("the true engine")
    until(lambda: site.confirmed() == site.block() > confirmed, "settlement reads the true engine again", 60)
    assert settlement.stop() == 0
    assert "transport.connection_refused" in "".join(settlement.errors)


@pytest.mark.parametrize("role", [KeyRole.TRADER, KeyRole.GATEWAY, KeyRole.OBSERVER])
def test_only_an_engine_can_announce_a_follower(shared_site: Site, role: KeyRole) -> None:
    network = shared_site.network(shared_site.new_key(role, "mallory", *([2] if role is KeyRole.TRADER else [])))()
    socket = network.connect(Kind.DEALER, shared_site.engine.address("RETRANSMIT"), wire.READER_LIMITS)
    try:
        false = wire.Addresses("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "tcp://127.0.0.1:3")
        socket.send(wire.FOLLOWING, wire.encode_addresses(false))
        network.wait([socket], 1.0)
        refused = socket.receive()
        assert socket.problem or (refused and wire.decode_refused(refused[1]).code == wire.NOT_PERMITTED)
        assert shared_site.status()["followers"] == []
    finally:
        socket.close()
        network.close()


def test_a_client_does_not_move_to_a_false_leader_while_the_true_one_is_silent(site: Site, start: Start) -> None:
    ports = start("engine_status").stream_settings  # free addresses of an engine that never starts
    false = wire.Addresses(*ports.values())
    both = f"{site.commands},{false.commands}"
    with impostor(false, stranger(KeyRole.ENGINE, "false")) as attacker:
        with Client(both, timeout_s=3, make_network=site.network(site.local())) as client:
            assert client.call([deposit(1, "before")])[0].rejected is None
            site.engine.popen.send_signal(signal.SIGSTOP)
            with pytest.raises(EngineUnreachable):
                client.call([deposit(1, "while it is silent")])
            site.engine.popen.send_signal(signal.SIGCONT)
            (result,) = client.retry()
            assert result.rejected is None
            assert client.connection.address == site.commands
        attacker.act()
        assert attacker.questions == 0
