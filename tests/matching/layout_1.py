"""What programs of layout 1 wrote: chains and snapshots in that layout."""

import json
import struct

import xxhash

from matching.core import snapshots
from matching.core.engine import Engine

_PREFIX = struct.Struct("<4sIQ")
_SIZE = struct.Struct("<Q")


def engine_of_layout_1() -> Engine:
    """An engine that makes blocks of layout 1."""
    engine = Engine()
    engine.layout_version = 1
    return engine


def snapshot_of_layout_1(engine: Engine) -> bytes:
    """As a program of layout 1 wrote it: the clients are in the header, and no array follows those of the pools."""
    rest = snapshots.encode(engine)[_PREFIX.size :]
    (size,) = _SIZE.unpack_from(rest)
    header = json.loads(rest[_SIZE.size : _SIZE.size + size])
    end = len(rest)
    for name, record in snapshots.CLIENT_TYPES.items():
        end -= record.itemsize * header["arrays"].pop(name)
    del header["client_floor"]
    numbers = {number: one.last_number for number, one in engine.clients.known.items()}
    header["clients"] = list((numbers | engine.clients.log_positions).items())
    arrays = rest[_SIZE.size + size : end]
    text = json.dumps(header).encode()
    rest = _SIZE.pack(len(text)) + text + arrays
    return _PREFIX.pack(b"XSNP", 1, xxhash.xxh3_64_intdigest(rest)) + rest
