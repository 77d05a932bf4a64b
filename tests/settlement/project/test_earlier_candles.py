"""Minutes that an earlier version projected lack what was paid; a rebuild fills it in."""

from pathlib import Path

from django.db import connection

from settlement.options import Options
from settlement.project import rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import Candle, Store
from tests.settlement.chains import Chain, order
from tests.settlement.conftest import ON_SQL, Settle
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.project.test_projection import funded

CHAIN: Chain = funded()
for _ in range(3):
    CHAIN.add(order(1, "sell", "20000", "0.1"), order(2, "buy", "20000", "0.1"))
BLOCKS = CHAIN.blocks


def only_candle(store: Store) -> Candle:
    (candle,) = store.candles("BTC-USD", 10)
    return candle


@ON_SQL
def test_a_minute_of_an_earlier_version_goes_on_without_them_until_it_is_rebuilt(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(store, feed_of(clock, BLOCKS[:-1]), batch_trades=1)
    begun = only_candle(store)
    assert begun.quote_volume
    with connection.cursor() as cursor:
        cursor.execute("UPDATE candles SET quote_volume = NULL, taker_buy_volume = NULL, taker_buy_quote_volume = NULL")
    settle(store, feed_of(clock, BLOCKS[-1:]), batch_trades=1)
    whole = only_candle(store)
    assert whole.trade_count == begun.trade_count + 1
    assert whole[-3:] == (None, None, None)
    trail = Trail(folder)
    letters = DeadLetters(store, folder, clock)
    rebuilding.rebuild(store, trail=trail, letters=letters, clock=clock, stop=lambda: False, options=Options())
    trail.close()
    assert only_candle(store)[:-3] == whole[:-3]
    assert only_candle(store)[-3:] == (6_000_000_000, 3000, 6_000_000_000)
