"""What has to hold once the faults are over: the promises of docs/guarantees.md, read off the store and the clients."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import MatchingError
from matching.storage.disk import Disk
from settlement.audit.verify import verify
from settlement.stores.base import Store
from simulator.traffic import Acknowledged

_MOST_TOLD = 5


def chain_of(store: Store) -> list[Block]:
    return [Block.decode(row.data) for row in store.blocks(1)]


def store_is_in_order(store: Store, trail_folder: Path, disk: Disk) -> Iterator[str]:
    """Chain, re-execution, every table and the trail: what `verify_settlement` looks at."""
    try:
        report = verify(store, trail_folder, Engine(), disk=disk)
    except MatchingError as error:
        yield f"verify_settlement: {error}"
        return
    if report.behind:
        yield f"verify_settlement: {report.behind} blocks are not projected"
    for difference in report.differences[:_MOST_TOLD]:
        yield f"verify_settlement: {difference}"


def requests_come_once(chain: Sequence[Block]) -> Iterator[str]:
    """Each command of each client once, in the order of its numbers; time never runs back."""
    last: dict[int, int] = {}
    before_ns = 0
    for block in chain:
        if block.timestamp_ns < before_ns:
            yield f"block {block.number} is of an earlier time than the one before"
        before_ns = block.timestamp_ns
        for client, first, count, _ in block.requests.tolist():
            if first != last.get(client, 0) + 1:
                yield f"block {block.number}: client {client} comes with {first} after {last.get(client, 0)}"
            last[client] = first + count - 1


class Forgiven(NamedTuple):
    """An epoch that may have overruled answered commands: what was told of such blocks until then may be gone.

    Begun where a leader without a log had died, or where a person told an engine to take over from a live one.
    """

    first_block: int
    until_s: float


def answers_are_kept(
    acknowledged: Iterable[Acknowledged], chain: Sequence[Block], forgiven: Sequence[Forgiven]
) -> Iterator[str]:
    """What a client was told is in the chain, as it was told."""
    places = _places(chain)
    for told in acknowledged:
        if told.block_number == 0:
            is_kept = told.first_number + told.command_count - 1 <= places.last.get(told.client, 0)
        else:
            is_kept = _is_kept(told, chain, places)
        if not is_kept and not any(_forgives(epoch, told) for epoch in forgiven):
            yield f"answered at {told.at_s:.3f} s and not in the chain like that: {told[:5]}"


def nobody_was_told_of_a_loss(told_at_s: Iterable[float], forgiven: Sequence[Forgiven]) -> Iterator[str]:
    """No engine says that it does not have what was answered, unless one was allowed to lose it.

    A client that was cut off may hear of that long after.
    """
    for at_s in told_at_s:
        if not forgiven:
            yield f"a client was told at {at_s:.3f} s that the engine does not have what it was answered"


def _forgives(epoch: Forgiven, told: Acknowledged) -> bool:
    return told.at_s < epoch.until_s and (told.block_number == 0 or told.block_number >= epoch.first_block)


class _Places:
    def __init__(self) -> None:
        self.by_request: dict[tuple[int, int], int] = {}  # (client, number) → command sequence
        self.last: dict[int, int] = {}


def _places(chain: Sequence[Block]) -> _Places:
    places = _Places()
    for block in chain:
        sequence = block.first_command_sequence
        for client, first, count, _ in block.requests.tolist():
            for offset in range(count):
                places.by_request[client, first + offset] = sequence + offset
            sequence += count
            places.last[client] = first + count - 1
    return places


def _is_kept(told: Acknowledged, chain: Sequence[Block], places: _Places) -> bool:
    if told.block_number > len(chain):
        return False
    for offset in range(told.command_count):
        if places.by_request.get((told.client, told.first_number + offset)) != told.first_command_sequence + offset:
            return False
    events = chain[told.block_number - 1].events
    sequences = events["command_sequence"]
    first = told.first_command_sequence
    mine = events[(sequences >= first) & (sequences < first + told.command_count)]
    return bool(mine.tobytes() == told.events)


def blocks_stay(what: str, blocks: dict[int, int], chain: Sequence[Block]) -> Iterator[str]:
    """What was once durable, or told to an engine to be so, is there for good. `blocks`: number → hash."""
    for number, digest in blocks.items():
        if number > len(chain) or chain[number - 1].hash != digest:
            yield f"block {number} was {what} with hash {digest:016x} and is gone"


def engines_agree(engines: Iterable[tuple[str, Engine]], chain: Sequence[Block]) -> Iterator[str]:
    """Every engine that is up is at the end of the chain, and holds what its re-execution gives."""
    own = Engine()
    for block in chain:
        own.follow(block)
    for name, engine in engines:
        if engine.block_number != len(chain) or engine.state_hash != own.state_hash:
            yield f"engine {name} is at block {engine.block_number}, the chain at {len(chain)}, or at another hash"
        elif engine.balances() != own.balances() or engine.open_orders() != own.open_orders():
            yield f"engine {name} holds other balances or orders than the chain gives"
