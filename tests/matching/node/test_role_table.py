"""The table of roles on the CURVE sockets of a running engine: every message and every kind of command, with every key.

What is expected is read from docs/roles.md; test_permissions.py compares that page with the table in the code.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from matching.client.edge import BatchBuilder, Edge
from matching.core.codes import CommandKind, name_of
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.transport.permissions import ENGINE_VERBS
from matching.transport.sockets import Kind, Undelivered
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.keyed import LIMITS, Keyed, Waiting
from tests.matching.roles_page import shown_table
from tests.matching.small_exchange import Running, deposit, leader_with, order, plan, services, until

SHOWN = shown_table()
OWN, FOREIGN = 3, 4
"""Accounts: the one of the traders' keys, and another."""
QUIET_S = 2 * wire.HEARTBEAT_S
NO_BLOCK = 99_999
CORRELATION = b"probe"


@dataclass(frozen=True)
class Probe:
    """One message to a socket of an engine; for the block socket a subscription.

    `needs`: the name of a message or a kind of command in the table. `socket`: a field of `wire.Addresses`.
    """

    needs: str
    socket: str
    frames: tuple[bytes, ...] = ()
    command: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        account = f" of account {self.command['account']}" if self.command and "account" in self.command else ""
        return f"{self.needs}{account} to {self.socket}"

    def is_permitted(self, role: KeyRole) -> bool:
        row = SHOWN[role]
        if self.command is None:
            return self.needs in row.verbs and self.is_admitted(role)
        is_foreign = self.command.get("account") == FOREIGN
        return self.needs in row.kinds and not (is_foreign and row.is_limited_to_accounts)

    def is_admitted(self, role: KeyRole) -> bool:
        """Whether a key of this role may connect to the socket."""
        return self.socket == "commands" or "blocks" in SHOWN[role].verbs


def orders(account: int) -> list[dict[str, Any]]:
    named = {"account": account, "symbol": "BTC-USD", "client_order_id": "x"}
    return [
        order(account, "buy", "1.00"),
        {**order(account, "buy", "1.00"), "command": "oco", "trigger_price": "2.00"},
        {"command": "cancel", **named},
        {"command": "cancel_all", "account": account},
        {"command": "replace", **named, "price": "1.00", "quantity": "1"},
    ]


COMMANDS: list[dict[str, Any]] = [
    *orders(OWN),
    *orders(FOREIGN),
    deposit(OWN, "in"),
    {**deposit(OWN, "out"), "command": "withdraw"},
    *DEFINITIONS[1:],
    {"command": "instrument_status", "symbol": "BTC-USD", "status": "trading"},
    {"command": "instrument_update", "symbol": "BTC-USD", "max_open_orders": 0},
    {"command": "account_status", "account": OWN, "status": "active"},
    {"command": "account_fees", "account": OWN},
]
REQUESTS: dict[bytes, tuple[bytes, ...]] = {
    wire.STATUS: (CORRELATION,),
    wire.BLOCKS: tuple(wire.encode_numbers(NO_BLOCK, NO_BLOCK)),
    wire.SNAPSHOT: tuple(wire.encode_numbers(0, 0)),
    wire.FOLLOWING: (),  # with other addresses each time: `Site.send`
    wire.CONFIRM: (wire.encode_confirmation(wire.Confirmation(1, 0, bytes(16))),),
}
"""To the retransmission socket: frames after the verb."""

PROBES = [
    *(Probe(verb.decode(), "commands", (verb, CORRELATION)) for verb in sorted(wire.QUESTIONS | wire.PROMOTIONS)),
    *(Probe(verb.decode(), "retransmission", (verb, *rest)) for verb, rest in REQUESTS.items()),
    Probe("blocks", "blocks"),
    *(Probe(command["command"], "commands", command=command) for command in COMMANDS),
]

UNKNOWN, NONE = "an unknown key", "no key"
REVOKED, REVOKED_LATE = ", revoked", ", revoked while connected"
HOLDERS = [*(f"{role}{state}" for role in KeyRole for state in ("", REVOKED, REVOKED_LATE)), UNKNOWN, NONE]


def role_of(holder: str) -> KeyRole | None:
    return None if holder in (UNKNOWN, NONE) else KeyRole(holder.partition(",")[0])


