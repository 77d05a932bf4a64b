"""What programs of layouts 1 and 2 wrote: chains and snapshots in those layouts.

The rules are today's, so the commands should be such that they give the same events under the rules of the layout.
"""

import json
import struct
from typing import Any

import numpy as np
import xxhash

from matching.core import snapshots
from matching.core.blocks import Block, Records
from matching.core.engine import UNLIMITED, Engine
from matching.core.kernel.structures import pools as p
from matching.core.migrations import FIRST_LAYOUT_WITH_TRIGGERS, to_3
from simulator.trust.forged_blocks import encoded_again

_PREFIX = struct.Struct("<4sIQ")
_SIZE = struct.Struct("<Q")


def engine_of_layout_1() -> Engine:
    """An engine that makes blocks of layout 1."""
    return _EarlierEngine(1)


def engine_of_layout_2() -> Engine:
    """An engine that makes blocks of layout 2."""
    return _EarlierEngine(2)


class _EarlierEngine(Engine):
    """Its trades have no number, and it does not know whether the last command of a client was accepted."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.layout_version = version

    def apply(
        self, requests: Records, commands: Records, texts: bytes, timestamp_ns: int, budget: int = UNLIMITED
    ) -> Block:
        made = super().apply(requests, commands, texts, timestamp_ns, budget)
        if self.layout_version >= FIRST_LAYOUT_WITH_TRIGGERS:
            return made
        events = made.events.copy()
        events["taker_unlock"] = 0
        block = encoded_again(made, events=events)
        self.state_hash = block.hash
        for client_id, client in self.clients.known.items():
            self.clients.known[client_id] = client._replace(accepted=False)
        return block


def snapshot_of_layout_1(engine: Engine) -> bytes:
    """As a program of layout 1 wrote it: the clients are in the header, and no array follows those of the pools."""
    header, arrays = _parts(engine)
    for name in snapshots.CLIENT_TYPES:
        del arrays[name]
    del header["client_floor"]
    numbers = {number: one.last_number for number, one in engine.clients.known.items()}
    header["clients"] = list((numbers | engine.clients.log_positions).items())
    return _snapshot(1, header, arrays)


def snapshot_of_layout_2(engine: Engine) -> bytes:
    """As a program of layout 2 wrote it: without orders that wait, icebergs, and what else layout 3 added."""
    return _snapshot(2, *_parts(engine))


def _parts(engine: Engine) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a snapshot of layout 2."""
    data = snapshots.encode(engine)
    (size,) = _SIZE.unpack_from(data, _PREFIX.size)
    start = _PREFIX.size + _SIZE.size
    header = json.loads(data[start : start + size])
    restored, sizes = snapshots.decode(data), header.pop("arrays")
    pools = restored.pools._asdict()
    arrays = {name: _narrowed(pools[name][: sizes[name]], record) for name, record in to_3.POOL_TYPES.items()}
    state = arrays["state"] = np.zeros(24, np.int64)
    state[: p.EXTRA_TOP] = pools["state"][: p.EXTRA_TOP]
    at = len(data)
    for name, record in reversed(snapshots.CLIENT_TYPES.items()):
        at -= record.itemsize * sizes[name]
        arrays[name] = np.frombuffer(data, record, sizes[name], at)
    return header, arrays | {name: arrays.pop(name) for name in snapshots.CLIENT_TYPES}


def _narrowed(rows: Any, record: Any) -> Any:
    if record.names is None or record == rows.dtype:
        return rows
    narrow = np.zeros(len(rows), record)
    for name in record.names:
        if name != "padding":
            narrow[name] = rows[name]
    return narrow


def _snapshot(version: int, header: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    header["arrays"] = {name: len(array) for name, array in arrays.items()}
    text = json.dumps(header).encode()
    rest = _SIZE.pack(len(text)) + text + b"".join(array.tobytes() for array in arrays.values())
    return _PREFIX.pack(b"XSNP", version, xxhash.xxh3_64_intdigest(rest)) + rest
