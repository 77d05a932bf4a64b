"""Invariants after a run: the guarantees of docs/guarantees.md, checked on the store's content and clients' answers."""

from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import MatchingError
from matching.node.status import state_of
from matching.storage.disk import Disk
from settlement.audit.verify import verify
from settlement.stores.base import Store
from simulator.sessions import Acknowledged, contents

_MAX_REPORTED = 5


def chain_of(store: Store) -> list[Block]:
    return [Block.decode(row.data) for row in store.blocks(1)]


def store_is_in_order(store: Store, trail_folder: Path, disk: Disk) -> Iterator[str]:
    """The checks of `verify_settlement`: chain, re-execution, every table and the trail."""
    try:
        report = verify(store, trail_folder, Engine(), disk=disk)
    except MatchingError as error:
        yield f"verify_settlement: {error}"
        return
    if report.behind:
        yield f"verify_settlement: {report.behind} blocks are not projected"
    for difference in report.differences[:_MAX_REPORTED]:
        yield f"verify_settlement: {difference}"


def requests_come_once(chain: Sequence[Block]) -> Iterator[str]:
    """Each command of each client is in the chain once, in the order of its numbers; block times never decrease."""
    last: dict[int, int] = {}
    before_ns = 0
    for block in chain:
        if block.timestamp_ns < before_ns:
            yield f"block {block.number} has an earlier time than the block before it"
        before_ns = block.timestamp_ns
        for client, first, _, _, count, _ in block.requests.tolist():
            if first != last.get(client, 0) + 1:
                yield f"block {block.number}: client {client} has command {first} after {last.get(client, 0)}"
            last[client] = first + count - 1


def nothing_unpermitted_is_sequenced(
    chain: Sequence[Block], first_intruder: int, sent_revoked: Set[tuple[int, int, bytes]]
) -> Iterator[str]:
    """No command of an intruder is in the chain, and none that was sent with a key that was revoked before.

    `first_intruder`: intruders have this client number or a higher one. `sent_revoked`: client, number and contents.
    """
    for block in chain:
        commands, at = contents(block.commands), 0
        for client, first, _, _, count, _ in block.requests.tolist():
            if client >= first_intruder:
                yield f"block {block.number} has a command of an intruder (client {client})"
            elif count and (client, first, commands[at]) in sent_revoked:
                yield f"block {block.number} has command {first} of client {client}, sent with a revoked key"
            at += count


class AllowedLoss(NamedTuple):
    """An epoch that may have discarded answered commands in blocks from `first_block` on, answered until `until_s`.

    Such an epoch begins after a leader without a log died, or when an operator made an engine take over from a live
    one.
    """

    first_block: int
    until_s: float


def answers_are_kept(
    acknowledged: Iterable[Acknowledged], chain: Sequence[Block], allowed_losses: Sequence[AllowedLoss]
) -> Iterator[str]:
    """Every answer that a client received agrees with the chain."""
    index = _index_commands(chain)
    for answer in acknowledged:
        if answer.block_number == 0:
            is_kept = answer.first_number + answer.command_count - 1 <= index.last.get(answer.client, 0)
        else:
            is_kept = _is_kept(answer, chain, index)
        is_kept = is_kept and _has_commands(answer, index)
        if not is_kept and not any(_allows(epoch, answer) for epoch in allowed_losses):
            yield f"answered at {answer.at_s:.3f} s, but the chain has another result: {answer[:5]}"


def no_client_reports_a_loss(reported_at_s: Iterable[float], allowed_losses: Sequence[AllowedLoss]) -> Iterator[str]:
    """No engine reports to a client that an answered command is missing, unless a loss was allowed.

    A client that was disconnected may receive the report long after the loss, so times are not compared.
    """
    for at_s in reported_at_s:
        if not allowed_losses:
            yield f"at {at_s:.3f} s an engine reported to a client that an answered command is missing"


def _allows(epoch: AllowedLoss, answer: Acknowledged) -> bool:
    return answer.at_s < epoch.until_s and (answer.block_number == 0 or answer.block_number >= epoch.first_block)


class _CommandIndex:
    def __init__(self) -> None:
        self.by_request: dict[tuple[int, int], int] = {}  # (client, number) → command sequence
        self.commands: dict[tuple[int, int], bytes] = {}  # (client, number) → contents
        self.last: dict[int, int] = {}


def _index_commands(chain: Sequence[Block]) -> _CommandIndex:
    index = _CommandIndex()
    for block in chain:
        sequence, commands = block.first_command_sequence, iter(contents(block.commands))
        for client, first, _, _, count, _ in block.requests.tolist():
            for offset in range(count):
                index.by_request[client, first + offset] = sequence + offset
                index.commands[client, first + offset] = next(commands)
            sequence += count
            index.last[client] = first + count - 1
    return index


def _has_commands(answer: Acknowledged, index: _CommandIndex) -> bool:
    """Whether the commands in the chain are those that were sent."""
    applied = (index.commands.get((answer.client, answer.first_number + at)) for at in range(answer.command_count))
    return tuple(applied) == answer.commands


def _is_kept(answer: Acknowledged, chain: Sequence[Block], index: _CommandIndex) -> bool:
    if answer.block_number > len(chain):
        return False
    for offset in range(answer.command_count):
        if (
            index.by_request.get((answer.client, answer.first_number + offset))
            != answer.first_command_sequence + offset
        ):
            return False
    events = chain[answer.block_number - 1].events
    sequences = events["command_sequence"]
    first = answer.first_command_sequence
    mine = events[(sequences >= first) & (sequences < first + answer.command_count)]
    return bool(mine.tobytes() == answer.events)


def blocks_stay(what: str, blocks: dict[int, int], chain: Sequence[Block]) -> Iterator[str]:
    """Blocks that were durable or confirmed stay in the chain. `blocks`: number → hash."""
    for number, digest in blocks.items():
        if number > len(chain) or chain[number - 1].hash != digest:
            yield f"block {number} was {what} with hash {digest:016x} and is missing"


def engines_agree(engines: Iterable[tuple[str, Engine]], chain: Sequence[Block]) -> Iterator[str]:
    """Every running engine is at the end of the chain and has the state that re-executing the chain gives."""
    own = Engine()
    for block in chain:
        own.follow(block)
    for name, engine in engines:
        if engine.block_number != len(chain) or engine.state_hash != own.state_hash:
            yield f"engine {name} is at block {engine.block_number}, the chain at {len(chain)}, or the hashes differ"
        elif state_of(engine) != state_of(own):
            yield f"engine {name} has other balances, orders or settings than re-execution of the chain gives"
