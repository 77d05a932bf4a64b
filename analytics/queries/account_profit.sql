-- Profit and loss of an account (:account) by instrument, from the beginning of the period to the end of each bucket in
-- which it traded. base_change and quote_change are what it got by trades after fees, in the smallest units of the two
-- assets; profit is quote_change and the value of base_change at the last price of the bucket, in the smallest unit of
-- the quote asset, truncated. What the account had before the period is not valued. last_price is in ticks; bucket_ns
-- is the start of the minute, hour or day in nanoseconds.
WITH flows AS (
    SELECT
        t.timestamp_ns - t.timestamp_ns % :bucket_ns AS bucket_ns,
        t.symbol,
        CAST(t.quantity AS LARGEINT) * i.lot_units - t.buyer_fee AS base,
        -CAST(t.quantity AS LARGEINT) * t.price * i.quote_unit AS quote
    FROM trades AS t
    JOIN instruments AS i ON i.symbol = t.symbol
    WHERE t.buyer = :account AND t.timestamp_ns >= :from_ns AND t.timestamp_ns < :to_ns
    UNION ALL
    SELECT
        t.timestamp_ns - t.timestamp_ns % :bucket_ns AS bucket_ns,
        t.symbol,
        -CAST(t.quantity AS LARGEINT) * i.lot_units AS base,
        CAST(t.quantity AS LARGEINT) * t.price * i.quote_unit - t.seller_fee AS quote
    FROM trades AS t
    JOIN instruments AS i ON i.symbol = t.symbol
    WHERE t.seller = :account AND t.timestamp_ns >= :from_ns AND t.timestamp_ns < :to_ns
),
changes AS (
    SELECT bucket_ns, symbol, sum(base) AS base, sum(quote) AS quote
    FROM flows
    GROUP BY 1, 2
),
positions AS (
    SELECT
        bucket_ns,
        symbol,
        CAST(sum(base) OVER (PARTITION BY symbol ORDER BY bucket_ns) AS LARGEINT) AS base_change,
        CAST(sum(quote) OVER (PARTITION BY symbol ORDER BY bucket_ns) AS LARGEINT) AS quote_change
    FROM changes
),
last_prices AS (
    SELECT timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns, symbol, max_by(price, trade_id) AS price
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    GROUP BY 1, 2
)
SELECT
    p.bucket_ns,
    p.symbol,
    p.base_change,
    p.quote_change,
    l.price AS last_price,
    p.quote_change + (p.base_change * l.price * i.quote_unit) DIV i.lot_units AS profit
FROM positions AS p
JOIN last_prices AS l ON l.bucket_ns = p.bucket_ns AND l.symbol = p.symbol
JOIN instruments AS i ON i.symbol = p.symbol
ORDER BY 1, 2
