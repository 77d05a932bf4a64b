"""The store contract: these tests run against every store of settlement."""

import sys
from datetime import timedelta
from secrets import token_hex

import pytest

from matching.core.codes import CommandKind
from settlement.errors import StoreReplaced
from settlement.stores.base import (
    IDENTITY_BYTES,
    NOTHING_YET,
    Checkpoint,
    Definition,
    Store,
    StoredCheckpoint,
    StoredRegister,
)
from tests.settlement.conftest import empty, restarted
from tests.settlement.rows import (
    DAY,
    MOST,
    account_fees,
    account_status,
    balance,
    block,
    candle,
    day,
    entry,
    letter,
    order,
    projection,
    trade,
    transfer,
)
from tests.settlement.store_contents import everything, full

MAX_CHECKPOINT = 4_000_000


def test_an_empty_store_is_at_block_0_and_finds_nothing(store: Store) -> None:
    assert everything(store) == [NOTHING_YET, NOTHING_YET, [], [], [], [], [], [], None, [], [], []]
    assert store.get_block(1) is None
    assert store.block_of_event(1) is None
    assert store.get_trade_by_id(1) is None
    assert store.get_orders([1, 2]) == []
    assert store.get_balances([(1, "BTC")]) == []
    assert store.newest_trades(5) == []
    assert list(store.open_orders()) == []
    assert store.dead_letters() == []
    assert store.get_dead_letter(1) is None


def test_init_and_connect_are_safe_to_repeat(store: Store) -> None:
    store.append_blocks([block(1)])
    store.connect()
    store.connect()
    store.ping()
    assert store.appended().block_number == 1


def test_a_stores_identity_is_made_once_and_every_process_reads_the_same(store: Store) -> None:
    identity = store.identity()
    assert len(identity) == IDENTITY_BYTES
    store.init()
    assert identity == store.identity() == restarted(store).identity()


