"""Wire format: the messages between engine, clients, followers and settlement, frame by frame.

    command socket (engine ROUTER, clients DEALER)
        → commands, batch             BATCH, COMMAND[], texts
        ← answer, part, …             ANSWER, then SEGMENT and its EVENT[], several times
        → registry | status | state | depth, correlation
        ← same verb, JSON, correlation
        → promote | promote_forced, correlation
        ← promote, JSON, correlation  {"ok": true, "epoch", "block"} or {"ok": false, "message"}
        ← refused, JSON[, correlation]
    block socket (engine PUB, readers SUB)
        ← block, part, …              each block once, in order
        ← status, JSON                every HEARTBEAT_S
    retransmission socket (engine ROUTER, readers DEALER)
        → blocks, first, last
        ← block, part, …              the first of these blocks, as many as one answer may hold
        ← sent, number                the last block of the answer; the reader requests the rest again
            | missing, first, oldest held
        → confirm, CONFIRMATION       all blocks up to this one are durable in that store or its settlement's spill
        ← refused, JSON               if it is of another store or chain; an accepted one is not answered
        → status, correlation         ← status, JSON, correlation
        → following, JSON             a follower's addresses, every FOLLOWING_S; not answered
        → snapshot, number, offset    0: the newest
        ← snapshot, number, offset, total size, bytes      from offset 0 if it is another snapshot
            | pending, number         being made, ask again | missing, 0, oldest held: this engine makes none

Blocks and answers of any size are sent in several frames (`parts`), snapshots in several messages (`snapshot_chunks`).
A message arrives with all of its frames or not at all. A number is a frame of 8 bytes, little-endian. The decoders
accept any bytes and raise BadMessage with one sentence for those that are not valid. `Engine.check` validates the
fields of command records.
"""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import xxhash

from matching.core import clients, layout
from matching.core.blocks import Records
from matching.core.clients import FIRST_LOG_CLIENT
from matching.core.errors import BadMessage
from matching.core.hashes import hash_value
from matching.transport.sockets import UNBOUNDED, Limits

COMMANDS = b"commands"
ANSWER = b"answer"
REFUSED = b"refused"
REGISTRY = b"registry"
STATUS = b"status"
STATE = b"state"
DEPTH = b"depth"
PROMOTE = b"promote"
PROMOTE_FORCED = b"promote_forced"
BLOCK = b"block"
BLOCKS = b"blocks"
SENT = b"sent"
MISSING = b"missing"
CONFIRM = b"confirm"
FOLLOWING = b"following"
SNAPSHOT = b"snapshot"
PENDING = b"pending"

PROMOTIONS = frozenset((PROMOTE, PROMOTE_FORCED))
QUESTIONS = frozenset((REGISTRY, STATUS, STATE, DEPTH))
"""Verbs of clients that carry only a correlation id. All but COSTLY_QUESTIONS are answered at once."""
COSTLY_QUESTIONS = frozenset((STATE,))
"""Questions whose answers take about a second with a million balances. A client repeats one only if it seems lost."""

# Codes in the refusal of a whole message. The first ones tell of the client's id and its earlier batches.
OUT_OF_ORDER = clients.OUT_OF_ORDER
REQUEST_MISMATCH = clients.REQUEST_MISMATCH
REQUEST_FORGOTTEN = clients.REQUEST_FORGOTTEN
CLIENT_OF_ANOTHER_KEY = clients.CLIENT_OF_ANOTHER_KEY
CLIENT_FORGOTTEN = clients.CLIENT_FORGOTTEN
CLIENT_AHEAD = clients.CLIENT_AHEAD
ENGINE_HALTED = "engine_halted"
FOLLOWER = "follower"
BAD_MESSAGE = "bad_message"
TOO_LARGE = "too_large"
NOT_PERMITTED = "not_permitted"
WRONG_STORE = "wrong_store"
WRONG_BLOCK = "wrong_block"

MAX_BATCH_COMMANDS = 4096
MAX_BATCH_BYTES = layout.BATCH.itemsize + 2 * MAX_BATCH_COMMANDS * layout.COMMAND.itemsize
MAX_CORRELATION_BYTES = 16
MAX_NUMBER = (1 << 63) - 1
HEARTBEAT_S = 0.2
FOLLOWING_S = 1.0
FOLLOWERS_KEPT_S = 3.0
"""A follower that was silent for this long is removed from the engine's status."""
MAX_FOLLOWERS = 16

