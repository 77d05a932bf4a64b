-- The tables of StarRocks that `manage.py run_analytics` loads, and the materialized views over them.
--
-- Columns are those of the archive (docs/archive.md) in the store's units: ticks, lots, smallest units of an asset,
-- nanoseconds since 1970 UTC. Rows have primary keys, so a row that is loaded again replaces itself. Create a database,
-- then run this file in it with a MySQL client:
--
--     mysql --host FE --port 9030 --user USER --password DATABASE < schema/analytics_schema.sql
--
-- Properties such as replication_num are left to the defaults of the cluster.

-- One row a trade. price: ticks; quantity: lots; buyer_fee: smallest unit of the base asset; seller_fee: of the quote
-- asset.
CREATE TABLE IF NOT EXISTS trades (
    day DATE NOT NULL,
    shard BIGINT NOT NULL,
    trade_id BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    timestamp_ns BIGINT NOT NULL,
    symbol VARCHAR(64) NOT NULL,
    price BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    taker_side VARCHAR(64) NOT NULL,
    maker_order_id BIGINT NOT NULL,
    taker_order_id BIGINT NOT NULL,
    buyer BIGINT NOT NULL,
    seller BIGINT NOT NULL,
    buyer_fee BIGINT NOT NULL,
    seller_fee BIGINT NOT NULL,
    trade_number BIGINT NULL
)
PRIMARY KEY (day, shard, trade_id)
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (trade_id);

-- One row a change of a balance, in the asset's smallest unit.
CREATE TABLE IF NOT EXISTS ledger_events (
    day DATE NOT NULL,
    shard BIGINT NOT NULL,
    event_sequence BIGINT NOT NULL,
    leg BIGINT NOT NULL,
    block_number BIGINT NOT NULL,
    timestamp_ns BIGINT NOT NULL,
    account BIGINT NOT NULL,
    asset VARCHAR(64) NOT NULL,
    kind VARCHAR(64) NOT NULL,
    delta_available BIGINT NOT NULL,
    delta_locked BIGINT NOT NULL,
    available_after BIGINT NOT NULL,
    locked_after BIGINT NOT NULL
)
PRIMARY KEY (day, shard, event_sequence, leg)
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (event_sequence);

-- Every order in its last state. day is the UTC day of its last change. Keyed by order_id alone, so that an order that
-- closes replaces itself.
CREATE TABLE IF NOT EXISTS orders (
    order_id BIGINT NOT NULL,
    day DATE NOT NULL,
    shard BIGINT NOT NULL,
    account BIGINT NOT NULL,
    symbol VARCHAR(64) NOT NULL,
    side VARCHAR(64) NOT NULL,
    order_type VARCHAR(64) NOT NULL,
    time_in_force VARCHAR(64) NOT NULL,
    post_only BOOLEAN NOT NULL,
    self_trade_prevention VARCHAR(64) NOT NULL,
    client_order_id VARCHAR(64) NULL,
    price BIGINT NULL,
    quantity BIGINT NULL,
    quote_quantity BIGINT NULL,
    filled BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    status VARCHAR(64) NOT NULL,
    reason VARCHAR(64) NULL,
    placed_at_ns BIGINT NOT NULL,
    updated_at_ns BIGINT NOT NULL,
    updated_sequence BIGINT NOT NULL,
    trigger_price BIGINT NULL,
    visible_quantity BIGINT NULL,
    order_list_id BIGINT NULL,
    triggered_at_ns BIGINT NULL
)
PRIMARY KEY (order_id)
DISTRIBUTED BY HASH (order_id);

-- Reference data. An amount of an asset is a whole number of 10^-decimals.
CREATE TABLE IF NOT EXISTS assets (
    symbol VARCHAR(64) NOT NULL,
    decimals BIGINT NOT NULL
)
PRIMARY KEY (symbol)
DISTRIBUTED BY HASH (symbol);

-- Reference data. lot_units: smallest units of the base asset in a lot; quote_unit: smallest units of the quote asset
-- for a lot at one tick.
CREATE TABLE IF NOT EXISTS instruments (
    symbol VARCHAR(64) NOT NULL,
    base VARCHAR(64) NOT NULL,
    quote VARCHAR(64) NOT NULL,
    tick_size VARCHAR(64) NOT NULL,
    lot_size VARCHAR(64) NOT NULL,
    lot_units BIGINT NOT NULL,
    quote_unit BIGINT NOT NULL
)
PRIMARY KEY (symbol)
DISTRIBUTED BY HASH (symbol);

