"""Snapshots: an engine's complete state as bytes, from which an equal engine is restored.

Bytes: magic number, layout version and the xxh3_64 of the rest; the size of the JSON header; the JSON header (counters,
reference data, clients, array sizes); the pools' arrays one after the other, each up to its last slot in use.
"""

import json
import struct
from typing import Any, BinaryIO

import numpy as np
import xxhash

from matching.core import layout
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.core.kernel import Pools
from matching.core.kernel.structures import pools as p
from matching.core.registry import Registry

_MAGIC = b"XSNP"
_PREFIX = struct.Struct("<4sIQ")  # magic, layout version, hash of the rest
_HEADER_SIZE = struct.Struct("<Q")

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
    "balances": (p.BALANCE_TOP, 1),
    "references": (p.REFERENCE_TOP, 1),
}


def encode(engine: Engine) -> bytes:
    arrays = {}
    defined = {"instruments": len(engine.registry.instruments), "supplies": len(engine.registry.assets)}
    for name, array in engine.pools._asdict().items():
        top, each = _USED_SLOTS.get(name, (None, 0))
        used = defined.get(name, len(array)) if top is None else int(engine.pools.state[top]) * each
        arrays[name] = array[:used]
    header = {
        "shard": engine.shard,
        "epoch": engine.epoch,
        "block_number": engine.block_number,
        "state_hash": engine.state_hash,
        "timestamp_ns": engine.timestamp_ns,
        "registry": engine.registry.dump(),
        "clients": list(engine.clients.items()),
        "arrays": {name: len(array) for name, array in arrays.items()},
    }
    text = json.dumps(header).encode()
    rest = b"".join((_HEADER_SIZE.pack(len(text)), text, *(array.tobytes() for array in arrays.values())))
    return _PREFIX.pack(_MAGIC, layout.LAYOUT_VERSION, xxhash.xxh3_64_intdigest(rest)) + rest


def decode(data: bytes) -> Engine:
    """An engine equal to the one that was encoded. Raises BadFile for bytes that are not a complete snapshot."""
    if len(data) < _PREFIX.size + _HEADER_SIZE.size or not data.startswith(_MAGIC):
        raise BadFile("These bytes are not a snapshot: they do not begin with the magic number.")
    _, version, digest = _PREFIX.unpack_from(data)
    if version != layout.LAYOUT_VERSION:
        raise BadFile(f"This snapshot has layout {version}, this program reads layout {layout.LAYOUT_VERSION}.")
    rest = memoryview(data)[_PREFIX.size :]
    if xxhash.xxh3_64_intdigest(rest) != digest:
        raise BadFile("This snapshot is truncated or damaged: its bytes do not match its hash.")
    header_end = _HEADER_SIZE.size + _HEADER_SIZE.unpack_from(rest)[0]
    header = json.loads(bytes(rest[_HEADER_SIZE.size : header_end]))
    engine = Engine(shard=header["shard"], epoch=header["epoch"])
    engine.registry = Registry.load(header["registry"])
    engine.clients = dict(header["clients"])
    engine.block_number, engine.state_hash = header["block_number"], header["state_hash"]
    engine.timestamp_ns = header["timestamp_ns"]
    engine.pools = _pools(rest[header_end:], header["arrays"])
    return engine


def read_position(file: BinaryIO) -> tuple[int, int]:
    """Block number and state hash of a snapshot. Reads the header only; `decode` checks the rest.

    Raises BadFile, OSError.
    """
    try:
        magic, version, _ = _PREFIX.unpack(file.read(_PREFIX.size))
        (size,) = _HEADER_SIZE.unpack(file.read(_HEADER_SIZE.size))
        if magic == _MAGIC and version == layout.LAYOUT_VERSION and size <= file.seek(0, 2):
            file.seek(_PREFIX.size + _HEADER_SIZE.size)
            header = json.loads(file.read(size))
            return int(header["block_number"]), int(header["state_hash"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise BadFile("This snapshot is truncated or damaged: its header cannot be read.") from error
    raise BadFile(f"This is not a snapshot with layout {layout.LAYOUT_VERSION}, which this program reads.")


def _pools(data: memoryview, sizes: dict[str, int]) -> Pools:
    arrays: dict[str, Any] = {}
    offset = 0
    for name, empty in p.empty_pools()._asdict().items():
        arrays[name] = np.frombuffer(data, empty.dtype, sizes[name], offset).copy()
        offset += arrays[name].nbytes
    return Pools(**arrays)
