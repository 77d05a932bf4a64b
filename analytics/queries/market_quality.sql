-- Quality of each instrument's market. low and high are in ticks; median_lots is that of the trades; makers are
-- accounts; filled and cancelled count the orders that ended so; cancelled_share is that of the orders that ended (0 to
-- 1); median_fill_ms is the time from placing to the last fill of filled orders, in milliseconds. StarRocks estimates
-- medians.
SELECT
    symbol,
    max(trades) AS trades,
    max(low) AS low,
    max(high) AS high,
    max(median_lots) AS median_lots,
    max(makers) AS makers,
    max(filled) AS filled,
    max(cancelled) AS cancelled,
    max(CAST(cancelled AS DOUBLE) / (filled + cancelled)) AS cancelled_share,
    max(median_fill_ms) AS median_fill_ms
FROM (
    SELECT
        symbol,
        count(*) AS trades,
        min(price) AS low,
        max(price) AS high,
        percentile_approx(quantity, 0.5) AS median_lots,
        count(DISTINCT CASE WHEN taker_side = 'buy' THEN seller ELSE buyer END) AS makers,
        NULL AS filled,
        NULL AS cancelled,
        NULL AS median_fill_ms
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    GROUP BY symbol
    UNION ALL
    SELECT
        symbol,
        NULL AS trades,
        NULL AS low,
        NULL AS high,
        NULL AS median_lots,
        NULL AS makers,
        sum(CASE WHEN status = 'filled' THEN 1 ELSE 0 END) AS filled,
        sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
        percentile_approx(
            CASE WHEN status = 'filled' THEN CAST(updated_at_ns - placed_at_ns AS DOUBLE) / 1000000 END, 0.5
        ) AS median_fill_ms
    FROM orders
    WHERE updated_at_ns >= :from_ns AND updated_at_ns < :to_ns
    GROUP BY symbol
) AS parts
GROUP BY symbol
ORDER BY symbol