-- One row a day and instrument. Its aggregates give the same result when rows are loaded again. account is loaded twice
-- for each trade, for the buyer and for the seller.
CREATE TABLE IF NOT EXISTS trading_days (
    day DATE NOT NULL,
    shard BIGINT NOT NULL,
    symbol VARCHAR(64) NOT NULL,
    traders BITMAP BITMAP_UNION NOT NULL,
    low BIGINT MIN NOT NULL,
    high BIGINT MAX NOT NULL,
    last_trade_id BIGINT MAX NOT NULL
)
AGGREGATE KEY (day, shard, symbol)
DISTRIBUTED BY HASH (symbol);

-- Materialized views. Those of minutes read the tables, those of hours and days the view below them. bucket_ns is the
-- start of the minute, hour or day. Ratios are left to queries, because they cannot be added up.

-- Volume (lots), amount (ticks times lots), fees (smallest units), and both for each side of the taker: spread.
CREATE MATERIALIZED VIEW IF NOT EXISTS volume_by_minute
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    timestamp_ns - timestamp_ns % 60000000000 AS bucket_ns,
    symbol,
    count(*) AS trades,
    sum(CAST(quantity AS LARGEINT)) AS volume,
    sum(CAST(price AS LARGEINT) * quantity) AS amount,
    sum(CAST(buyer_fee AS LARGEINT)) AS base_fees,
    sum(CAST(seller_fee AS LARGEINT)) AS quote_fees,
    sum(CASE WHEN taker_side = 'buy' THEN CAST(quantity AS LARGEINT) ELSE 0 END) AS bought,
    sum(CASE WHEN taker_side = 'sell' THEN CAST(quantity AS LARGEINT) ELSE 0 END) AS sold,
    sum(CASE WHEN taker_side = 'buy' THEN CAST(price AS LARGEINT) * quantity ELSE 0 END) AS bought_at,
    sum(CASE WHEN taker_side = 'sell' THEN CAST(price AS LARGEINT) * quantity ELSE 0 END) AS sold_at
FROM trades
GROUP BY 1, 2, 3;

-- The same by hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS volume_by_hour
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 3600000000000 AS bucket_ns,
    symbol,
    sum(trades) AS trades,
    sum(volume) AS volume,
    sum(amount) AS amount,
    sum(base_fees) AS base_fees,
    sum(quote_fees) AS quote_fees,
    sum(bought) AS bought,
    sum(sold) AS sold,
    sum(bought_at) AS bought_at,
    sum(sold_at) AS sold_at
FROM volume_by_minute
GROUP BY 1, 2, 3;

-- The same by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS volume_by_day
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 86400000000000 AS bucket_ns,
    symbol,
    sum(trades) AS trades,
    sum(volume) AS volume,
    sum(amount) AS amount,
    sum(base_fees) AS base_fees,
    sum(quote_fees) AS quote_fees,
    sum(bought) AS bought,
    sum(sold) AS sold,
    sum(bought_at) AS bought_at,
    sum(sold_at) AS sold_at
FROM volume_by_hour
GROUP BY 1, 2, 3;

-- What each account did by trades: lots as maker and taker, and the changes of its balances for profit and loss.
CREATE MATERIALIZED VIEW IF NOT EXISTS accounts_by_minute
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    timestamp_ns - timestamp_ns % 60000000000 AS bucket_ns,
    symbol,
    account,
    sum(maker_lots) AS maker_lots,
    sum(taker_lots) AS taker_lots,
    sum(base_change) AS base_change,
    sum(quote_change) AS quote_change
FROM (
    SELECT
        t.day,
        t.timestamp_ns,
        t.symbol,
        t.buyer AS account,
        CASE WHEN t.taker_side = 'sell' THEN CAST(t.quantity AS LARGEINT) ELSE 0 END AS maker_lots,
        CASE WHEN t.taker_side = 'buy' THEN CAST(t.quantity AS LARGEINT) ELSE 0 END AS taker_lots,
        CAST(t.quantity AS LARGEINT) * i.lot_units - t.buyer_fee AS base_change,
        -CAST(t.quantity AS LARGEINT) * t.price * i.quote_unit AS quote_change
    FROM trades AS t
    JOIN instruments AS i ON i.symbol = t.symbol
    UNION ALL
    SELECT
        t.day,
        t.timestamp_ns,
        t.symbol,
        t.seller AS account,
        CASE WHEN t.taker_side = 'buy' THEN CAST(t.quantity AS LARGEINT) ELSE 0 END AS maker_lots,
        CASE WHEN t.taker_side = 'sell' THEN CAST(t.quantity AS LARGEINT) ELSE 0 END AS taker_lots,
        -CAST(t.quantity AS LARGEINT) * i.lot_units AS base_change,
        CAST(t.quantity AS LARGEINT) * t.price * i.quote_unit - t.seller_fee AS quote_change
    FROM trades AS t
    JOIN instruments AS i ON i.symbol = t.symbol
) AS sides
GROUP BY 1, 2, 3, 4;

