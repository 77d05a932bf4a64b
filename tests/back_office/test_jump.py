import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from matching.core.hashes import hash_text
from settlement.stores.base import StoredCheckpoint
from tests.back_office.conftest import refusal, words
from tests.back_office.market import Market
from tests.back_office.test_orders import change
from tests.settlement.rows import block


def test_a_number_with_one_match_redirects_to_it(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    assert operator.get(f"/admin/find/?q={trade.trade_id}")["Location"] == f"/admin/trades/{trade.trade_id}/"


def test_a_number_with_several_matches_shows_a_list(operator: Client, market: Market) -> None:
    page = words(operator.get("/admin/find/?q=1"))
    assert "Account 1 Block 1" in page
    assert "Order 1" not in page


def test_a_symbol_redirects_to_its_trades(operator: Client, market: Market) -> None:
    assert operator.get("/admin/find/?q=%20btc-usd%20")["Location"] == "/admin/trades/?symbol=BTC-USD"


@pytest.mark.parametrize("term", ["5000", "9223372036854775807"])
def test_a_number_without_a_match_shows_a_message(operator: Client, market: Market, term: str) -> None:
    assert f"No settled trade, order, account or block has the number {term}." in words(
        operator.get(f"/admin/find/?q={term}")
    )


@pytest.mark.parametrize("term", ["%2319416", "%23%20", "19416"])
def test_a_number_may_be_quoted_with_a_number_sign(operator: Client, market: Market, term: str) -> None:
    response = operator.get(f"/admin/find/?q={term}")
    assert ("has the number 19416." in words(response)) is ("19416" in term)


def test_a_client_order_id_with_its_account_leads_to_the_order(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    (maker,) = market.store.get_orders([trade.maker_order_id])
    for term in (f"1:{maker.client_order_id}", f"%231 : {maker.client_order_id}"):
        assert operator.get(f"/admin/find/?q={term}")["Location"] == f"/admin/orders/{maker.order_id}/"
    page = words(operator.get("/admin/find/?q=2:nothing"))
    assert "Account 2 has no settled order with the client order id nothing, and no deposit" in page


def test_several_orders_with_the_same_client_order_id_are_listed(operator: Client, market: Market) -> None:
    first = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    second = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    numbers = [trade.maker_order_id for trade in (first, second)]
    for order in numbers:
        change(market, order, client_order_id="again")
    market.settle()
    page = words(operator.get("/admin/find/?q=1:again"))
    assert f"Order {max(numbers)}, BTC-USD, filled Order {min(numbers)}, BTC-USD, filled" in page


def test_a_reference_with_its_account_leads_to_the_deposit(operator: Client, market: Market) -> None:
    market.deposit(2, "BTC", 5)
    market.settle()
    at = market.event
    place = operator.get(f"/admin/find/?q=2:tx-{at}")["Location"]
    assert place == f"/admin/accounts/2/?asset=BTC&before={at + 1}-0"
    assert f"deposit tx-{at} BTC +0.00000005" in words(operator.get(place))
    assert "and no deposit or withdrawal with that reference." in words(operator.get(f"/admin/find/?q=1:tx-{at}"))


def test_orders_and_deposits_of_one_name_are_listed_as_far_as_the_user_may_see_them(
    operator: Client, client: Client, market: Market
) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.deposit(1, "BTC", 5)
    change(market, trade.maker_order_id, client_order_id=f"tx-{market.event}")
    market.settle()
    order, deposit = f"Order {trade.maker_order_id}, BTC-USD", f"Deposit of BTC, event {market.event}"
    page = words(operator.get(f"/admin/find/?q=1:tx-{market.event}"))
    assert order in page
    assert deposit in page
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_balance"))
    client.force_login(user)
    assert "/admin/accounts/1/" in client.get(f"/admin/find/?q=1:tx-{market.event}")["Location"]


def test_client_order_ids_need_the_permission_to_see_orders_or_balances(client: Client, market: Market) -> None:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_settledtrade"))
    client.force_login(user)
    assert client.get("/admin/find/?q=1:again").status_code == 403


@pytest.mark.parametrize(
    "term", ["", "no such thing", "9223372036854775808", "9223372036854775808:a", "1:", "-1", "x" * 500]
)
def test_any_other_text_shows_what_can_be_searched(operator: Client, market: Market, term: str) -> None:
    response = operator.get(f"/admin/find/?q={term}")
    assert response.status_code == 400
    assert refusal(response).startswith("Type the number of a trade")


def test_a_hash_leads_to_its_block(operator: Client, market: Market) -> None:
    market.run(3)
    (newest, *_) = market.store.newest_blocks(1)
    digest = hash_text(newest.hash)
    for term in (digest, digest.upper(), f"%23{digest}", f"%20{digest}%20"):
        assert operator.get(f"/admin/find/?q={term}")["Location"] == f"/admin/blocks/{newest.number}/"


def test_a_hash_without_a_block_shows_a_message(operator: Client, market: Market) -> None:
    page = words(operator.get("/admin/find/?q=00C0FFEE00C0FFEE"))
    assert "No settled block has the hash 00c0ffee00c0ffee" in page


def test_a_hash_of_decimal_digits_alone_is_found_too(operator: Client, market: Market) -> None:
    newest = market.store.appended()
    odd = block(newest.block_number + 1, hash=0x1234567890123456, prev_hash=newest.hash)
    market.store.append_blocks([odd._replace(epoch=newest.epoch)])
    assert operator.get("/admin/find/?q=1234567890123456")["Location"] == f"/admin/blocks/{odd.number}/"


def test_a_hash_finds_no_block_without_the_permission_of_blocks(market: Market) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="view_settledtrade"))
    client = Client()
    client.force_login(clerk)
    (newest, *_) = market.store.newest_blocks(1)
    assert "No settled block has the hash" in words(client.get(f"/admin/find/?q={hash_text(newest.hash)}"))