# Twice the largest batch: a batch just over the limit is refused with a message, a larger one closes the connection.
COMMAND_LIMITS = Limits(frame_bytes=2 * MAX_BATCH_BYTES, receive_queue=16, send_queue=128)
# Subscriptions are short, but the limit counts for the CURVE handshake too: its INITIATE has some 300 bytes.
BLOCK_LIMITS = Limits(frame_bytes=1024, receive_queue=64, send_queue=2000)
RETRANSMIT_LIMITS = Limits(frame_bytes=1024, receive_queue=1000, send_queue=1000, is_bulk=True)
READER_LIMITS = Limits(frame_bytes=UNBOUNDED, receive_queue=2000, send_queue=1000)

_BATCH = struct.Struct("<IIQQII")
_ANSWER = struct.Struct("<QQII")
_SEGMENT = struct.Struct("<QqqII")
_NUMBER = struct.Struct("<Q")
_CONFIRMATION = struct.Struct("<QQ16s")
assert _BATCH.size == layout.BATCH.itemsize
assert _ANSWER.size == layout.ANSWER.itemsize
assert _SEGMENT.size == layout.SEGMENT.itemsize


class TooLarge(BadMessage):
    """A valid batch that exceeds the engine's limit: split it."""


class Batch(NamedTuple):
    """Commands that one client sends in one message.

    `owner` is that of the socket's peer (see `layout.REQUEST`); a client cannot give it.
    """

    client: int
    first_number: int
    commands: Records
    texts: bytes
    owner: int = 0
    digest: int = 0

    @property
    def identity(self) -> tuple[int, int, int, int, int]:
        """Equal for repetitions of the same batch, and for no others."""
        return self.client, self.first_number, len(self.commands), self.owner, self.digest

    @property
    def payload(self) -> bytes:
        """The message from which `decode_batch` makes this batch."""
        return encode_batch(self.client, self.first_number, self.commands, self.texts)

    @property
    def last_number(self) -> int:
        return self.first_number + len(self.commands) - 1


class Segment(NamedTuple):
    """The commands of a batch that are in one block. Block 0: applied earlier, and the events are no longer held."""

    first_number: int
    block_number: int
    first_command_sequence: int
    command_count: int
    events: Records


class Answer(NamedTuple):
    client: int
    first_number: int
    command_count: int
    segments: tuple[Segment, ...]

    def renumbered(self, shift: int) -> "Answer":
        """The same answer with `shift` added to all command numbers."""
        if not shift:
            return self
        segments = tuple(one._replace(first_number=one.first_number + shift) for one in self.segments)
        return self._replace(first_number=self.first_number + shift, segments=segments)


@dataclass(frozen=True, slots=True)
class Refused:
    """The refusal of a message: none of its commands after `applied_number` was applied.

    `applied_number` is the number of the client's last applied command, 0 for none. `leader` is the command address of
    the engine that takes commands, "" if it is not known. `floor` is the highest client id that is refused as
    forgotten: a new id must be higher.
    """

    code: str
    message: str
    client: int = 0
    first_number: int = 0
    applied_number: int = 0
    leader: str = ""
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses on which an engine listens."""

    commands: str
    blocks: str
    retransmission: str


@dataclass(frozen=True, slots=True)
class Status:
    """The parts of an engine's status that every reader needs; `fields` is the complete status."""

    role: str
    block_number: int
    state_hash: int
    confirmed: int
    addresses: Addresses
    fields: Mapping[str, Any]
    epoch: int = 0  # of its newest block, or the one that it began; 0: not given
    followers: tuple[Addresses, ...] = ()
    """Those that announced themselves lately."""


class Confirmation(NamedTuple):
    """Block `number`, whose hash is `hash`, and all before it are durable."""

    number: int
    hash: int
    store: bytes  # identity of the store, 16 bytes


def encode_batch(client: int, first_number: int, commands: Records, texts: bytes) -> bytes:
    header = _BATCH.pack(layout.BATCH_MAGIC, layout.LAYOUT_VERSION, client, first_number, len(commands), len(texts))
    return b"".join((header, commands.tobytes(), texts))