-- The same by hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS accounts_by_hour
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 3600000000000 AS bucket_ns,
    symbol,
    account,
    sum(maker_lots) AS maker_lots,
    sum(taker_lots) AS taker_lots,
    sum(base_change) AS base_change,
    sum(quote_change) AS quote_change
FROM accounts_by_minute
GROUP BY 1, 2, 3, 4;

-- The same by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS accounts_by_day
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 86400000000000 AS bucket_ns,
    symbol,
    account,
    sum(maker_lots) AS maker_lots,
    sum(taker_lots) AS taker_lots,
    sum(base_change) AS base_change,
    sum(quote_change) AS quote_change
FROM accounts_by_hour
GROUP BY 1, 2, 3, 4;

-- Accounts that traded, as bitmaps: `bitmap_union_count(traders)` counts them over any range.
CREATE MATERIALIZED VIEW IF NOT EXISTS active_accounts_by_minute
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    timestamp_ns - timestamp_ns % 60000000000 AS bucket_ns,
    symbol,
    bitmap_union(to_bitmap(account)) AS traders
FROM (
    SELECT day, timestamp_ns, symbol, buyer AS account FROM trades
    UNION ALL
    SELECT day, timestamp_ns, symbol, seller AS account FROM trades
) AS sides
GROUP BY 1, 2, 3;

-- The same by hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS active_accounts_by_hour
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 3600000000000 AS bucket_ns,
    symbol,
    bitmap_union(traders) AS traders
FROM active_accounts_by_minute
GROUP BY 1, 2, 3;

-- The same by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS active_accounts_by_day
PARTITION BY date_trunc('day', day)
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    day,
    bucket_ns - bucket_ns % 86400000000000 AS bucket_ns,
    symbol,
    bitmap_union(traders) AS traders
FROM active_accounts_by_hour
GROUP BY 1, 2, 3;

-- Orders by the time of placing, and their accounts: for the order-to-trade ratio.
CREATE MATERIALIZED VIEW IF NOT EXISTS placed_orders_by_minute
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    placed_at_ns - placed_at_ns % 60000000000 AS bucket_ns,
    symbol,
    count(*) AS orders,
    bitmap_union(to_bitmap(account)) AS placers
FROM orders
GROUP BY 1, 2;

-- The same by hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS placed_orders_by_hour
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    bucket_ns - bucket_ns % 3600000000000 AS bucket_ns,
    symbol,
    sum(orders) AS orders,
    bitmap_union(placers) AS placers
FROM placed_orders_by_minute
GROUP BY 1, 2;

-- The same by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS placed_orders_by_day
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    bucket_ns - bucket_ns % 86400000000000 AS bucket_ns,
    symbol,
    sum(orders) AS orders,
    bitmap_union(placers) AS placers
FROM placed_orders_by_hour
GROUP BY 1, 2;

-- Orders that self-trade prevention cancelled, by the time of cancelling.
CREATE MATERIALIZED VIEW IF NOT EXISTS self_trades_prevented_by_minute
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    updated_at_ns - updated_at_ns % 60000000000 AS bucket_ns,
    symbol,
    count(*) AS orders,
    bitmap_union(to_bitmap(account)) AS accounts
FROM orders
WHERE reason = 'self_trade'
GROUP BY 1, 2;

-- The same by hour.
CREATE MATERIALIZED VIEW IF NOT EXISTS self_trades_prevented_by_hour
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    bucket_ns - bucket_ns % 3600000000000 AS bucket_ns,
    symbol,
    sum(orders) AS orders,
    bitmap_union(accounts) AS accounts
FROM self_trades_prevented_by_minute
GROUP BY 1, 2;

-- The same by day.
CREATE MATERIALIZED VIEW IF NOT EXISTS self_trades_prevented_by_day
DISTRIBUTED BY HASH (symbol)
REFRESH ASYNC EVERY (INTERVAL 1 MINUTE)
AS SELECT
    bucket_ns - bucket_ns % 86400000000000 AS bucket_ns,
    symbol,
    sum(orders) AS orders,
    bitmap_union(accounts) AS accounts
FROM self_trades_prevented_by_hour
GROUP BY 1, 2;