class Site:
    """A leader in a thread, and one connection of each holder to each socket, made when it is first needed."""

    def __init__(self, keyed: Keyed, running: Running) -> None:
        self.running = running
        self._keyed = keyed
        self.sent = 1000
        """Number of messages, which makes clients and followers distinct."""
        self._connections: dict[tuple[str, str], Waiting] = {}
        self._bystander = self._connect(KeyRole.LOCAL, "commands")

    @property
    def block(self) -> int:
        return self.running.parts.engine.block_number

    @property
    def confirmed(self) -> int:
        return self.running.parts.ring.confirmed

    @property
    def follower(self) -> wire.Addresses:
        """The addresses of the follower that was announced last."""
        return wire.Addresses(*(f"tcp://{socket}:{self.sent}" for socket in ("commands", "blocks", "retransmission")))

    def connection(self, holder: str, socket: str) -> Waiting:
        if (holder, socket) not in self._connections:
            self._connections[holder, socket] = self._connect(holder, socket)
        return self._connections[holder, socket]

    def _connect(self, holder: str, socket: str) -> Waiting:
        address = str(getattr(self.running.plan.addresses, socket))
        kind = Kind.SUB if socket == "blocks" else Kind.DEALER
        role = role_of(holder)
        if holder == NONE:
            network = ZmqNetwork()
            self._keyed.open.callback(network.close)
            plain = network.connect(kind, address, LIMITS)
            self._keyed.open.callback(plain.close)
            return Waiting(network, plain)
        if role is None:
            return self._keyed.connect(address, self._keyed.stranger(KeyRole.LOCAL), kind)
        key = self._keyed.key(role, *([OWN] if role is KeyRole.TRADER else []))
        if holder.endswith(REVOKED):
            self._keyed.revoke(key)
        made = self._keyed.connect(address, key, kind)
        if holder.endswith(REVOKED_LATE):
            if kind is Kind.DEALER:
                made.socket.send(wire.STATUS, CORRELATION)
            made.wait_for(lambda: bool(made.socket.receive() or made.socket.problem), "it is connected, or refused")
            self._keyed.revoke(key)
        return made

    def send(self, connection: Waiting, probe: Probe) -> None:
        frames = probe.frames
        self.sent += 1
        if probe.command is not None:
            builder = BatchBuilder(Edge(self.running.parts.engine.registry))
            assert builder.add(probe.command) is None
            frames = (wire.COMMANDS, wire.encode_batch(self.sent, 1, *builder.take()))
        elif probe.needs == "following":
            frames = (wire.FOLLOWING, wire.encode_addresses(self.follower))
        if frames:
            with suppress(Undelivered):  # libzmq takes no messages while the engine refuses the connection
                connection.socket.send(*frames)

    def until_served(self) -> None:
        """Waits until the engine has handled what arrived before."""
        self._bystander.socket.send(wire.STATUS, CORRELATION)
        assert self._bystander.receive()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    keyed = Keyed()
    folder = SnapshotFolder(LocalDisk(), Path(tmp_path_factory.mktemp("snapshots")), 1)
    own = replace(
        services(MemoryHistory(), snapshotter=Snapshotter(folder, DirectWriter(folder), 0)),
        make_network=lambda: ZmqNetwork(keyed.security(keyed.engine)),
    )
    with leader_with(plan(), own) as running, keyed.open:
        made = Site(keyed, running)
        for definition in DEFINITIONS:
            before = made.block
            made.send(made.connection(KeyRole.LOCAL, "commands"), Probe("", "commands", command=definition))
            until(lambda before=before: made.block > before, "the definition")  # type: ignore[misc]
            assert made.connection(KeyRole.LOCAL, "commands").receive()
        yield made


def test_there_is_a_probe_of_everything_in_the_table() -> None:
    messages = {verb.decode() for verb in ENGINE_VERBS}
    assert {probe.needs for probe in PROBES if probe.command is None} == messages
    kinds = {name_of(kind) for kind in CommandKind if kind != CommandKind.OCO_STOP}  # a part of the command oco
    assert {probe.needs for probe in PROBES if probe.command} == kinds
    assert SHOWN.keys() == set(KeyRole)


@pytest.mark.parametrize("probe", PROBES, ids=str)
@pytest.mark.parametrize("holder", HOLDERS)
def test_an_engine_does_what_the_page_says_and_nothing_else(site: Site, holder: str, probe: Probe) -> None:
    connection, before, role = site.connection(holder, probe.socket), site.block, role_of(holder)
    site.send(connection, probe)
    if role is not None and holder == role and probe.is_permitted(role):
        check_permitted(site, connection, probe, before)
        return
    if probe.socket == "blocks" or role is None or holder.endswith(REVOKED) or not probe.is_admitted(role):
        check_closed(site, connection, holder)
    else:
        message = connection.receive()
        assert message is not None
        assert (message[0], wire.decode_refused(message[1]).code) == (wire.REFUSED, wire.NOT_PERMITTED)
    assert site.block == before, "nothing was sequenced"
    assert site.confirmed == 0
    assert site.follower not in site.running.parts.board.followers


def check_permitted(site: Site, connection: Waiting, probe: Probe, before: int) -> None:
    if probe.needs == "following":
        until(lambda: site.follower in site.running.parts.board.followers, "the follower is known")
        return
    message = connection.receive()
    assert message is not None
    if probe.command is not None:
        assert message[0] == wire.ANSWER
        assert site.block == before + 1
    elif message[0] == wire.REFUSED:
        assert (probe.needs, wire.decode_refused(message[1]).code) == ("confirm", wire.WRONG_STORE)


def check_closed(site: Site, connection: Waiting, holder: str) -> None:
    """The engine has closed the connection, or never opened it: nothing arrives on it."""
    if holder != NONE:
        connection.wait_for(lambda: "refuses the key" in connection.socket.problem, "the holder is told so")
        while connection.receive(0) is not None:
            assert holder.endswith(REVOKED_LATE), "only what was sent before the revocation may be left"
    site.until_served()
    assert connection.receive(QUIET_S if connection.socket.problem == "" else 0.05) is None
