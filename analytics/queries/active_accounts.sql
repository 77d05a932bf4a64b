-- Accounts that traded, and accounts that placed an order. bucket_ns is the start of the minute, hour or day in
-- nanoseconds.
SELECT
    bucket_ns,
    bitmap_union_count(to_bitmap(CASE WHEN is_trade = 1 THEN account END)) AS traders,
    bitmap_union_count(to_bitmap(CASE WHEN is_trade = 0 THEN account END)) AS order_placers
FROM (
    SELECT timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns, buyer AS account, 1 AS is_trade
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    UNION ALL
    SELECT timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns, seller AS account, 1 AS is_trade
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    UNION ALL
    SELECT placed_at_ns - placed_at_ns % :bucket_ns AS bucket_ns, account, 0 AS is_trade
    FROM orders
    WHERE placed_at_ns >= :from_ns AND placed_at_ns < :to_ns
) AS actions
GROUP BY 1
ORDER BY 1
