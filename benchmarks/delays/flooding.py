"""A process that floods an engine, for `benchmarks.delays.floods_bench`: one kind of message, as fast as it can.

Run as `python -m benchmarks.delays.flooding DATA_DIR KIND ADDRESS`. It uses the key of a gateway, or that of settlement
to request the state. So the engine counts it as another sender than the clients that it disturbs. It discards the
answers and runs until it is terminated. It runs only when the exchange leaves a processor idle (SCHED_IDLE), because an
attacker's processors are not the exchange's.
"""

import os
import sys
from pathlib import Path

import django

from matching.client.client import Client
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import Kind, Undelivered
from matching.workloads.btc_usd import BTC_USD

_ID = b"flooding"
STATE = "state"
MESSAGES = {
    "status": (wire.STATUS, _ID),
    "depth": (wire.DEPTH, _ID),
    STATE: (wire.STATE, _ID),
    "malformed frames": (b"no verb", b"", b"more"),
    "blocks": (wire.BLOCKS, *wire.encode_numbers(1, 1 << 20)),
    "snapshots": (wire.SNAPSHOT, *wire.encode_numbers(0, 0)),
}
READERS = ("blocks", "snapshots")
"""Kinds that go to the retransmission socket."""
FOKS = "unfillable FOKs"
FLOODER = 2
"""The account that sends the FOKs."""
_FOKS_A_BATCH = 4096
_TIMEOUT_S = 600.0
FOK = {
    "command": "order",
    "account": FLOODER,
    "symbol": BTC_USD["symbol"],
    "side": "buy",
    "order_type": "limit",
    "price": "2000",
    "quantity": BTC_USD["max_quantity"],
    "time_in_force": "fok",
}


def flood(network: ZmqNetwork, kind: str, address: str) -> None:
    socket = network.connect(Kind.DEALER, address, wire.READER_LIMITS)
    while True:
        try:
            socket.send(*MESSAGES[kind])
        except Undelivered:
            network.wait([socket], 0.001)
        while socket.receive() is not None:
            pass


def flood_with_foks(network: ZmqNetwork, address: str) -> None:
    with Client(address, timeout_s=_TIMEOUT_S, make_network=lambda: network) as client:
        while True:
            client.call([FOK] * _FOKS_A_BATCH)


def main(data_dir: str, kind: str, address: str) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    django.setup()
    from matching.commandline.own_keys import KeyName, network_in  # needs Django's settings

    role = KeyRole.SETTLEMENT if kind == STATE else KeyRole.GATEWAY
    network = network_in(Path(data_dir), KeyName(role))()
    if kind == FOKS:
        flood_with_foks(network, address)
    else:
        flood(network, kind, address)


if __name__ == "__main__":
    main(*sys.argv[1:])