def checkpoint(number: int, state_hash: int, digest: str) -> StoredCheckpoint:
    fields = {"block": number, "digest": digest, "state_hash": hash_text(state_hash)}
    return StoredCheckpoint(number, "settlement-local", json.dumps({"checkpoint": fields}).encode())


def test_a_chain_digest_of_a_signed_checkpoint_leads_to_its_block(operator: Client, market: Market) -> None:
    market.run(20, a_block=2)
    blocks = market.store.newest_blocks(5)
    for one in blocks:
        market.store.put_signed_checkpoint(checkpoint(one.number, one.hash, f"{one.number:064x}"))
    wanted = f"{blocks[2].number:064x}"
    for term in (wanted, wanted.upper(), f" {wanted} "):
        assert operator.get("/admin/find/", {"q": term})["Location"] == f"/admin/blocks/{blocks[2].number}/"
    nothing = words(operator.get(f"/admin/find/?q={'f' * 64}"))
    assert f"No signed checkpoint of a settled block has the chain digest {'f' * 64}" in nothing


def test_a_checkpoint_of_a_block_that_the_store_does_not_have_is_not_found(operator: Client, market: Market) -> None:
    newest = market.store.newest_blocks(1)[0]
    later, other = "a" * 64, "b" * 64
    market.store.put_signed_checkpoint(checkpoint(newest.number + 1, newest.hash, later))
    market.store.put_signed_checkpoint(checkpoint(newest.number, newest.hash ^ 1, other))
    for digest in (later, other):
        assert "No signed checkpoint" in words(operator.get(f"/admin/find/?q={digest}"))


def test_a_chain_digest_finds_no_block_without_the_permission_of_blocks(market: Market) -> None:
    newest = market.store.newest_blocks(1)[0]
    market.store.put_signed_checkpoint(checkpoint(newest.number, newest.hash, "a" * 64))
    client = Client()
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_settledtrade"))
    client.force_login(user)
    assert "No signed checkpoint" in words(client.get(f"/admin/find/?q={'a' * 64}"))