def decode_batch(payload: bytes, owner: int = 0) -> Batch:
    """`owner` is that of the peer that sent it. Raises BadMessage, or TooLarge."""
    if len(payload) > MAX_BATCH_BYTES:
        raise TooLarge(f"A batch has at most {MAX_BATCH_BYTES} bytes, but this one has {len(payload)}.")
    if len(payload) < _BATCH.size:
        raise BadMessage(f"A batch has at least {_BATCH.size} bytes, but this one has {len(payload)}.")
    magic, version, client, first_number, count, text_size = _BATCH.unpack_from(payload)
    if magic != layout.BATCH_MAGIC:
        raise BadMessage("These bytes are not a batch of commands: they do not begin with the magic number.")
    if version != layout.LAYOUT_VERSION:
        raise BadMessage(f"This batch has layout {version}, but the engine reads layout {layout.LAYOUT_VERSION}.")
    if count > MAX_BATCH_COMMANDS:
        raise TooLarge(f"A batch has at most {MAX_BATCH_COMMANDS} commands, but this one has {count}.")
    if count == 0:
        raise BadMessage("A batch has at least one command.")
    if client == 0 or not 1 <= first_number <= MAX_NUMBER - count:
        raise BadMessage("A batch needs a client number other than 0 and command numbers from 1 to 2^63 - 1.")
    if client >= FIRST_LOG_CLIENT:
        raise BadMessage(f"A client number must be below {FIRST_LOG_CLIENT}: higher ones are reserved for input logs.")
    texts_at = _BATCH.size + count * layout.COMMAND.itemsize
    if len(payload) != texts_at + text_size:
        raise BadMessage(f"This batch should have {texts_at + text_size} bytes but has {len(payload)}.")
    # A writable copy, as the kernel is compiled for writable arrays and the bytes of a message are read-only.
    commands = np.frombuffer(bytearray(payload[_BATCH.size : texts_at]), layout.COMMAND)
    digest = xxhash.xxh3_64_intdigest(memoryview(payload)[_BATCH.size :])
    return Batch(client, first_number, commands, payload[texts_at:], owner, digest)


def renumbered(payload: bytes, client: int, first_number: int) -> bytes:
    """The same batch of another client and with another number."""
    magic, version, _, _, count, text_size = _BATCH.unpack_from(payload)
    return _BATCH.pack(magic, version, client, first_number, count, text_size) + payload[_BATCH.size :]


def addressee(payload: bytes) -> tuple[int, int]:
    """Client and first number of a batch that is refused, (0, 0) if even these cannot be read."""
    if len(payload) < _BATCH.size:
        return 0, 0
    magic, version, client, first_number, _, _ = _BATCH.unpack_from(payload)
    ours = magic == layout.BATCH_MAGIC and version == layout.LAYOUT_VERSION
    return (client, first_number) if ours else (0, 0)


def encode_answer(client: int, first_number: int, command_count: int, segments: Sequence[Segment]) -> bytes:
    parts: list[Any] = [_ANSWER.pack(client, first_number, command_count, len(segments))]
    for segment in segments:
        parts.append(
            _SEGMENT.pack(
                segment.first_number,
                segment.block_number,
                segment.first_command_sequence,
                segment.command_count,
                len(segment.events),
            )
        )
        parts.append(segment.events)  # a view: a block may have a hundred MiB
    return b"".join(parts)


def decode_answer(payload: bytes) -> Answer:
    """Raises BadMessage."""
    if len(payload) < _ANSWER.size:
        raise BadMessage(f"An answer has at least {_ANSWER.size} bytes, but this one has {len(payload)}.")
    client, first_number, command_count, segment_count = _ANSWER.unpack_from(payload)
    segments = []
    at = _ANSWER.size
    for _ in range(segment_count):
        if len(payload) < at + _SEGMENT.size:
            raise BadMessage("This answer ends in the middle of a segment.")
        number, block, sequence, commands, events = _SEGMENT.unpack_from(payload, at)
        at += _SEGMENT.size
        if len(payload) < at + events * layout.EVENT.itemsize:
            raise BadMessage("This answer ends in the middle of its events.")
        segments.append(Segment(number, block, sequence, commands, np.frombuffer(payload, layout.EVENT, events, at)))
        at += events * layout.EVENT.itemsize
    if at != len(payload) or sum(segment.command_count for segment in segments) != command_count:
        raise BadMessage("This answer's segments do not add up to its commands and bytes.")
    return Answer(client, first_number, command_count, tuple(segments))


def encode_refused(refused: Refused) -> bytes:
    return encode_json(asdict(refused))


