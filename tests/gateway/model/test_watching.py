"""What watchers are told, against the same commands executed one by one."""

import asyncio
from collections import defaultdict

from gateway.model.records import AccountCommand, OrderChange, OrderStatus, Transfer
from matching.core.codes import EventKind, Reason
from matching.core.engine import Engine
from tests.gateway.model.source import ACCOUNTS, Source, apply, defined, model, random_blocks

_COMMANDS = 300


def limit(account: int, side: str, price: str, quantity: str, **fields: object) -> dict[str, object]:
    return {
        "command": "order",
        "account": account,
        "symbol": "BTC-USD",
        "side": side,
        "order_type": "limit",
        "price": price,
        "quantity": quantity,
        **fields,
    }


def test_balances_after_each_command_are_those_of_commands_one_by_one(seed: int) -> None:
    source, followed = Source(), model()
    followed.begin(Engine())
    told: list[tuple[int, AccountCommand]] = []

    def watch(account: int) -> None:
        followed.watch(account, lambda command: told.append((account, command)))

    for account in (0, *ACCOUNTS):
        watch(account)
    alone = Source()
    for block in random_blocks(source, seed, _COMMANDS, most=8):
        told.clear()
        followed.apply(block)
        by_command = defaultdict(list)
        for account, command in told:
            by_command[command.command_sequence].append((account, command))
        for place in range(block.command_count):
            records = block.commands[place : place + 1].copy()
            if int(records["kind"][0]) in (12, 13):
                return  # the legs of a one-cancels-other cannot be executed alone
            sequence = block.first_command_sequence + place
            start, length = int(records["text_offset"][0]), int(records["text_length"][0])
            records["text_offset"] = 0
            requests = block.requests[:1].copy()
            requests["command_count"], requests["first_number"] = 1, sequence
            alone.engine.apply(requests, records, block.texts[start : start + length], block.timestamp_ns)
            balances = {(row[0], row[1]): row[2:] for row in alone.engine.balances()}
            for account, command in by_command[sequence]:
                for balance in command.balances:
                    expected = balances.get((account, balance.asset.symbol), (0, 0))
                    assert (balance.available, balance.locked) == expected


def test_each_event_of_an_order_is_told_with_the_order_just_after_it() -> None:
    source, followed = defined()
    told: list[AccountCommand] = []
    followed.watch(1, told.append)
    block = source.block(
        [
            limit(1, "sell", "100.00", "3", client_order_id="mine"),
            limit(2, "buy", "100.00", "1"),
            {"command": "cancel", "account": 1, "symbol": "BTC-USD", "client_order_id": "mine", "request_id": "bye"},
        ]
    )
    assert block is not None
    followed.apply(block)
    changes = [change for command in told for change in command.changes if isinstance(change, OrderChange)]
    lot = source.engine.registry.instruments[0].lot
    assert [
        (EventKind(one.event.kind).name, one.order.status, lot.text(one.order.filled), one.request_name)
        for one in changes
    ] == [
        ("ORDER_ACCEPTED", OrderStatus.OPEN, "0", ""),
        ("TRADE", OrderStatus.OPEN, "1", ""),
        ("ORDER_CANCELLED", OrderStatus.CANCELLED, "1", "bye"),
    ]
    assert changes[1].fill is not None
    assert changes[1].fill.is_maker
    assert changes[2].order.reason is Reason.USER
    assert [len(command.balances) for command in told] == [1, 2, 1]


def test_transfers_are_told_and_watching_ends() -> None:
    source, followed = defined()
    told: list[AccountCommand] = []
    end = followed.watch(1, told.append)
    deposit = {"command": "deposit", "account": 1, "asset": "BTC", "amount": "2", "reference": "a"}
    apply(source, followed, deposit, {**deposit, "command": "withdraw"}, {**deposit, "account": 2})
    unit = source.engine.registry.asset_by_symbol["BTC"].unit
    transfers = [change for command in told for change in command.changes]
    assert [unit.text(one.amount) for one in transfers if isinstance(one, Transfer)] == ["2", "-2"]
    end()
    end()
    apply(source, followed, {**deposit, "reference": "b"})
    assert len(told) == 2


def test_who_waits_for_a_block_is_woken_when_it_is_applied() -> None:
    source, followed = defined()

    async def wait() -> None:
        next_block = followed.block_number + 1
        waiting = asyncio.ensure_future(followed.wait_for_block(next_block))
        await asyncio.sleep(0)
        assert not waiting.done()
        apply(source, followed, limit(1, "sell", "100.00", "1"))
        await waiting
        await followed.wait_for_block(next_block)

    asyncio.run(wait())
