from collections.abc import Sequence
from random import Random

from gateway.model.records import AggregateTrade, Trade
from gateway.model.trades import Tape, aggregated
from matching.core.codes import Side


def random_trades(seed: int, count: int = 120) -> list[Trade]:
    random = Random(seed)
    made: list[Trade] = []
    command, price, time_ns, side = 1, 100, 0, Side.BUY
    for number in range(1, count + 1):
        if random.randrange(2):
            command, time_ns, side = command + 1, time_ns + random.randint(0, 3), random.choice(tuple(Side))
        if random.randrange(2):
            price += 1
        made.append(Trade(number, 10 * number, price, random.randint(1, 5), time_ns, side, number, command, command))
    return made


def expected(trades: Sequence[Trade]) -> list[AggregateTrade]:
    found: list[AggregateTrade] = []
    at = 0
    while at < len(trades):
        first, end = trades[at], at
        while end < len(trades) and (trades[end].price, trades[end].command_sequence) == (
            first.price,
            first.command_sequence,
        ):
            end += 1
        quantity = sum(trade.quantity for trade in trades[at:end])
        numbers = first.trade_number, trades[end - 1].trade_number
        found.append(AggregateTrade(numbers[0], first.price, quantity, *numbers, first.time_ns, first.taker_side))
        at = end
    return found


def filled(trades: Sequence[Trade], kept: int = 1000) -> Tape:
    tape = Tape(kept)
    for trade in trades:
        tape.add(trade)
    return tape


def test_trades_of_one_command_and_price_are_one_aggregate(seed: int) -> None:
    trades = random_trades(seed)
    assert list(aggregated(trades)) == expected(trades)


def test_aggregates_are_found_by_id_by_time_and_from_the_end(seed: int) -> None:
    trades = random_trades(seed)
    tape, whole = filled(trades), expected(trades)
    for limit in (1, 7, 1000):
        assert list(tape.aggregates(limit=limit)) == whole[-limit:]
        for place in (1, 37, 100, 120, 121):
            assert (
                list(tape.aggregates(limit=limit, from_id=place)) == [one for one in whole if one.id >= place][:limit]
            )
        start_ns, end_ns = trades[30].time_ns, trades[90].time_ns
        of_time = [one for one in whole if start_ns <= one.time_ns <= end_ns]
        assert list(tape.aggregates(limit=limit, start_ns=start_ns, end_ns=end_ns)) == of_time[:limit]
        until = [one for one in whole if one.time_ns <= end_ns]
        assert list(tape.aggregates(limit=limit, end_ns=end_ns)) == until[-limit:]


def test_trades_are_found_by_number_and_from_the_end() -> None:
    trades = random_trades(1)
    tape = filled(trades)
    assert list(tape.trades(limit=3)) == trades[-3:]
    assert list(tape.trades(limit=3, from_number=11)) == trades[10:13]
    assert list(tape.trades(limit=3, from_number=500)) == []


def test_the_newest_trades_are_kept() -> None:
    trades = random_trades(1)
    tape = filled(trades, kept=10)
    assert 10 <= len(tape) <= 20
    assert list(tape.trades(limit=10)) == trades[-10:]
    assert list(tape.trades(limit=2, from_number=1)) == trades[-len(tape) : -len(tape) + 2]


def test_older_trades_are_put_before_those_that_follow_them() -> None:
    trades = random_trades(1)
    tape = filled(trades[50:])
    tape.extend_back(trades[:40])
    assert tape.first_number == 51
    tape.extend_back(trades[20:50])
    assert list(tape.trades(limit=1000)) == trades[20:]