def decode_refused(payload: bytes) -> Refused:
    """Raises BadMessage."""
    fields = decode_json(payload)
    code, message = fields.get("code"), fields.get("message")
    client, first, applied = (fields.get(name) for name in ("client", "first_number", "applied_number"))
    if not isinstance(code, str) or not isinstance(message, str):
        raise BadMessage("This refusal has no code and message.")
    if type(client) is not int or type(first) is not int or type(applied) is not int:
        raise BadMessage("This refusal lacks the client or the numbers of the refused batch.")
    leader, floor = fields.get("leader", ""), fields.get("floor", 0)
    if not isinstance(leader, str) or type(floor) is not int:
        raise BadMessage("The leader's address in this refusal is not a string, or its floor is not a number.")
    return Refused(code, message, client, first, applied, leader, floor)


def decode_status(payload: bytes) -> Status:
    """Raises BadMessage."""
    fields = decode_json(payload)
    try:
        status = Status(
            role=_text(fields["role"]),
            block_number=_integer(fields["block"]),
            state_hash=hash_value(_text(fields["state_hash"])),
            confirmed=_integer(fields["ring"]["confirmed"]),
            addresses=_addresses(fields["addresses"]),
            fields=fields,
            epoch=_integer(fields.get("epoch", 0)),
            followers=tuple(_addresses(one) for one in fields.get("followers", ())[:MAX_FOLLOWERS]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadMessage("This status lacks a role, a block, its hash or an address.") from error
    return status


def encode_addresses(addresses: Addresses) -> bytes:
    return encode_json(asdict(addresses))


def decode_addresses(payload: bytes) -> Addresses:
    """Raises BadMessage."""
    try:
        return _addresses(decode_json(payload))
    except (KeyError, TypeError) as error:
        raise BadMessage("A follower must announce the three addresses on which it listens.") from error


def encode_confirmation(confirmation: Confirmation) -> bytes:
    return _CONFIRMATION.pack(*confirmation)


def decode_confirmation(frames: Sequence[bytes]) -> Confirmation:
    """From the frames after the verb. Raises BadMessage."""
    if len(frames) != 1 or len(frames[0]) != _CONFIRMATION.size:
        raise BadMessage(
            f"A confirmation is one frame of {_CONFIRMATION.size} bytes after its verb: block number, its hash and the "
            "identity of the store."
        )
    confirmation = Confirmation._make(_CONFIRMATION.unpack(frames[0]))
    if confirmation.number > MAX_NUMBER:
        raise BadMessage("A number in a message must not exceed 2^63 - 1.")
    return confirmation


def encode_json(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def decode_json(payload: bytes) -> dict[str, Any]:
    """A JSON object. Raises BadMessage."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadMessage("These bytes are not JSON.") from error
    if not isinstance(fields, dict):
        raise BadMessage("This JSON is not an object.")
    return fields


def encode_numbers(*numbers: int) -> list[bytes]:
    return [_NUMBER.pack(number) for number in numbers]


def decode_numbers(frames: Sequence[bytes], count: int) -> list[int]:
    """`count` frames of one integer each, at most MAX_NUMBER. Raises BadMessage."""
    if len(frames) != count or any(len(frame) != _NUMBER.size for frame in frames):
        raise BadMessage(f"This message needs {count} numbers of {_NUMBER.size} bytes after its verb.")
    numbers = [int(_NUMBER.unpack(frame)[0]) for frame in frames]
    if any(number > MAX_NUMBER for number in numbers):
        raise BadMessage("A number in a message must not exceed 2^63 - 1.")
    return numbers


def decode_question(frames: Sequence[bytes], verbs: Iterable[bytes]) -> tuple[bytes, bytes]:
    """(verb, correlation id) of a question with one of `verbs`. Raises BadMessage."""
    if len(frames) != 2 or frames[0] not in verbs:
        raise BadMessage("This message has an unknown verb for this socket, or not two frames.")
    if not 1 <= len(frames[1]) <= MAX_CORRELATION_BYTES:
        raise BadMessage(f"A correlation id has 1 to {MAX_CORRELATION_BYTES} bytes.")
    return frames[0], frames[1]


def _addresses(fields: Any) -> Addresses:
    """Raises KeyError, TypeError."""
    return Addresses(*(_text(fields[name]) for name in ("commands", "blocks", "retransmission")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError
    return value
