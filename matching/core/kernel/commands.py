"""Applies the commands of a block and writes their events (docs/semantics.md, sections 3 to 6).

Nothing here allocates or raises: `pools.reserve` makes room before a block begins and while the kernel is paused, and a
command that cannot be carried out becomes a `rejected` event. All integers are int64, except that bitmaps and hashes
are uint64.
"""

from typing import Any

import numpy as np

from matching.core.codes import FIRST_REFERENCE_COMMAND, LAST_REFERENCE_COMMAND
from matching.core.kernel import events, funding, limits, settings
from matching.core.kernel.compiling import called, inlined
from matching.core.kernel.constants import (
    ACCOUNT_STATUS,
    CANCEL,
    CANCEL_ALL,
    DEPOSIT,
    EDGE_REFUSED_PREVIOUS,
    INSTRUMENT_UPDATE,
    MARKET,
    OCO,
    OCO_STOP,
    ORDER,
    POST_ONLY,
    PREVIOUS_REFUSED,
    REPLACE,
    REQUIRES_PREVIOUS,
    WITHDRAW,
)
from matching.core.kernel.execution import cancels, lists, orders, replaces, triggers
from matching.core.kernel.structures import pools as p
from matching.core.kernel.structures import prefetch


@inlined
def apply_all(commands: Any, rows: Any, accepted: Any, pools: Any, budget: Any, first: Any, count: Any) -> Any:
    """Applies COMMAND records in order, from `first` on; returns how many EVENT records `rows` holds then.

    `accepted` (uint8) becomes 1 for each command that is accepted, 0 for each that is refused.

    It stops when the number of events written plus that of orders looked at exceeds `budget`, or when the block holds
    MAX_BLOCK_EVENTS, always after a whole command and never within a one-cancels-other; the caller sees from
    NEXT_COMMAND_SEQUENCE how many commands were applied. Commands on reference data are not applied here: it stops at
    one with IS_AT_DEFINITION in UNUSUAL set. Such a command is the last of its block, and the caller applies it.

    If it returns with PAUSED set, there is no room for a triggered order. The caller reserves more and calls it again:
    `first` is the command that is not finished, `count` what was returned. Otherwise `count` is 0 at the call, and so
    are all values of `state` that are 0 between blocks.

    The caller has reserved the pools for that many commands (`pools.reserve`), and `rows` has room for the events
    (`engine.Engine`).
    """
    state = pools.state
    large = state[p.ORDER_TOP] > prefetch.MIN_OPEN_ORDERS
    started = count
    unfinished = np.int64(-1)
    if state[p.PAUSED] != 0:
        started = state[p.COMMAND_START]
        count, first, unfinished = _resume(pools, rows, count, first, len(commands))
        if state[p.PAUSED] != 0:
            return count
    if large:
        prefetch.prefetch_first(pools, commands, first)
    for i in range(first, len(commands)):
        command = commands[np.uint32(i)]
        kind = command["kind"]
        if kind != OCO_STOP and i != unfinished:  # an order list is one command
            if count + state[p.LOOKED_AT] > budget or count >= limits.MAX_BLOCK_EVENTS:
                break
            started = count
            if state[p.QUEUE_HEAD] != 0:
                count = _work_off_queue(pools, rows, count, started, len(commands) - i, p.PAUSED_BEFORE)
                if state[p.PAUSED] != 0:
                    return count
        known = np.int64(0)
        if large:
            prefetch.prefetch_ahead(pools, commands, i)
            known = prefetch.noted(pools, i)
        own = count
        if kind == ORDER and command["order_type"] <= MARKET:
            if command["flags"] > POST_ONLY and _is_previous_refused(pools, accepted, i, command):
                count = events.reject(pools, rows, count, command, PREVIOUS_REFUSED)
            else:
                count = orders.place(pools, rows, count, command, known)
        elif kind == CANCEL:
            count = cancels.cancel(pools, rows, count, command, known)
        elif kind == REPLACE:
            count = replaces.replace(pools, rows, count, command)
        elif kind == DEPOSIT:
            count = funding.deposit(pools, rows, count, command)
        elif kind == WITHDRAW:
            count = funding.withdraw(pools, rows, count, command)
        elif kind >= FIRST_REFERENCE_COMMAND and kind <= LAST_REFERENCE_COMMAND:
            state[p.UNUSUAL] |= p.IS_AT_DEFINITION
            break
        else:
            count = _apply_rare_command(pools, rows, count, commands, i, accepted)
        accepted[np.uint32(i)] = 0 if rows[np.uint32(own)]["kind"] == events.REJECTED else 1
        if state[p.QUEUE_HEAD] != 0 and kind != OCO:
            count = _work_off_queue(pools, rows, count, started, len(commands) - i, p.PAUSED_AFTER)
            if state[p.PAUSED] != 0:
                return count
        state[p.NEXT_COMMAND_SEQUENCE] += 1
    state[p.NEXT_EVENT_SEQUENCE] += count
    return count


@called
def _apply_rare_command(pools: Any, rows: Any, count: Any, commands: Any, place: Any, accepted: Any) -> Any:
    command = commands[place]
    kind = command["kind"]
    if kind in (ORDER, OCO):
        if command["flags"] & REQUIRES_PREVIOUS != 0 and _is_previous_refused(pools, accepted, place, command):
            return events.reject(pools, rows, count, command, PREVIOUS_REFUSED)
        if kind == OCO:
            return lists.place_limit_leg(pools, rows, count, command, commands[place + 1])
        return triggers.place(pools, rows, count, command)
    if kind == OCO_STOP:
        return lists.place_stop_leg(pools, rows, count, command)
    if kind == CANCEL_ALL:
        return cancels.cancel_all(pools, rows, count, command)
    if kind == INSTRUMENT_UPDATE:
        return settings.update_instrument(pools, rows, count, command)
    if kind == ACCOUNT_STATUS:
        return settings.set_account_status(pools, rows, count, command)
    return settings.set_account_fees(pools, rows, count, command)


@called
def _work_off_queue(pools: Any, rows: Any, count: Any, started: Any, commands_left: Any, where: Any) -> Any:
    """`triggers.work_off_queue`; notes where it was, PAUSED_BEFORE or PAUSED_AFTER, if it pauses."""
    count = triggers.work_off_queue(pools, rows, count, started, commands_left)
    if pools.state[p.PAUSED] != 0:
        pools.state[p.PAUSED] = where
        pools.state[p.COMMAND_START] = started
    return count


@called
def _resume(pools: Any, rows: Any, count: Any, first: Any, size: Any) -> Any:
    """Goes on where the kernel paused: (count, command to go on with, the same if its own work is left, else -1)."""
    state = pools.state
    where = state[p.PAUSED]
    state[p.PAUSED] = 0
    count = _work_off_queue(pools, rows, count, state[p.COMMAND_START], size - first, where)
    if state[p.PAUSED] != 0 or where == p.PAUSED_BEFORE:
        return count, first, first
    state[p.NEXT_COMMAND_SEQUENCE] += 1
    return count, first + 1, np.int64(-1)


@called
def _is_previous_refused(pools: Any, accepted: Any, place: Any, command: Any) -> Any:
    """Whether the command before this one, of the same client, was refused, or there is none.

    `place`: the command's index in the block. Only the first one of a block can begin a request (`engine.Engine`).
    """
    if command["flags"] & EDGE_REFUSED_PREVIOUS != 0:
        return True
    if place > 0:
        return accepted[place - 1] == 0
    return pools.state[p.PREVIOUS_ACCEPTED] == 0
