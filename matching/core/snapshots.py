"""Snapshots: an engine's complete state as bytes, from which an equal engine is restored.

Bytes: magic number, layout version and the xxh3_64 of the rest; the size of the JSON header; the JSON header (counters,
reference data, array sizes); the pools' arrays one after the other, each up to its last slot in use; the clients.
"""

import json
import struct
from collections.abc import Callable
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xxhash

from matching.core import layout, migrations
from matching.core.clients import Client, Clients
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.core.kernel import Pools
from matching.core.kernel.structures import pools as p
from matching.core.migrations import to_3
from matching.core.registry import Registry

_MAGIC = b"XSNP"
_PREFIX = struct.Struct("<4sIQ")  # magic, layout version, hash of the rest
_HEADER_SIZE = struct.Struct("<Q")

CLIENT_TYPES = {
    "clients": layout.CLIENT,
    "client_batches": layout.CLIENT_BATCH,
    "client_floors": layout.CLIENT_FLOOR,
    "log_positions": layout.LOG_POSITION,
}
"""The arrays after those of the pools."""

# Array → (index in `state` of the pool's first unused slot, array items for each slot).
_USED_SLOTS = {
    "orders": (p.ORDER_TOP, 1),
    "levels": (p.LEAF_TOP, 64),
    "leaves": (p.LEAF_TOP, 1),
    "nodes": (p.NODE_TOP, 1),
    "children": (p.NODE_TOP, 64),
    "pages": (p.PAGE_TOP, p.PAGE_SIZE),
    "page_orders": (p.PAGE_TOP, 1),
    "accounts": (p.ACCOUNT_TOP, 1),
    "traders": (p.TRADER_TOP, 1),
    "terms": (p.TRADER_TOP, 1),
    "balances": (p.BALANCE_TOP, 1),
    "references": (p.REFERENCE_TOP, 1),
    "extras": (p.EXTRA_TOP, 1),
}


def encode(engine: Engine) -> bytes:
    arrays: dict[str, Any] = {}
    registry = engine.registry
    defined = {
        "instruments": len(registry.instruments),
        "trigger_trees": 2 * len(registry.instruments),
        "supplies": len(registry.assets),
    }
    for name, array in _stored(engine.pools).items():
        top, each = _USED_SLOTS.get(name, (None, 0))
        used = defined.get(name, len(array)) if top is None else int(engine.pools.state[top]) * each
        arrays[name] = array[:used]
    header: dict[str, Any] = {
        "shard": engine.shard,
        "epoch": engine.epoch,
        "block_number": engine.block_number,
        "state_hash": engine.state_hash,
        "timestamp_ns": engine.timestamp_ns,
        "registry": engine.registry.dump(),
        "client_floor": engine.clients.floor,
    }
    arrays |= _client_arrays(engine.clients)
    header["arrays"] = {name: len(array) for name, array in arrays.items()}
    text = json.dumps(header).encode()
    rest = b"".join((_HEADER_SIZE.pack(len(text)), text, *(array.tobytes() for array in arrays.values())))
    return _PREFIX.pack(_MAGIC, layout.LAYOUT_VERSION, xxhash.xxh3_64_intdigest(rest)) + rest


def _stored(pools: Pools) -> dict[str, Any]:
    """The arrays that a snapshot has, by name."""
    return {name: array for name, array in pools._asdict().items() if name not in p.NOT_STORED}


