"""The page's own scripts against slow and obvious references, in a real Chromium."""

import random
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest

from tests.gateway.market_page.market_view import MarketView
from tests.gateway.running_gateway import RunningGateway

pytestmark = pytest.mark.services("browser")


@pytest.fixture
def page(view: MarketView, gateway: RunningGateway) -> Iterator[MarketView]:
    view.open_live(f"{gateway.url}/market/BTC-USD")
    yield view
    assert not view.all_complaints()


def random_decimal(draw: random.Random) -> str:
    digits = draw.randint(0, 10 ** draw.randint(1, 24))
    scale = draw.randint(0, 12)
    return f"{draw.choice(('', '-'))}{Decimal(digits).scaleb(-scale):f}"


def test_decimals_are_those_of_the_reference(page: MarketView, seed: int) -> None:
    draw = random.Random(seed)
    pairs = [(random_decimal(draw), random_decimal(draw), draw.randint(0, 10)) for _ in range(500)]
    found = page.run_module(
        "decimal.js",
        """const { Decimal } = module;
           return values[0].map(([one, other, decimals]) => {
               const [a, b] = [Decimal.of(one), Decimal.of(other)];
               return [a.plus(b).text(), a.minus(b).text(), a.isMoreThan(b), a.text(decimals),
                       a.rounded(decimals).text(decimals), a.sign];
           });""",
        pairs,
    )
    for (one, other, decimals), result in zip(pairs, found, strict=True):
        a, b = Decimal(one), Decimal(other)
        step = Decimal(1).scaleb(-decimals)
        assert result == [
            shortest(a + b),
            shortest(a - b),
            a > b,
            shortest(a, decimals),
            f"{plain_zero(a.quantize(step, ROUND_HALF_UP)):,f}",
            (a > 0) - (a < 0),
        ], f"seed {seed}: {one} {other} {decimals}"


def plain_zero(value: Decimal) -> Decimal:
    return abs(value) if value == 0 else value


def shortest(value: Decimal, decimals: int = 0) -> str:
    """With as few decimals as are needed, but not fewer than `decimals`."""
    text = f"{plain_zero(value):,f}"
    whole, _, fraction = text.partition(".")
    kept = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{kept}" if kept else whole


@pytest.fixture(autouse=True, scope="module")
def exact() -> Iterator[None]:
    """Enough digits that the reference does not round."""
    with localcontext(prec=100):
        yield


def updates_of(draw: random.Random, count: int) -> tuple[list[dict[str, Any]], list[dict[str, dict[str, str]]]]:
    """A stream of updates, and the book after each of them (before the first one: at the end of the list)."""
    book: dict[str, dict[str, str]] = {"b": {}, "a": {}}
    updates, books, last = [], [], 0
    for _ in range(count):
        update: dict[str, Any] = {"U": last + 1, "u": last + draw.randint(1, 5), "b": [], "a": []}
        last = update["u"]
        for side, levels in book.items():
            for price in {draw.randint(90, 110) for _ in range(draw.randint(0, 3))}:
                text, quantity = f"{price}.00000000", f"{draw.choice((0, 0, 1, 7, 12))}.50000000"
                quantity = quantity if draw.random() < 0.7 else "0.00000000"
                update[side].append([text, quantity])
                if Decimal(quantity):
                    levels[text] = quantity
                else:
                    levels.pop(text, None)
        updates.append(update)
        books.append({side: dict(levels) for side, levels in book.items()})
    return updates, books


FOLLOW = """
    const [updates, snapshots, at, missing] = values;
    const { Book, BookFollower } = module;
    const book = new Book();
    let loads = 0;
    const waitUntil = { resolve: null };
    const follower = new BookFollower(book, () => {
        loads += 1;
        return new Promise((resolve) => { waitUntil.resolve = resolve; });
    }, () => {});
    const begin = async (from) => {
        const begun = follower.begin();
        waitUntil.resolve(snapshots[from]);
        await begun;
    };
    const lost = [];
    let begun = follower.begin();
    for (const [number, update] of updates.entries()) {
        if (number === at) {
            waitUntil.resolve(snapshots[number]);
            await begun;
        }
        if (number === missing) continue;
        if (!follower.receive(update)) {
            lost.push(number);
            await begin(number);
        }
    }
    return { lost, loads, bids: book.levels("bids"), asks: book.levels("asks"), lastId: book.lastId };
"""
"""Updates arrive before the snapshot and after it; one of them is lost."""


@pytest.mark.parametrize("is_one_missing", [False, True])
def test_a_book_of_snapshot_and_updates_is_the_reference(page: MarketView, seed: int, is_one_missing: bool) -> None:
    draw = random.Random(seed)
    for _ in range(20):
        updates, books = updates_of(draw, 40)
        snapshots = [
            {"lastUpdateId": update["u"], "bids": [*book["b"].items()], "asks": [*book["a"].items()]}
            for update, book in zip(updates, books, strict=True)
        ]
        at = draw.randint(1, 20)
        missing = draw.randint(at + 1, 38) if is_one_missing else -1
        found = page.run_module("book.js", FOLLOW, updates, snapshots, at, missing)
        assert found["lost"] == ([missing + 1] if is_one_missing else [])
        assert found["loads"] == 1 + is_one_missing
        assert found["lastId"] == updates[-1]["u"]
        for side, name, is_reversed in (("b", "bids", True), ("a", "asks", False)):
            order = sorted(books[-1][side].items(), key=lambda level: Decimal(level[0]), reverse=is_reversed)
            assert found[name] == [list(level) for level in order], f"seed {seed}"


def test_a_snapshot_that_is_older_than_the_stream_is_not_taken(page: MarketView) -> None:
    found = page.run_module(
        "book.js",
        """const book = new module.Book();
           const follower = new module.BookFollower(book, async () => values[0], () => {});
           const begun = follower.begin();
           follower.receive(values[1]);
           return begun.then(() => "taken", (error) => [error.message, follower.isLevel]);""",
        {"lastUpdateId": 5, "bids": [], "asks": []},
        {"U": 7, "u": 9, "b": [], "a": []},
    )
    assert found == ["The snapshot is older than the stream.", False]
