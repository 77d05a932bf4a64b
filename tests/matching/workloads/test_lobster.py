"""NASDAQ messages in LOBSTER format are converted to commands that reproduce the recorded executions."""

import gzip
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from matching.client.jsonlines import dumps
from matching.client.replay import replay
from matching.core.errors import BadFile
from matching.workloads import lobster

HEADER = "seconds,message_type,order_id,quantity,price,direction"
EXECUTIONS_OF_KNOWN_ORDERS = 4055
OUT_OF_TURN = 24
"""Of them: the exchange did not take the oldest order of the price."""


def commands(*lines: str) -> tuple[list[dict[str, Any]], lobster.Counts]:
    """The commands of these messages, without the definitions and deposits before them."""
    counts = lobster.Counts()
    made = list(lobster.convert(lobster.read(lines), "ABC", counts))
    return made[len(list(lobster.prelude("ABC"))) :], counts


def events(*lines: str) -> list[dict[str, Any]]:
    made = lobster.convert(lobster.read(lines), "ABC", lobster.Counts())
    return list(replay(map(dumps, made)))


def test_a_new_order_becomes_a_limit_order_with_the_recorded_id() -> None:
    (order,), counts = commands("34200.004,1,16113575,18,5853301,1")
    assert order["command"] == "order"
    assert (order["side"], order["price"], order["quantity"]) == ("buy", "585.3301", "18")
    assert order["client_order_id"] == "16113575"
    assert counts.summary() == {"messages": 1, "commands": 1, "out_of_turn": 0, "skipped": {}}


def test_a_partial_cancellation_leaves_the_smaller_open_quantity() -> None:
    made, _ = commands("1,1,7,100,5000000,-1", "2,2,7,30,5000000,-1", "3,2,7,20,5000000,-1")
    assert [(one["command"], one["quantity"]) for one in made[1:]] == [("replace", "70"), ("replace", "50")]


def test_cancelling_the_last_share_is_a_cancel() -> None:
    made, counts = commands("1,1,7,100,5000000,-1", "2,2,7,100,5000000,-1", "3,3,7,100,5000000,-1")
    assert [one["command"] for one in made] == ["order", "cancel"]
    assert counts.skipped == {"order_not_in_file": 1}


def test_an_execution_is_an_ioc_of_the_other_side_by_a_taker() -> None:
    made, _ = commands("1,1,7,100,5000000,-1", "2,4,7,60,5000000,-1", "3,3,7,40,5000000,-1")
    order, taken, cancel = made
    assert (taken["side"], taken["time_in_force"], taken["quantity"]) == ("buy", "ioc", "60")
    assert taken["client_order_id"] == "7"
    assert taken["account"] != order["account"] == cancel["account"]


def test_no_account_ever_buys_and_sells() -> None:
    lines = [f"1,{kind},{order},5,10000,{(-1) ** order}" for order in range(1, 40) for kind in (1, 4)]
    made, _ = commands(*lines)
    sides: dict[int, set[str]] = {}
    for one in made:
        sides.setdefault(one["account"], set()).add(one["side"])
    assert all(len(both) == 1 for both in sides.values())
    assert len(sides) > 3


def test_skipped_messages_are_counted_by_reason() -> None:
    _, counts = commands("1,5,0,100,5000050,1", "1,6,1,5,5000000,1", "1,7,0,0,-1,-1", "1,3,99,5,5000000,1")
    assert counts.skipped == {"hidden_order": 1, "auction": 1, "trading_halt": 1, "order_not_in_file": 1}
    assert counts.commands == 0


def test_an_id_that_is_open_is_not_placed_again() -> None:
    made, counts = commands("1,1,7,100,5000000,-1", "1,1,7,100,5000000,-1")
    assert len(made) == 1
    assert counts.skipped == {"order_id_in_use": 1}


def test_header_and_blank_lines_are_optional() -> None:
    assert commands(HEADER, "", "1,1,7,100,5000000,-1")[1].messages == 1


@pytest.mark.parametrize(
    "line",
    [
        "1,1,7,100,5000000",
        "1,1,7,100,5000000,-1,0",
        "1,8,7,100,5000000,-1",
        "1,0,7,100,5000000,-1",
        "1,1,7,0,5000000,-1",
        "1,1,7,100,0,-1",
        "1,1,7,1000000001,5000000,-1",
        "1,1,0,100,5000000,-1",
        "1,1,7,100,5000000,0",
        "1,1,7,ten,5000000,-1",
        "1,1,7,99999999999999999999,5000000,-1",
        "noon,1,7,100,5000000,-1",
        HEADER,
        "\ufffd\ufffd",
    ],
)
def test_an_invalid_line_is_reported_with_its_number(line: str) -> None:
    with pytest.raises(BadFile, match=r"^Line 2\b.*\.$"):
        commands("1,1,6,100,5000000,-1", line)


def test_executions_are_compared_with_the_record() -> None:
    first_in_queue = events("1,1,7,100,5000000,-1", "1,1,8,100,5000000,-1", "2,4,7,60,5000000,-1")
    assert lobster.executions(first_in_queue) == lobster.Executions(recorded_order=1)
    orders = lobster.read(["1,1,7,100,5000000,-1", "1,1,8,100,5000000,-1"])
    taken: dict[str, Any] = {"command": "order", "account": lobster.taker("buy"), "symbol": "ABC-USD", "side": "buy"}
    taken |= {"order_type": "limit", "time_in_force": "ioc", "price": "500", "quantity": "60", "client_order_id": "8"}
    behind_another = replay(map(dumps, [*lobster.convert(orders, "ABC", lobster.Counts()), taken]))
    assert lobster.executions(behind_another) == lobster.Executions(other_order=1)


