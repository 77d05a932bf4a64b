"""A snapshot: an engine's whole state as bytes, from which an equal engine continues.

Bytes: magic, layout version and the xxh3_64 of the rest; the size of the head; a JSON head (counters, reference data,
clients, array sizes); the pools' arrays one after the other, up to the last slot in use.
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
_FRONT = struct.Struct("<4sIQ")  # magic, layout version, hash of the rest
_HEAD_SIZE = struct.Struct("<Q")

# Slots in use of each pool: (counter, array slots for each).
_USED = {
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
    for name, array in engine.pools._asdict().items():
        top, each = _USED.get(name, (None, 0))
        arrays[name] = array if top is None else array[: int(engine.pools.state[top]) * each]
    head = {
        "shard": engine.shard,
        "epoch": engine.epoch,
        "block_number": engine.block_number,
        "state_hash": engine.state_hash,
        "timestamp_ns": engine.timestamp_ns,
        "registry": engine.registry.dump(),
        "clients": list(engine.clients.items()),
        "arrays": {name: len(array) for name, array in arrays.items()},
    }
    text = json.dumps(head).encode()
    rest = b"".join((_HEAD_SIZE.pack(len(text)), text, *(array.tobytes() for array in arrays.values())))
    return _FRONT.pack(_MAGIC, layout.LAYOUT_VERSION, xxhash.xxh3_64_intdigest(rest)) + rest


def decode(data: bytes) -> Engine:
    """An engine equal to the one that was encoded. Raises BadFile for other, cut or damaged bytes."""
    if len(data) < _FRONT.size + _HEAD_SIZE.size or not data.startswith(_MAGIC):
        raise BadFile("These bytes are no snapshot: they do not begin with its mark.")
    _, version, digest = _FRONT.unpack_from(data)
    if version != layout.LAYOUT_VERSION:
        raise BadFile(f"This snapshot has layout {version}, this program reads layout {layout.LAYOUT_VERSION}.")
    rest = memoryview(data)[_FRONT.size :]
    if xxhash.xxh3_64_intdigest(rest) != digest:
        raise BadFile("This snapshot is cut or damaged: its bytes do not give the hash that it carries.")
    head_end = _HEAD_SIZE.size + _HEAD_SIZE.unpack_from(rest)[0]
    head = json.loads(bytes(rest[_HEAD_SIZE.size : head_end]))
    engine = Engine(shard=head["shard"], epoch=head["epoch"])
    engine.registry = Registry.load(head["registry"])
    engine.clients = dict(head["clients"])
    engine.block_number, engine.state_hash = head["block_number"], head["state_hash"]
    engine.timestamp_ns = head["timestamp_ns"]
    engine.pools = _pools(rest[head_end:], head["arrays"])
    return engine


def place(file: BinaryIO) -> tuple[int, int]:
    """Block number and state hash, from the head alone: whether the rest is whole, `decode` tells.

    Raises BadFile, OSError.
    """
    try:
        magic, version, _ = _FRONT.unpack(file.read(_FRONT.size))
        (size,) = _HEAD_SIZE.unpack(file.read(_HEAD_SIZE.size))
        if magic == _MAGIC and version == layout.LAYOUT_VERSION and size <= file.seek(0, 2):
            file.seek(_FRONT.size + _HEAD_SIZE.size)
            head = json.loads(file.read(size))
            return int(head["block_number"]), int(head["state_hash"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise BadFile("This snapshot is cut or damaged: its head cannot be read.") from error
    raise BadFile(f"This is no snapshot with layout {layout.LAYOUT_VERSION}, which this program reads.")


def _pools(data: memoryview, sizes: dict[str, int]) -> Pools:
    arrays: dict[str, Any] = {}
    offset = 0
    for name, empty in p.empty_pools()._asdict().items():
        arrays[name] = np.frombuffer(data, empty.dtype, sizes[name], offset).copy()
        offset += arrays[name].nbytes
    return Pools(**arrays)
