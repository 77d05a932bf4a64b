-- Order-to-trade ratio of each instrument: orders placed, for each trade. An order counts in the bucket in which it was
-- placed. The ratio is empty without trades. bucket_ns is the start of the minute, hour or day in nanoseconds.
SELECT
    bucket_ns,
    symbol,
    sum(is_order) AS orders,
    sum(is_trade) AS trades,
    CAST(sum(is_order) AS DOUBLE) / sum(is_trade) AS orders_per_trade
FROM (
    SELECT placed_at_ns - placed_at_ns % :bucket_ns AS bucket_ns, symbol, 1 AS is_order, 0 AS is_trade
    FROM orders
    WHERE placed_at_ns >= :from_ns AND placed_at_ns < :to_ns
    UNION ALL
    SELECT timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns, symbol, 0 AS is_order, 1 AS is_trade
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
) AS actions
GROUP BY 1, 2
ORDER BY 1, 2
