"""Messages of the command log: they are decoded as encoded, and all replicas refuse the same invalid bytes."""

import struct

import numpy as np
import pytest
import xxhash

from matching.core import layout
from matching.core.clients import FIRST_LOG_CLIENT
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.storage.input_logs import frames
from matching.transport import wire
from matching.workloads.btc_usd import BTC
from tests.matching.small_exchange import batch, deposit

_DIGEST_AT = 16


def payloads(engine: Engine) -> list[bytes]:
    batches = [
        batch(engine, client, 1, [deposit(client, f"f-{client}"), deposit(client, f"g-{client}")]) for client in (5, 6)
    ]
    return [one.payload for one in batches]


def sealed(frame: bytes) -> bytes:
    """The message with a valid hash."""
    digest = xxhash.xxh3_64_intdigest(frame[frames.EMPTY_SIZE :])
    return frame[:_DIGEST_AT] + struct.pack("<Q", digest) + frame[frames.EMPTY_SIZE :]


def test_a_message_is_decoded_as_it_was_encoded(engine: Engine) -> None:
    found = frames.decode(frames.encode(payloads(engine)))
    assert not isinstance(found, frames.UnsupportedVersion)
    assert [one.payload for one in found] == payloads(engine)
    assert len(frames.encode(payloads(engine))) == frames.EMPTY_SIZE + sum(map(frames.size_of, payloads(engine)))


def test_every_truncation_and_every_flipped_byte_is_refused(engine: Engine) -> None:
    frame = frames.encode(payloads(engine))
    for at in range(len(frame)):
        with pytest.raises(BadMessage):
            frames.decode(frame[:at])
        changed = bytearray(frame)
        changed[at] ^= 0x40
        if 4 <= at < 8:  # version numbers, which are read before the hash
            assert isinstance(frames.decode(bytes(changed)), frames.UnsupportedVersion)
        elif not 12 <= at < _DIGEST_AT:  # reserved bytes
            with pytest.raises(BadMessage):
                frames.decode(bytes(changed))


def test_bytes_with_a_valid_hash_can_still_be_an_invalid_message(engine: Engine) -> None:
    first, second = payloads(engine)
    frame = frames.encode([first, second])
    for bad, reason in [
        (frame[:-1], "ends in the middle of a batch"),
        (frame + b"\1", "ends in the middle of a size"),
        (frame + struct.pack("<IQ", 3, 0) + b"abc", "at least"),
        (frames.encode([]), "has 0"),
        (frame[:8] + struct.pack("<I", 3) + frame[12:], "should have 3 batches but has 2"),
    ]:
        with pytest.raises(BadMessage, match=reason):
            frames.decode(sealed(bad))


def test_a_definition_before_the_end_is_refused(engine: Engine) -> None:
    definition = batch(engine, 7, 1, [BTC]).payload
    with pytest.raises(BadMessage, match="that is not its last one"):
        frames.decode(frames.encode([definition, *payloads(engine)]))
    assert len(frames.decode(frames.encode([*payloads(engine), definition]))) == 3


def test_a_client_cannot_use_the_client_id_of_a_log(engine: Engine) -> None:
    one = batch(engine, 7, 1, [deposit(1, "x")])
    for client in (FIRST_LOG_CLIENT, (1 << 64) - 1):
        payload = wire.encode_batch(client, 1, one.commands, one.texts)
        with pytest.raises(BadMessage, match="higher ones are reserved for input logs"):
            wire.decode_batch(payload)
        with pytest.raises(BadMessage, match="higher ones are reserved for input logs"):
            frames.decode(frames.encode([payload]))


def test_the_largest_batch_fits_into_a_message() -> None:
    commands = np.zeros(wire.MAX_BATCH_COMMANDS, layout.COMMAND)
    commands["kind"] = 1
    texts = bytes(wire.MAX_BATCH_BYTES - layout.BATCH.itemsize - commands.nbytes)
    found = frames.decode(frames.encode([wire.encode_batch(1, 1, commands, texts)]))
    assert not isinstance(found, frames.UnsupportedVersion)
    assert [len(one.commands) for one in found] == [wire.MAX_BATCH_COMMANDS]


def test_an_oversized_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BadMessage, match="to 1000000 bytes"):
        frames.decode(bytes(frames.MAX_BYTES + 1))
