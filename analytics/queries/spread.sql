-- Traded spread of each instrument: the average price at which takers bought, less the one at which takers sold.
-- Averages are weighted by lots, in ticks; bought and sold are in lots; bucket_ns is the start of the minute, hour or
-- day in nanoseconds. The spread is empty if takers were on one side only. Quotes are not stored, so this is not the
-- quoted spread.
SELECT
    bucket_ns,
    symbol,
    bought,
    sold,
    CAST(bought_at AS DOUBLE) / bought - CAST(sold_at AS DOUBLE) / sold AS spread_ticks
FROM (
    SELECT
        timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns,
        symbol,
        sum(CASE WHEN taker_side = 'buy' THEN CAST(quantity AS LARGEINT) ELSE 0 END) AS bought,
        sum(CASE WHEN taker_side = 'sell' THEN CAST(quantity AS LARGEINT) ELSE 0 END) AS sold,
        sum(CASE WHEN taker_side = 'buy' THEN CAST(price AS LARGEINT) * quantity ELSE 0 END) AS bought_at,
        sum(CASE WHEN taker_side = 'sell' THEN CAST(price AS LARGEINT) * quantity ELSE 0 END) AS sold_at
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    GROUP BY 1, 2
) AS sides
ORDER BY 1, 2