@pytest.mark.parametrize(
    ("executed", "left"),
    [
        ("2,4,8,60,5000000,-1", {"7": "100", "8": "40", "9": "100"}),
        ("2,4,8,100,5000000,-1", {"7": "100", "9": "100"}),
        ("2,4,9,60,5000100,-1", {"7": "100", "8": "100", "9": "40"}),
        ("2,4,7,60,5000000,-1", {"7": "40", "8": "100", "9": "100"}),
        ("2,4,7,160,5000000,-1", {"8": "100", "9": "100"}),
    ],
    ids=["second of its price", "all of the second", "behind a better price", "first of all", "more than was open"],
)
def test_an_execution_takes_from_the_order_that_the_exchange_executed(executed: str, left: dict[str, str]) -> None:
    lines = ["1,1,7,100,5000000,-1", "1,1,8,100,5000000,-1", "1,1,9,100,5000100,-1", executed]
    *rows, summary = events(*lines)
    names = {row["order_id"]: row["client_order_id"] for row in rows if row["event"] == "order_accepted"}
    assert {names[row["order_id"]]: row["remaining"] for row in summary["open_orders"]} == left
    assert commands(*lines)[1].out_of_turn == (0 if executed.startswith("2,4,7") else 1)


def test_a_new_order_that_would_trade_at_once_is_skipped() -> None:
    made, counts = commands("1,1,7,100,5000000,-1", "1,1,8,100,5000000,1", "2,4,8,60,5000000,1", "1,1,9,1,4999900,1")
    assert [one["client_order_id"] for one in made] == ["7", "9"]
    assert counts.skipped == {"would_trade_at_once": 1, "order_not_in_file": 1}


def test_the_unfilled_rest_of_an_execution_does_not_rest() -> None:
    *_, summary = events("1,1,7,100,5000000,-1", "2,4,7,60,5000000,-1", "3,3,7,40,5000000,-1")
    assert summary["open_orders"] == []
    assert summary["trades"] == 1


@pytest.mark.parametrize(
    ("name", "stock"),
    [
        ("AAPL_2012-06-21_34200000_57600000_message_10.csv", "AAPL"),
        ("nasdaq_msft_2012.csv.gz", "MSFT"),
        ("messages.csv", "STOCK"),
    ],
)
def test_the_stock_is_in_the_file_name(name: str, stock: str) -> None:
    assert lobster.stock_named(Path(name)) == stock


class TestCommand:
    def test_writes_commands_and_counts(self, tmp_path: Path) -> None:
        source, target = tmp_path / "ABC_message.csv.gz", tmp_path / "commands.jsonl"
        source.write_bytes(gzip.compress(f"{HEADER}\n1,1,7,100,5000000,-1\n2,5,0,1,1,1\n".encode()))
        told = StringIO()
        call_command("convert_lobster", str(source), "--output", str(target), stderr=told)
        made = [json.loads(line) for line in target.read_text().splitlines()]
        assert made[-1]["symbol"] == "ABC-USD"
        assert json.loads(told.getvalue().splitlines()[-1]) == {
            "messages": 2,
            "commands": 1,
            "out_of_turn": 0,
            "skipped": {"hidden_order": 1},
        }

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.csv", b"1,1,7,100\n"),
            ("a.csv", b"\xff\xfe\x00\n"),
            ("a.csv.gz", b"no gzip"),
            ("a.csv.gz", gzip.compress(b"1,1,7,100,5000000,-1\n" * 9000, mtime=0)[:60]),
            ("a.csv.gz", gzip.compress(b"x" * 100, mtime=0)[:12] + b"\xff" * 40),
        ],
    )
    def test_a_bad_file_is_exit_2_and_leaves_nothing(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CommandError) as raised:
            call_command("convert_lobster", str(tmp_path / name), "--output", str(tmp_path / "out"))
        assert raised.value.returncode == 2
        assert not (tmp_path / "out").exists()

    def test_a_missing_file_and_a_bad_stock_are_exit_2(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").touch()
        for arguments in (["missing.csv"], [str(tmp_path / "a.csv"), "--stock", "USD"], [str(tmp_path)]):
            with pytest.raises(CommandError) as raised:
                call_command("convert_lobster", *arguments)
            assert raised.value.returncode == 2


def test_an_hour_of_nasdaq_hits_the_orders_that_the_exchange_recorded(lobster_sample: Path) -> None:
    counts = lobster.Counts()
    with lobster.opened(lobster_sample) as lines:
        made = [dumps(command) for command in lobster.convert(lobster.read(lines), "AAPL", counts)]
    *rows, summary = replay(made)
    found = lobster.executions(rows)
    print(f"{found.recorded_order} of {EXECUTIONS_OF_KNOWN_ORDERS} executions hit first the recorded order")  # noqa: T201
    assert counts.skipped == {"hidden_order": 2201, "order_not_in_file": 84}
    assert counts.out_of_turn == OUT_OF_TURN
    assert found == lobster.Executions(recorded_order=EXECUTIONS_OF_KNOWN_ORDERS - OUT_OF_TURN)
    names = {row["order_id"]: row["client_order_id"] for row in rows if row["event"] == "order_accepted"}
    here = {names[row["order_id"]]: int(row["remaining"]) for row in summary["open_orders"]}
    assert here == recorded_book(lobster_sample)


def recorded_book(file: Path) -> dict[str, int]:
    """Open shares of each order that was placed within the file, according to the record."""
    left: dict[str, int] = {}
    with lobster.opened(file) as lines:
        for message in lobster.read(lines):
            name = str(message.order_id)
            if message.type == lobster.NEW:
                left[name] = message.quantity
            elif name in left and message.type in (lobster.REDUCED, lobster.DELETED, lobster.EXECUTED):
                left[name] -= message.quantity
    return {name: quantity for name, quantity in left.items() if quantity}