def test_the_first_of_two_callers_decides_the_identity(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one finds none, and the first one writes its own before the second one does."""
    second = restarted(store)
    own = token_hex

    def slow(size: int) -> str:
        monkeypatch.setattr(sys.modules[type(store).__module__], "token_hex", own)
        decided.append(store.identity())
        return own(size)

    decided: list[bytes] = []
    monkeypatch.setattr(sys.modules[type(store).__module__], "token_hex", slow)
    assert second.identity() == store.identity() == decided[0]


def test_two_stores_have_different_identities(store: Store) -> None:
    identity = store.identity()
    empty(store)
    assert store.identity() != identity


def test_a_key_register_is_written_only_over_the_one_that_was_read(store: Store) -> None:
    first, second, third = (StoredRegister(serial, b'{"serial":%d}' % serial) for serial in (1, 2, 3))
    assert store.key_register() is None
    assert not store.put_key_register(first, replaces=7)
    assert store.put_key_register(first, replaces=None)
    assert not store.put_key_register(second, replaces=None)
    assert store.put_key_register(third, replaces=1)
    assert not store.put_key_register(second, replaces=1)
    assert store.key_register() == third
    assert restarted(store).key_register() == third


def test_a_key_register_of_a_mebibyte_comes_back(store: Store) -> None:
    large = StoredRegister(MOST, b'"%b"' % (b"x" * ((1 << 20) - 2)))
    assert store.put_key_register(large, replaces=None)
    assert store.key_register() == large


def test_signed_checkpoints_come_back_newest_first(store: Store) -> None:
    assert list(store.signed_checkpoints(MAX_CHECKPOINT)) == []
    blocks = (1, 2, 999_999, 1_000_000, 1_000_001, 3_500_000)
    written = [
        StoredCheckpoint(number, signer, b'{"block":%d}' % number)
        for number in blocks
        for signer in ("settlement-local", "engine-local")
    ]
    for checkpoint in (*written, written[0]):
        store.put_signed_checkpoint(checkpoint)
    found = list(store.signed_checkpoints(MAX_CHECKPOINT))
    assert sorted(found) == sorted(written)
    assert [row.block_number for row in found] == sorted((row.block_number for row in written), reverse=True)
    assert {row.block_number for row in store.signed_checkpoints(1_000_000)} == {1, 2, 999_999, 1_000_000}
    assert list(restarted(store).signed_checkpoints(0)) == []


def test_signed_checkpoints_of_some_blocks_can_be_dropped_and_written_again(store: Store) -> None:
    rows = [StoredCheckpoint(number, "engine-local", b"{}") for number in (4, 5, 999_999, 1_000_000, 1_000_007)]
    for row in rows:
        store.put_signed_checkpoint(row)
    store.drop_signed_checkpoints(5, 1_000_000)
    assert [row.block_number for row in store.signed_checkpoints(MAX_CHECKPOINT)] == [1_000_007, 4]
    store.put_signed_checkpoint(rows[2])
    assert [row.block_number for row in store.signed_checkpoints(MAX_CHECKPOINT)] == [1_000_007, 999_999, 4]


def stating(number: int, signer: str, digest: str) -> StoredCheckpoint:
    return StoredCheckpoint(number, signer, b'{"checkpoint":{"digest":"%s"}}' % digest.encode())


def test_signed_checkpoints_are_found_by_the_digest_that_they_state(store: Store) -> None:
    digests = [f"{number:064x}" for number in range(3)]
    rows = [stating(5, "engine-local", digests[1]), stating(5, "settlement-local", digests[1])]
    rows += [stating(6, "engine-local", digests[2]), stating(1_000_001, "engine-local", digests[1])]
    others = [StoredCheckpoint(7, "engine-local", b"{}"), stating(8, "engine-local", "short")]
    for row in (*rows, *others):
        store.put_signed_checkpoint(row)
    assert store.checkpoints_of_digest(digests[1]) == [rows[3], rows[1], rows[0]]
    assert store.checkpoints_of_digest(digests[2]) == [rows[2]]
    assert store.checkpoints_of_digest(digests[0]) == store.checkpoints_of_digest("short") == []
    store.drop_signed_checkpoints(6, 1_000_001)
    assert store.checkpoints_of_digest(digests[1]) == [rows[1], rows[0]]
    assert store.checkpoints_of_digest(digests[2]) == []


def test_many_signed_checkpoints_are_read_in_pages(store: Store) -> None:
    for number in range(1, 1_001):
        store.put_signed_checkpoint(StoredCheckpoint(number, "engine-local", b"{}"))
    assert [row.block_number for row in store.signed_checkpoints(MAX_CHECKPOINT)] == list(range(1_000, 0, -1))


def test_a_batch_comes_back_as_it_was_written(store: Store) -> None:
    store.insert_batch(full())
    written = full()
    assert everything(store)[1:] == [
        written.checkpoint,
        [],
        written.trades,
        written.orders,
        written.ledger_events,
        written.balances,
        written.candles,
        written.days[0],
        written.definitions,
        written.settings,
        written.transfers,
    ]


def test_writing_a_batch_again_changes_nothing(store: Store) -> None:
    store.insert_batch(full())
    before = everything(store)
    store.insert_batch(full())
    assert everything(store) == before


def test_a_batch_that_does_not_follow_on_the_checkpoint_is_refused_and_nothing_is_written(store: Store) -> None:
    store.append_blocks([block(number) for number in range(1, 6)])
    store.insert_batch(full(3), NOTHING_YET)
    before = everything(store)
    for follows in (NOTHING_YET, projection(2).checkpoint, projection(4).checkpoint, Checkpoint(3, 7, 1)):
        with pytest.raises(
            StoreReplaced, match=r"to 5 were about to be projected, but the store is projected to block 3"
        ):
            store.insert_batch(projection(5, trades=[trade(21)]), follows)
    assert everything(store) == before
    store.insert_batch(projection(5, trades=[trade(21)]), projection(3).checkpoint)
    assert store.projected().block_number == 5


def test_a_batch_of_blocks_that_are_not_there_is_refused_and_nothing_is_written(store: Store) -> None:
    store.append_blocks([block(1), block(2)])
    before = everything(store)
    with pytest.raises(
        StoreReplaced, match="Blocks 1 to 3 were about to be projected, but the store ends with block 2"
    ):
        store.insert_batch(full(3), NOTHING_YET)
    assert everything(store) == before


def test_an_older_batch_again_does_not_take_the_checkpoint_back(store: Store) -> None:
    store.append_blocks([block(number) for number in range(1, 6)])
    store.insert_batch(full(1), NOTHING_YET)
    store.insert_batch(projection(5), projection(1).checkpoint)
    before = everything(store)
    store.insert_batch(full(1), NOTHING_YET)
    assert everything(store) == before


def test_a_batch_overwrites_what_a_part_of_it_has_written(store: Store) -> None:
    store.insert_trade(trade(3))
    store.insert_ledger_events([entry(3), entry(3, 1)])
    store.insert_batch(full())
    after = everything(store)
    store.drop_projections()
    store.insert_batch(full())
    assert everything(store) == after


def test_rows_that_come_late_lose_against_newer_ones(store: Store) -> None:
    newer = projection(
        2,
        orders=[order(1, status="filled", remaining=0, filled=5000, updated_sequence=20)],
        balances=[balance(1, available=99, sequence=20)],
        candles=[candle(1, last_trade_id=20, close=9)],
        days=[day(3, 20)],
        settings=[account_status(1, "active", sequence=20), account_fees(1, None, sequence=20)],
    )
    store.insert_batch(newer)
    before = everything(store)
    store.insert_rows(projection(1, orders=[order(1)], balances=[balance(1)], candles=[candle(1)], days=[day(3, 8)]))
    store.insert_rows(projection(1, settings=[account_status(1), account_fees(1, (3, 4))]))
    assert everything(store) == before


def test_rows_without_a_checkpoint_leave_it_where_it_is(store: Store) -> None:
    store.insert_batch(projection(7))
    store.insert_rows(full(1))
    assert store.projected().block_number == 7
    assert store.get_trade_by_id(3) == trade(3)


def test_the_extremes_of_every_number_and_string_come_back(store: Store) -> None:
    far = trade(
        2**58,
        buyer=MOST,
        seller=MOST,
        symbol="X" * 32,
        block_number=MOST,
        timestamp_ns=MOST,
        price=MOST,
        quantity=MOST,
        buyer_fee=MOST,
        seller_fee=MOST,
    )
    market = order(2**58, MOST, price=None, quantity=None, quote_quantity=MOST, client_order_id="c" * 36, reason="ioc")
    moved = entry(2**58, 9, MOST, "X" * 32, delta_available=-MOST, delta_locked=MOST, available_after=MOST)
    funds = balance(MOST, "X" * 32, MOST, MOST)
    store.insert_batch(projection(1, trades=[far], orders=[market], ledger_events=[moved], balances=[funds]))
    assert store.get_trade_by_id(2**58) == far
    assert store.get_orders([2**58]) == [market]
    assert store.get_ledger_events(2**58, 2**58) == [moved]
    assert store.get_balances([(MOST, "X" * 32)]) == [funds]
    assert type(store.get_orders([2**58])[0].post_only) is bool


@pytest.mark.parametrize("number", [2**63, 2**64, 10**30, -(10**30)])
def test_a_number_that_no_row_can_have_finds_nothing(store: Store, number: int) -> None:
    store.insert_batch(full())
    assert store.get_trade_by_id(number) is None
    assert store.get_block(number) is None
    assert store.block_of_event(number) is None
    assert store.get_orders([number]) == []
    assert store.get_trades_by_account(number, 5) == []
    assert store.get_orders_by_account(number, 5) == []
    assert store.get_ledger_events_by_account(number, 5) == []
    assert store.balances_of(number) == []
    assert store.get_dead_letter(number) is None


def test_a_range_of_trades_is_paged_from_the_oldest(store: Store) -> None:
    store.insert_batch(projection(1, trades=[trade(n, symbol=("A", "B")[n % 2]) for n in range(1, 31)]))
    assert [t.trade_id for t in store.get_trades_by_sequence_range(5, 20, 4)] == [5, 6, 7, 8]
    assert [t.trade_id for t in store.get_trades_by_sequence_range(19, 20, 4)] == [19, 20]
    assert [t.trade_id for t in store.get_trades_by_sequence_range(5, 20, 3, symbol="B")] == [5, 7, 9]
    assert store.get_trades_by_sequence_range(20, 5, 4) == []
    assert len(store.get_trades_by_sequence_range(-(10**30), 10**30, 100)) == 30


def test_the_newest_trades_come_between_before_and_after(store: Store) -> None:
    store.insert_batch(projection(1, trades=[trade(n, symbol=("A", "B")[n % 2]) for n in range(1, 31)]))
    assert [t.trade_id for t in store.newest_trades(3)] == [30, 29, 28]
    assert [t.trade_id for t in store.newest_trades(3, before=10)] == [9, 8, 7]
    assert [t.trade_id for t in store.newest_trades(9, before=10, after=7)] == [9, 8]
    assert [t.trade_id for t in store.newest_trades(3, before=10, symbol="A")] == [8, 6, 4]


def test_an_account_sees_its_trades_on_both_sides_once_each(store: Store) -> None:
    trades = [trade(1, 1, 2), trade(2, 2, 1), trade(3, 1, 1), trade(4, 3, 2), trade(5, 2, 1)]
    store.insert_batch(projection(1, trades=trades))
    assert [t.trade_id for t in store.get_trades_by_account(1, 10)] == [5, 3, 2, 1]
    assert [t.trade_id for t in store.get_trades_by_account(1, 2)] == [5, 3]
    assert [t.trade_id for t in store.get_trades_by_account(1, 2, before=3)] == [2, 1]
    assert store.get_trades_by_account(9, 2) == []


def test_a_trading_day_keeps_its_first_and_last_trade(store: Store) -> None:
    later = DAY + timedelta(days=1)
    store.insert_batch(projection(1, days=[day(3, 5), day(7, 9, later)]))
    store.insert_batch(projection(2, days=[day(7, 12, later)]))
    assert store.trading_day(DAY) == day(3, 5)
    assert store.trading_day(later) == day(7, 12, later)
    assert store.trading_day(DAY - timedelta(days=1)) is None


def test_orders_are_found_by_id_account_symbol_range_and_state(store: Store) -> None:
    statuses = ("open", "filled", "waiting", "cancelled")
    orders = [order(n, account=n % 3, symbol=("A", "B")[n % 2], status=statuses[n % 4]) for n in range(1, 13)]
    store.insert_batch(projection(1, orders=orders))
    assert sorted(o.order_id for o in store.get_orders([3, 4, 99])) == [3, 4]
    assert [o.order_id for o in store.newest_orders(3)] == [12, 11, 10]
    assert [o.order_id for o in store.newest_orders(3, before=6)] == [5, 4, 3]
    assert [o.order_id for o in store.newest_orders(3, before=6, symbol="A")] == [4, 2]
    assert [o.order_id for o in store.get_orders_by_account(1, 2)] == [10, 7]
    assert [o.order_id for o in store.get_orders_by_account(1, 9, before=7)] == [4, 1]
    assert [o.order_id for o in store.get_orders_by_sequence_range(3, 9, 4)] == [3, 4, 5, 6]
    assert [o.order_id for o in store.open_orders()] == [2, 4, 6, 8, 10, 12]
    assert [o.order_id for o in store.open_orders(limit=2)] == [2, 4]
    assert [o.order_id for o in store.open_orders(after=4, limit=9)] == [6, 8, 10, 12]
    assert [o.order_id for o in store.open_orders(after=5, limit=1)] == [6]
    assert list(store.open_orders(after=MOST)) == list(store.open_orders(limit=0)) == []


def test_many_keys_are_asked_for_at_once(store: Store) -> None:
    orders = [order(n) for n in range(1, 1201)]
    balances = [balance(n, asset) for n in range(600) for asset in ("BTC", "USD")]
    store.insert_batch(projection(1, orders=orders, balances=balances))
    assert sorted(store.get_orders(range(1, 1201))) == orders
    assert sorted(store.get_balances([(n, asset) for n in range(600) for asset in ("BTC", "USD")])) == balances
    assert len(list(store.open_orders())) == 1200


def test_ledger_events_are_found_by_range_and_by_account(store: Store) -> None:
    entries = [entry(n, leg, account, asset) for n in range(1, 6) for leg, account, asset in LEGS]
    store.insert_batch(projection(1, ledger_events=entries, balances=[balance(1, "BTC"), balance(1, "USD")]))
    assert store.get_ledger_events(2, 3) == entries[3:9]
    newest = store.get_ledger_events_by_account(1, 3)
    assert [found[:2] for found in newest] == [(5, 2), (5, 0), (4, 2)]
    assert [found[:2] for found in store.get_ledger_events_by_account(1, 3, before=(4, 2))] == [(4, 0), (3, 2), (3, 0)]
    assert [found[:2] for found in store.get_ledger_events_by_account(1, 2, asset="USD")] == [(5, 2), (4, 2)]
    assert [found[:2] for found in store.get_ledger_events_by_account(1, 9, asset="USD", before=(2, 2))] == [(1, 2)]


def test_the_newest_ledger_events_before_an_event_are_one_of_each_asset(store: Store) -> None:
    entries = [entry(n, leg, account, asset) for n in range(2, 6) for leg, account, asset in LEGS]
    store.insert_batch(projection(1, ledger_events=entries, balances=[balance(1, "BTC"), balance(1, "USD")]))
    assert [found[:2] for found in store.newest_ledger_events(1, 4)] == [(3, 0), (3, 2)]
    assert [found[:2] for found in store.newest_ledger_events(1, MOST)] == [(5, 0), (5, 2)]
    assert [found[:2] for found in store.newest_ledger_events(1, 4, asset="USD")] == [(3, 2)]
    assert store.newest_ledger_events(1, 2) == store.newest_ledger_events(1, 0) == []
    assert store.newest_ledger_events(1, 4, asset="EUR") == store.newest_ledger_events(3, 4) == []


LEGS = ((0, 1, "BTC"), (1, 2, "BTC"), (2, 1, "USD"))


def test_balances_are_paged_by_account_and_asset(store: Store) -> None:
    balances = [balance(account, asset) for account in range(1, 700) for asset in ("BTC", "USD")]
    store.insert_batch(projection(1, balances=balances))
    assert list(store.balances()) == balances
    assert list(store.balances(limit=3)) == balances[:3]
    assert list(store.balances(after=(1, "BTC"), limit=2)) == balances[1:3]
    assert list(store.balances(after=(699, "BTC"))) == balances[-1:]
    assert store.balances_of(5) == [balance(5, "BTC"), balance(5, "USD")]


def test_account_settings_are_read_by_account_kind_and_symbol(store: Store) -> None:
    symbols = ("", "A-B", "B-C")
    settings = [account_fees(account, (account, 0), symbol) for account in range(1, 700) for symbol in symbols]
    statuses = [account_status(account, "no_trading") for account in (3, 600)]
    store.insert_batch(projection(1, settings=[*settings, *statuses]))
    assert list(store.account_settings()) == sorted([*settings, *statuses], key=lambda row: row[:3])
    assert store.account_settings_of(3) == [*settings[6:9], statuses[0]]
    assert store.account_settings_of(10**30) == store.account_settings_of(4000) == []
    store.insert_batch(projection(2, settings=[account_fees(3, None, "A-B", sequence=5)]))
    assert store.account_settings_of(3)[1] == account_fees(3, None, "A-B", sequence=5)


def test_an_order_gets_another_name_and_is_triggered(store: Store) -> None:
    waiting = order(1, status="waiting", order_type="stop_loss_limit", trigger_price=5, client_order_id="a")
    store.insert_batch(projection(1, orders=[waiting]))
    changed = waiting._replace(status="open", client_order_id="b", triggered_at_ns=9, updated_sequence=2)
    store.insert_batch(projection(2, orders=[changed]))
    assert store.get_orders([1]) == list(store.open_orders()) == [changed]


def test_the_newest_minutes_come_oldest_first(store: Store) -> None:
    minutes = [candle(minute) for minute in range(1, 11)]
    store.insert_batch(projection(1, candles=[*minutes, candle(5, symbol="ETH-USD")]))
    assert store.candles("BTC-USD", 3) == minutes[-3:]
    assert store.get_candles([("BTC-USD", 60 * 10**9), ("ETH-USD", 60 * 10**9)]) == [candle(1)]


def test_dropping_empties_what_blocks_can_rebuild_and_nothing_else(store: Store) -> None:
    store.append_blocks([block(1)])
    store.insert_batch(full())
    store.put_dead_letter(letter(1))
    store.drop_projections()
    assert everything(store) == [store.appended(), NOTHING_YET, [block(1)], [], [], [], [], [], None, [], [], []]
    assert store.appended().block_number == 1
    assert len(store.dead_letters()) == 1


def test_a_reset_goes_back_to_before_an_event(store: Store) -> None:
    before = full(1)
    store.insert_batch(before)
    state = everything(store)
    store.insert_batch(
        projection(
            2,
            trades=[trade(11)],
            orders=[order(1, status="filled", updated_sequence=11), order(9, updated_sequence=11)],
            ledger_events=[entry(11)],
            transfers=[transfer(11)],
            balances=[balance(1, available=0, sequence=11), balance(3, sequence=11)],
            candles=[candle(1, last_trade_id=11), candle(2, last_trade_id=11)],
            days=[day(3, 11), day(11, 11, DAY + timedelta(days=1))],
            definitions=[Definition(11, CommandKind.ASSET, "{}")],
            settings=[
                account_status(1, "active", sequence=11),
                account_fees(1, None, sequence=11),
                account_status(9, sequence=11),
            ],
        )
    )
    open_orders = [row for row in before.orders if row.status != "filled"]
    base = before._replace(trades=[], ledger_events=[], transfers=[], definitions=[], orders=open_orders)
    assert store.get_transfers_by_reference(1, "tx-1")[0].event_sequence == 11
    store.reset_projections(11, base)
    assert everything(store) == state
    assert store.get_transfers_by_reference(1, "tx-1")[0].event_sequence == 5
    assert store.trading_day(DAY + timedelta(days=1)) is None


def test_a_deposit_and_a_withdrawal_are_found_by_their_reference(store: Store) -> None:
    reused = [transfer(20_000, kind="withdrawal", amount=4), transfer(7)]
    others = [transfer(8, reference="tx-2"), transfer(9, account=2)]
    store.insert_batch(
        projection(1, transfers=[*reused, *others], ledger_events=[entry(number) for number in (7, 8, 9, 20_000)])
    )
    assert store.get_transfers_by_reference(1, "tx-1") == reused
    assert store.get_transfers_by_reference(2, "tx-1") == [others[1]]
    for account, reference in ((3, "tx-1"), (1, "tx"), (1, ""), (10**30, "tx-1"), (1, "é"), (1, "a\0b")):
        assert store.get_transfers_by_reference(account, reference) == []
    assert sorted(store.get_transfers([7, 20_000, 8, 10, 10**30])) == [reused[1], others[0], reused[0]]
    assert store.get_transfers([]) == []
    assert store.get_transfers_by_sequence_range(8, 20_000) == [*others, reused[0]]
    assert store.get_transfers_by_sequence_range(10, 8) == []


def test_a_dead_letter_is_kept_once_and_can_be_resolved(store: Store) -> None:
    store.put_dead_letter(letter(3))
    store.put_dead_letter(letter(2))
    store.put_dead_letter(letter(3, attempts=2, error="Again."))
    assert store.dead_letters() == [letter(2, projection=""), letter(3, attempts=2, error="Again.", projection="")]
    assert store.get_dead_letter(2) == letter(2)
    store.put_dead_letter(letter(2, resolved_at_ns=MOST))
    assert [found.id for found in store.dead_letters()] == [3]
    assert [found.id for found in store.dead_letters(unresolved_only=False)] == [2, 3]


def test_dead_letters_are_read_a_page_at_a_time_newest_first(store: Store) -> None:
    for number in range(1, 8):
        store.put_dead_letter(letter(number, resolved_at_ns=MOST if number % 2 else None))
    pages = store.newest_dead_letters(3), store.newest_dead_letters(3, before=5), store.newest_dead_letters(3, before=2)
    assert [[found.id for found in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages[0][1] == letter(6, projection="")
    assert [found.id for found in store.newest_dead_letters(2, unresolved_only=True)] == [6, 4]
    assert [found.id for found in store.newest_dead_letters(9, before=6, unresolved_only=True)] == [4, 2]
