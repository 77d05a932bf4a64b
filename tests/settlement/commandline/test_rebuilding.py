"""Commands that rebuild projections and replay dead letters: what they print and how they end."""

import json
import signal
from typing import Any

import pytest
from django.db import connection

from matching.commandline.interruption import StopFlag
from settlement.project import rebuilding
from settlement.stores.base import Store, StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.settlement.commandline.conftest import ended, refused, run
from tests.settlement.rows import letter

IN_SQLITE = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the trigger is written in SQLite's words")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("store_is_away", [False, True])
def test_a_stopped_rebuild_reports_the_last_projected_block(
    settled: Store, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, store_is_away: bool
) -> None:
    def stopped(*arguments: object, **options: object) -> int:
        signal.raise_signal(number)
        if store_is_away:
            raise rebuilding.Stopped
        return 2

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    monkeypatch.setattr("settlement.project.rebuilding.rebuild", stopped)
    try:
        code, message = refused("rebuild_projections")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    done = "" if store_is_away else f"blocks up to 2 of {settled.appended().block_number} are projected; "
    assert (code, message) == (
        128 + number,
        f"Stopped by {number.name}: {done}settlement, or this command again, continues with the rest.",
    )


def test_rebuild_projections_reports_the_last_projected_block(settled: Store) -> None:
    assert run("rebuild_projections") == "Projected blocks 1 to 4 of 4.\n"
    assert json.loads(run("rebuild_projections", "--from-block", "3", "--json"))["projected"] == 4
    assert refused("rebuild_projections", "--from-block", "9")[0] == 2


def refuse_rows_of(block: int) -> None:
    """The database refuses the ledger entries of this block."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER refusal BEFORE INSERT ON ledger_events WHEN NEW.block_number = {block} "
            "BEGIN SELECT RAISE(ABORT, 'impossible'); END"
        )


LACKS_BLOCK_4 = (
    "The rows of 1 block are not in the tables, because the store rejected them (dead letters: block 4). Correct the "
    "cause, then run replay_dead_letters --all."
)


@IN_SQLITE
def test_rebuild_projections_exits_1_if_a_block_becomes_a_dead_letter(settled: Store) -> None:
    refuse_rows_of(4)
    assert refused("rebuild_projections") == (1, LACKS_BLOCK_4)
    code, sentence, printed = ended("rebuild_projections", "--json")
    assert (code, sentence) == (1, LACKS_BLOCK_4)
    assert json.loads(printed) == {"from_block": 1, "projected": 4, "appended": 4, "dead_letters": [4]}


@IN_SQLITE
def test_a_rebuild_that_leaves_an_earlier_dead_letter_reports_it(settled: Store) -> None:
    refuse_rows_of(4)
    refused("rebuild_projections")
    assert refused("rebuild_projections", "--from-block", "5") == (1, LACKS_BLOCK_4)


@pytest.mark.parametrize("is_store_away", [False, True])
def test_a_stopped_rebuild_reports_what_is_left(
    settled: Store, monkeypatch: pytest.MonkeyPatch, is_store_away: bool
) -> None:
    def away(self: Store) -> int:
        raise StoreUnavailable("The database does not answer.")

    stop = StopFlag()
    stop.receive(signal.SIGINT)
    monkeypatch.setattr("settlement.management.commands.rebuild_projections.stop_on_signals", lambda: stop)
    if is_store_away:
        monkeypatch.setattr(SqlStore, "projecting", away)
    done = "" if is_store_away else "blocks up to 0 of 4 are projected; "
    assert refused("rebuild_projections") == (
        130,
        f"Stopped by SIGINT: {done}settlement, or this command again, continues with the rest.",
    )


@IN_SQLITE
def test_run_settlement_until_a_block_exits_1_if_a_block_became_a_dead_letter(
    settled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange_site.management.commands.run_settlement.settle", lambda *arguments: 0)
    assert run("run_settlement", "--until-block", "4") == "settled 0 blocks\n"
    refuse_rows_of(4)
    refused("rebuild_projections")
    assert ended("run_settlement", "--until-block", "4") == (1, LACKS_BLOCK_4, "settled 0 blocks\n")
    assert run("run_settlement") == "settled 0 blocks\n"  # a service that was asked to stop; its alarms say the rest


def test_replay_dead_letters_writes_what_it_can(settled: Store) -> None:
    assert run("replay_dead_letters", "--all") == "0 of 0 dead letters were replayed.\n"
    assert refused("replay_dead_letters", "--id", "3") == (2, "There is no dead letter 3.")
    rows: dict[str, Any] = {name: [] for name in ROWS}
    settled.put_dead_letter(letter(3, projection=json.dumps({"checkpoint": [3, 0, 1], **rows})))
    assert json.loads(run("replay_dead_letters", "--id", "3", "--json")) == {"replayed": 1, "refused": {}}
    assert settled.dead_letters() == []
    rows["orders"] = [[1] + [None] * 18]
    settled.put_dead_letter(letter(4, projection=json.dumps({"checkpoint": [4, 0, 1], **rows})))
    assert refused("replay_dead_letters", "--all") == (1, "The store rejected the rows of blocks 4 again.")


def test_a_replay_that_fails_midway_reports_what_was_done(settled: Store) -> None:
    rows: dict[str, Any] = {name: [] for name in ROWS}
    settled.put_dead_letter(letter(3, projection=json.dumps({"checkpoint": [3, 0, 1], **rows})))
    settled.put_dead_letter(letter(5))
    code, sentence, printed = ended("replay_dead_letters", "--all")
    assert (code, printed) == (2, "1 of 2 dead letters were replayed.\n")
    assert "The rows of block 5 cannot be replayed yet" in sentence


def test_replay_dead_letters_of_a_block_that_is_not_projected_yet_exits_2(settled: Store) -> None:
    settled.put_dead_letter(letter(5))
    code, sentence = refused("replay_dead_letters", "--all")
    assert code == 2
    assert sentence == (
        "The rows of block 5 cannot be replayed yet, because the store is projected only to block 4: wait until "
        "run_settlement or rebuild_projections has projected that block."
    )


ROWS = ("trades", "orders", "ledger_events", "balances", "candles", "days", "definitions")
