"""What the engine remembers of its clients, so that no command is applied twice and no batch is mistaken for another.

A client id belongs to the key (`owner`) that used it first. For each client the state holds the number of its last
command and the newest WINDOW batches as (number of the first command, digest). A repeated number counts as the same
batch only if owner and digest are the same.

Memory is bounded: a client is forgotten after IDLE_BLOCKS blocks without a request, or when its owner has more than
CLIENTS_OF_AN_OWNER. Then its id and all lower ids of that owner are refused, unless they are still known. Ids rise with
time (`new_id`), so a new id is above all forgotten ones. Everything here depends on the blocks only.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from matching.core.errors import BadMessage

WINDOW = 16
"""Batches kept of each client: as many as a client may send from the oldest one on that is not answered."""

IDLE_BLOCKS = 1_000_000
CLIENTS_OF_AN_OWNER = 65_536
FORGOTTEN_A_BLOCK = 64
"""Upper limit of the idle clients that one block forgets, in addition to one for each of its requests."""

FIRST_LOG_CLIENT = 0xFFFF_FFFF << 32
"""Client numbers from here on are reserved: an engine records under them how far it has read an input log."""
MIGRATION_CLIENT = (1 << 64) - 1
"""The client number of the request that begins a new record layout."""

AHEAD_MS = 366 * 24 * 60 * 60 * 1000
"""A new client id may be this far ahead of the block's time: once a higher one is forgotten, few ids would be left."""
_ID_RANDOM_BITS = 20
_NS_A_MS = 1_000_000

# Why a batch is not taken. Users see these codes.
OUT_OF_ORDER = "out_of_order"
REQUEST_MISMATCH = "request_mismatch"
REQUEST_FORGOTTEN = "request_forgotten"
CLIENT_OF_ANOTHER_KEY = "client_of_another_key"
CLIENT_FORGOTTEN = "client_forgotten"
CLIENT_AHEAD = "client_ahead"

Request = tuple[int, int, int, int, int, int]
"""A REQUEST record: client, first_number, owner, digest, command_count, batch_offset."""


class Judged(NamedTuple):
    """What is to be done with a batch: refused for `reason`, or applied from its command `applied` on."""

    reason: str = ""
    applied: int = 0  # how many of its first commands were applied before


class Client(NamedTuple):
    """One client."""

    owner: int
    last_number: int = 0
    last_block: int = 0
    batches: tuple[tuple[int, int], ...] = ()
    """(number of the first command, digest) of the newest batches, oldest first."""
    accepted: bool = False
    """Whether its last command was accepted."""

    def judge(self, first_number: int, count: int, owner: int, digest: int) -> Judged:
        if owner != self.owner:
            return Judged(CLIENT_OF_ANOTHER_KEY)
        if first_number > self.last_number:
            return Judged() if first_number == self.last_number + 1 else Judged(OUT_OF_ORDER)
        if not self.batches or first_number < self.batches[0][0]:
            return Judged(REQUEST_FORGOTTEN)
        if (first_number, digest) not in self.batches:
            return Judged(REQUEST_MISMATCH)
        return Judged(applied=min(count, self.last_number - first_number + 1))

    def with_part(self, request: Request, block: int, accepted: bool) -> "Client":
        """The client after a request in block `block`. `accepted`: whether the request's last command was."""
        _, first_number, _, digest, count, offset = request
        batches = self.batches
        if not offset or not batches or batches[-1] != (first_number - offset, digest):
            batches = (*batches[-WINDOW + 1 :], (first_number - offset, digest))
        return Client(self.owner, first_number + count - 1, block, batches, accepted)

    def continues_with(self, request: Request) -> bool:
        """Whether the request's commands are the next ones of this client."""
        _, first_number, owner, digest, _, offset = request
        is_next = owner == self.owner and first_number == self.last_number + 1
        return is_next and (not offset or self.batches[-1:] == ((first_number - offset, digest),))


