"""What an action will do, in sentences, on either store."""

import pytest
from django.test import Client
from django.urls import reverse

from matching.core.codes import CommandKind
from matching.core.epochs import Epoch
from settlement.stores.base import AccountSetting
from tests.back_office.conftest import html, words
from tests.back_office.market import Market

PREVIEW = reverse("office:request_preview")
TOO_LITTLE = "That is too little: the engine will refuse this."
NEW_INSTRUMENT = {
    "kind": "new_instrument",
    "symbol": "ETH-BTC",
    "base": "ETH",
    "quote": "BTC",
    "tick_size": "0.0001",
    "lot_size": "0.001",
    "min_quantity": "0.01",
    "max_quantity": "100",
    "min_notional": "0",
    "maker_fee": "1",
    "taker_fee": "2",
}


def previewed(operator: Client, form: dict[str, str]) -> str:
    response = operator.post(PREVIEW, {**form, "reason": "Ticket 12."})
    assert response.status_code == 200, words(response)
    return words(response)


PREVIEWS: list[tuple[dict[str, str], str]] = [
    ({"kind": "instrument_status", "symbol": "BTC-USD", "status": "halted"}, "BTC-USD: trading → halted."),
    ({"kind": "instrument_values", "symbol": "BTC-USD", "maker_fee": "5"}, "Maker fee: 1000 → 5."),
    ({"kind": "instrument_values", "symbol": "BTC-USD", "min_quantity": "1"}, "Smallest quantity: 0.0001 → 1."),
    ({"kind": "account_status", "account": "1", "status": "frozen"}, "Account 1: active → frozen."),
    (
        {"kind": "account_fees", "account": "1", "maker_fee": "1", "taker_fee": "2"},
        "Account 1 in all instruments: no fees of its own → maker 1, taker 2 ppm.",
    ),
    ({"kind": "cancel_all", "account": "1"}, "Cancel all open orders of account 1 in all instruments that are not"),
    ({"kind": "new_asset", "symbol": "SOL", "decimals": "8"}, "At most 46116860184 whole units of it can exist."),
    ({"kind": "new_asset", "symbol": "BTC", "decimals": "8"}, "There is such an asset already: the engine will refuse"),
    (NEW_INSTRUMENT, "Add ETH-BTC, ETH for BTC. It trades at once. Tick size: 0.0001. Lot size: 0.001."),
    (
        {"kind": "withdraw", "account": "1", "asset": "BTC", "amount": "10001", "reference": "r"},
        f"Available now: 10000 BTC. {TOO_LITTLE}",
    ),
    (
        {"kind": "correct", "direction": "debit", "account": "1", "asset": "BTC", "amount": "1", "reference": "r"},
        "A correction. Debit 1 BTC from account 1, reference r. Available: 10000 → 9999 BTC, if nothing else changes",
    ),
    (
        {"kind": "deposit", "account": "99", "asset": "BTC", "amount": "1", "reference": "r"},
        "Account 99 has no balance in BTC yet: check the number.",
    ),
    (
        {"kind": "rebuild_projections"},
        "Drop trades, orders, ledger entries, balances and candles of block 1 and later, and project blocks 1 to",
    ),
    (
        {"kind": "promote_engine", "address": "tcp://127.0.0.1:5801", "promotion": "forced"},
        "Promote the engine at tcp://127.0.0.1:5801: it leads from then on, in a new epoch. No engine has begun an "
        "epoch in this store: check that followers are used here. Forced: blocks that this follower has not received",
    ),
]


@pytest.mark.parametrize(("form", "sentence"), PREVIEWS)
def test_every_kind_is_previewed(operator: Client, market: Market, form: dict[str, str], sentence: str) -> None:
    assert sentence in previewed(operator, form)


def test_the_preview_of_a_cancel_names_the_order(operator: Client, market: Market) -> None:
    order = market.place(1, "BTC-USD", "sell", 6_512_300, 5_000)
    market.settle()
    assert f"kind=cancel_order&order_id={order}" in html(operator.get(f"/admin/orders/{order}/"))
    page = previewed(operator, {"kind": "cancel_order", "order_id": str(order)})
    assert f"Cancel order {order} of account 1 in BTC-USD: sell, 0.5000 left." in page
    assert "the engine will refuse this" not in page
    assert "1 now." in previewed(operator, {"kind": "cancel_all", "account": "1", "symbol": "btc-usd"})


def test_a_cancel_that_comes_too_late_is_foretold(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 6_512_300, 5_000, maker=1, taker=2)
    market.settle()
    assert "Cancel this order" not in words(operator.get(f"/admin/orders/{trade.maker_order_id}/"))
    page = previewed(operator, {"kind": "cancel_order", "order_id": str(trade.maker_order_id)})
    assert "It is not open any more (filled): the engine will refuse this." in page


def test_a_cancel_in_a_halted_instrument_is_foretold(operator: Client, market: Market) -> None:
    order = market.place(1, "BTC-USD", "sell", 6_512_300, 5_000)
    halted: dict[str, object] = {"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}
    market._define([(CommandKind.INSTRUMENT_STATUS, halted)])
    market.settle()
    page = previewed(operator, {"kind": "cancel_order", "order_id": str(order)})
    assert "BTC-USD is halted: the engine cancels nothing there and will refuse this." in page


def test_what_an_account_has_of_its_own_is_what_changes(operator: Client, market: Market) -> None:
    market.settings = [
        AccountSetting(1, "status", "", "frozen", None, None, market.event + 1),
        AccountSetting(1, "fees", "BTC-USD", None, 7, 8, market.event + 2),
    ]
    market.skip(2)
    market.command += 1
    market.settle()
    released = previewed(operator, {"kind": "account_status", "account": "1", "status": "active"})
    assert "Account 1: frozen → active. It can trade and withdraw again." in released
    fees = {"kind": "account_fees", "account": "1", "symbol": "BTC-USD"}
    assert "Account 1 in BTC-USD: maker 7, taker 8 ppm → no fees of its own." in previewed(operator, fees)
    assert "Release" in words(operator.get("/admin/accounts/1/"))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:5801", "tcp://127.0.0.1:5701 has led since block 1, in epoch 1. Blocks that it makes"),
        ("tcp://127.0.0.1:5701", "It leads already, since block 1: the engine will refuse this."),
    ],
)
def test_a_promotion_tells_who_leads(operator: Client, market: Market, address: str, sentence: str) -> None:
    market.store.replace_blocks(1, [], Epoch(1, 1, 0, "one", "tcp://127.0.0.1:5701", "", "", 1))
    assert sentence in previewed(operator, {"kind": "promote_engine", "address": address, "promotion": "if_safe"})


@pytest.mark.parametrize("address", ["127.0.0.1:5801", "http://127.0.0.1:5801", "tcp://127.0.0.1", "tcp://*:x", "x"])
def test_a_promotion_needs_an_address(operator: Client, market: Market, address: str) -> None:
    response = operator.post(
        PREVIEW, {"kind": "promote_engine", "address": address, "promotion": "forced", "reason": "x"}
    )
    assert response.status_code == 400
    assert "Command address must have the form tcp://HOST:PORT or ipc://FILE." in words(response)


@pytest.mark.parametrize("block", ["0", "4000000"])
def test_a_rebuild_begins_with_a_block_of_the_store(operator: Client, market: Market, block: str) -> None:
    response = operator.post(PREVIEW, {"kind": "rebuild_projections", "from_block": block, "reason": "x"})
    assert response.status_code == 400
    assert "From block must be 1 to" in words(response)