def decode(data: bytes) -> Engine:
    """An engine equal to the one that was encoded. Raises BadFile for bytes that are not a complete snapshot.

    The engine has the snapshot's layout, which may be an earlier one.
    """
    if len(data) < _PREFIX.size + _HEADER_SIZE.size or not data.startswith(_MAGIC):
        raise BadFile("These bytes are not a snapshot: they do not begin with the magic number.")
    _, version, digest = _PREFIX.unpack_from(data)
    if not migrations.is_readable(version):
        raise BadFile(
            f"This snapshot has layout {version}, this program reads layouts {migrations.OLDEST_LAYOUT} to "
            f"{layout.LAYOUT_VERSION}."
        )
    rest = memoryview(data)[_PREFIX.size :]
    if xxhash.xxh3_64_intdigest(rest) != digest:
        raise BadFile("This snapshot is truncated or damaged: its bytes do not match its hash.")
    header_end = _HEADER_SIZE.size + _HEADER_SIZE.unpack_from(rest)[0]
    header = json.loads(bytes(rest[_HEADER_SIZE.size : header_end]))
    engine = Engine(shard=header["shard"], epoch=header["epoch"])
    engine.registry = Registry.load(header["registry"])
    engine.layout_version = version
    engine.block_number, engine.state_hash = header["block_number"], header["state_hash"]
    engine.timestamp_ns = header["timestamp_ns"]
    arrays = _arrays(rest[header_end:], header["arrays"], _types(version))
    pools = to_3.read_pools(arrays) if version < migrations.FIRST_LAYOUT_WITH_TRIGGERS else arrays
    engine.pools = p.derive(pools)
    read_clients = _clients_reader(version)
    if read_clients is None:
        engine.clients = _clients(arrays, header["client_floor"])
    else:
        read_clients(engine, header)
    return engine


def _clients_reader(version: int) -> Callable[[Engine, Any], None] | None:
    """What reads the clients from the header, None if they are in arrays."""
    following = migrations.MIGRATIONS.get(version + 1)
    return following.read_clients if following else None


class Position(NamedTuple):
    """What the header of a snapshot tells of it."""

    block_number: int
    state_hash: int
    layout_version: int


def read_position(file: BinaryIO) -> Position:
    """Reads the header only; `decode` checks the rest. Raises BadFile, OSError."""
    try:
        magic, version, _ = _PREFIX.unpack(file.read(_PREFIX.size))
        (size,) = _HEADER_SIZE.unpack(file.read(_HEADER_SIZE.size))
        if magic == _MAGIC and migrations.is_readable(version) and size <= file.seek(0, 2):
            file.seek(_PREFIX.size + _HEADER_SIZE.size)
            header = json.loads(file.read(size))
            return Position(int(header["block_number"]), int(header["state_hash"]), version)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise BadFile("This snapshot is truncated or damaged: its header cannot be read.") from error
    raise BadFile(f"This is not a snapshot with a layout up to {layout.LAYOUT_VERSION}, which this program reads.")


def _types(version: int) -> dict[str, Any]:
    """The dtypes of a snapshot's arrays, in order."""
    types: dict[str, Any] = {name: empty.dtype for name, empty in _stored(p.empty_pools()).items()}
    if version < migrations.FIRST_LAYOUT_WITH_TRIGGERS:
        types = to_3.POOL_TYPES
    return types if _clients_reader(version) else types | CLIENT_TYPES


def _arrays(data: memoryview, sizes: dict[str, int], types: dict[str, Any]) -> dict[str, Any]:
    """Raises BadFile if these are not the arrays of the layout, whose number the hash does not cover."""
    expected = sum(record.itemsize * sizes.get(name, 0) for name, record in types.items())
    if sizes.keys() != types.keys() or expected != len(data):
        raise BadFile("This snapshot is damaged: its arrays are not those of its layout.")
    arrays: dict[str, Any] = {}
    offset = 0
    for name, dtype in types.items():
        arrays[name] = np.frombuffer(data, dtype, sizes[name], offset).copy()
        offset += arrays[name].nbytes
    return arrays


def _client_arrays(clients: Clients) -> dict[str, Any]:
    known = [
        (number, one.owner, one.last_number, one.last_block, len(one.batches), one.accepted, 0)
        for number, one in clients.known.items()
    ]
    rows = {
        "clients": known,
        "client_batches": [batch for one in clients.known.values() for batch in one.batches],
        "client_floors": sorted(clients.floors.items()),
        "log_positions": sorted(clients.log_positions.items()),
    }
    return {name: np.array(rows[name], dtype) for name, dtype in CLIENT_TYPES.items()}


def _clients(arrays: dict[str, Any], floor: int) -> Clients:
    known = []
    batches = iter(arrays["client_batches"].tolist())
    for number, owner, last_number, last_block, count, accepted, _ in arrays["clients"].tolist():
        newest = tuple(islice(batches, count))
        known.append((number, Client(owner, last_number, last_block, newest, bool(accepted))))
    return Clients.of(known, arrays["client_floors"].tolist(), floor, arrays["log_positions"].tolist())