class Clients:
    """The clients of one engine."""

    def __init__(self) -> None:
        self.known: OrderedDict[int, Client] = OrderedDict()  # the one whose last request is oldest comes first
        self.floors: dict[int, int] = {}  # owner → highest forgotten client id
        self.floor = 0  # ids up to this one are refused to every owner, unless they are known
        self.log_positions: dict[int, int] = {}  # log client → offset of the next message
        self._of_owner: dict[int, OrderedDict[int, None]] = {}  # the same order as in `known`

    @classmethod
    def of(
        cls,
        known: Iterable[tuple[int, Client]],
        floors: Iterable[tuple[int, int]],
        floor: int,
        log_positions: Iterable[tuple[int, int]],
    ) -> Self:
        """Clients from their parts, `known` in the order of their last requests."""
        clients = cls()
        for client_id, client in known:
            clients._put(client_id, client)
        clients.floors, clients.floor, clients.log_positions = dict(floors), floor, dict(log_positions)
        return clients

    def __len__(self) -> int:
        return len(self.known)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clients) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # clients change

    def get(self, client_id: int) -> Client | None:
        return self.known.get(client_id)

    def last_number(self, client_id: int, owner: int) -> int:
        """Number of the client's last applied command; 0 if there is none, or if it belongs to another owner."""
        client = self.known.get(client_id)
        return client.last_number if client is not None and client.owner == owner else 0

    def floor_of(self, owner: int) -> int:
        """Unknown client ids up to this one are refused to this owner."""
        return max(self.floor, self.floors.get(owner, 0))

    def judge_new(self, client_id: int, first_number: int, owner: int, time_ns: int) -> Judged:
        """Judges the batch of a client that is not known, at a time at or before that of its block."""
        if client_id <= self.floor_of(owner):
            return Judged(CLIENT_FORGOTTEN)
        if client_id > highest_id(time_ns):
            return Judged(CLIENT_AHEAD)
        return Judged() if first_number == 1 else Judged(OUT_OF_ORDER)

    def check(self, requests: Iterable[Request], time_ns: int) -> None:
        """Raises BadMessage for requests of a block that an engine in this state would not have taken."""
        changed: dict[int, Client] = {}
        for request in requests:
            client_id, first_number, owner, _, _, offset = request
            if not client_id or client_id >= FIRST_LOG_CLIENT:
                continue
            client = changed.get(client_id) or self.known.get(client_id)
            if client is None:
                is_taken = not offset and self.judge_new(client_id, first_number, owner, time_ns) == Judged()
            else:
                is_taken = client.continues_with(request)
            if not is_taken:
                raise BadMessage(
                    f"Client {client_id} has a request that begins with number {first_number}, which no engine takes "
                    "after the blocks before."
                )
            changed[client_id] = (client or Client(owner)).with_part(request, 0, False)

    def apply(self, requests: Iterable[Request], accepted: Sequence[int] | npt.NDArray[np.uint8], block: int) -> None:
        """Notes the requests of a block, then forgets clients that have been idle for too long.

        `accepted`: for each command of the block, whether it was accepted.
        """
        left = FORGOTTEN_A_BLOCK
        end = 0
        for request in requests:
            client_id, first_number, owner, _, count, _ = request
            end += count
            if client_id >= FIRST_LOG_CLIENT:
                if client_id != MIGRATION_CLIENT:
                    self.log_positions[client_id] = first_number + count - 1
            elif client_id:
                left += 1
                client = self.known.get(client_id) or Client(owner)
                self._put(client_id, client.with_part(request, block, bool(accepted[end - 1])))
                if len(self._of_owner[client.owner]) > CLIENTS_OF_AN_OWNER:
                    self._forget(next(iter(self._of_owner[client.owner])))
        while left and self.known and next(iter(self.known.values())).last_block <= block - IDLE_BLOCKS:
            self._forget(next(iter(self.known)))
            left -= 1

    def forget_all(self, time_ns: int) -> None:
        """Forgets every client. Ids up to that time are refused to everybody."""
        self.known.clear()
        self._of_owner.clear()
        self.floors.clear()
        self.floor = max(self.floor, _last_id_of(time_ns // _NS_A_MS))

    def _put(self, client_id: int, client: Client) -> None:
        self.known[client_id] = client
        self.known.move_to_end(client_id)
        of_owner = self._of_owner.get(client.owner)
        if of_owner is None:
            of_owner = self._of_owner[client.owner] = OrderedDict()
        of_owner[client_id] = None
        of_owner.move_to_end(client_id)

    def _forget(self, client_id: int) -> None:
        owner = self.known.pop(client_id).owner
        self.floors[owner] = max(self.floors.get(owner, 0), client_id)
        del self._of_owner[owner][client_id]
        if not self._of_owner[owner]:
            del self._of_owner[owner]


def new_id(time_ns: int, random: int, above: int = 0) -> int:
    """A client id for a client that begins at that time: milliseconds, then 20 random bits; higher than `above`."""
    client_id = max(time_ns // _NS_A_MS, 1) << _ID_RANDOM_BITS | random & (1 << _ID_RANDOM_BITS) - 1
    return client_id if client_id > above else above + 1 + (random & (1 << _ID_RANDOM_BITS) - 1)


def highest_id(time_ns: int) -> int:
    """The highest id that a new client may have at that time."""
    return _last_id_of(time_ns // _NS_A_MS + AHEAD_MS)


def _last_id_of(time_ms: int) -> int:
    return min((time_ms + 1) << _ID_RANDOM_BITS, FIRST_LOG_CLIENT) - 1
