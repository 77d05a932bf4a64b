import pytest
from django.test import Client

from back_office.paging import PAGE_ROWS
from settlement.stores.base import Store
from tests.back_office.conftest import links, next_page, refusal, words
from tests.back_office.market import EMPTY_BLOCK, Market


def test_paging_lists_every_block_once_in_both_directions(operator: Client, market: Market) -> None:
    market.run(2 * PAGE_ROWS + 10, a_block=1)
    forward: list[list[int]] = []
    step: str | None = "/admin/blocks/"
    while step:
        response = operator.get(step)
        forward.append(links(response, "blocks"))
        step = (older := next_page(response)) and f"/admin/blocks/{older}"
    assert [number for page in forward for number in page] == list(range(market.block, 0, -1))
    back = operator.get(f"/admin/blocks/{next_page(response, 'newer')}")
    assert links(back, "blocks") == forward[-2]


def test_one_block(operator: Client, market: Market) -> None:
    market.run(3, a_block=3)
    response = operator.get("/admin/blocks/2/")
    page = words(response)
    assert f"Number 2 Time (UTC) 2026-01-01T12:00:04.500Z Hash {market.hash:016x}" in page
    assert f"Previous hash {market.prev_hash:016x} Epoch 1 Bytes {len(EMPTY_BLOCK)}" in page
    assert "Commands 6 18–23 Events 9 18–26 Trades 3" in page
    assert links(response, "trades") == [trade.trade_id for trade in market.settled]
    assert next_page(response, "previous") == "/admin/blocks/1/"
    assert next_page(response, "following") is None


def test_the_first_block(operator: Client, market: Market) -> None:
    market.run(1)
    response = operator.get("/admin/blocks/1/")
    assert "Previous hash 0000000000000000 first block of the chain" in words(response)
    assert next_page(response, "previous") is None
    assert next_page(response, "following") == "/admin/blocks/2/"


def test_a_large_block_links_to_all_its_trades(operator: Client, market: Market) -> None:
    market.run(PAGE_ROWS + 1, a_block=PAGE_ROWS + 1)
    response = operator.get("/admin/blocks/2/")
    assert len(links(response, "trades")) == PAGE_ROWS
    assert f"All {PAGE_ROWS + 1} trades of this block" in words(response)


def test_a_block_that_is_not_projected_yet_says_so(operator: Client, market: Market) -> None:
    block = market.store.get_block(1)
    assert block is not None
    market.store.append_blocks(
        [block._replace(number=2, prev_hash=block.hash, first_event_sequence=18, last_event_sequence=17)]
    )
    page = words(operator.get("/admin/blocks/2/"))
    assert "not projected yet" in page
    assert "Events 0" in page


@pytest.mark.parametrize("query", ["number=seven", "before=1e3"])
def test_a_bad_filter_is_one_sentence(operator: Client, market: Market, query: str) -> None:
    response = operator.get(f"/admin/blocks/?{query}")
    assert response.status_code == 400
    assert "must be a whole number" in refusal(response)


def test_a_block_number_redirects_to_the_block(operator: Client, market: Market) -> None:
    assert operator.get("/admin/blocks/?number=1")["Location"] == "/admin/blocks/1/"


def test_no_block_yet(operator: Client, store: Store) -> None:
    assert "No block has been settled yet." in words(operator.get("/admin/blocks/"))
    assert "There are no older blocks." in words(operator.get("/admin/blocks/?before=1"))
