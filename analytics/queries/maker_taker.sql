-- Lots that each account traded as maker and as taker, and the taker's share of them (0 to 1), by instrument. bucket_ns
-- is the start of the minute, hour or day in nanoseconds.
SELECT
    bucket_ns,
    symbol,
    account,
    sum(maker_lots) AS maker_lots,
    sum(taker_lots) AS taker_lots,
    CAST(sum(taker_lots) AS DOUBLE) / (sum(maker_lots) + sum(taker_lots)) AS taker_share
FROM (
    SELECT
        timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns,
        symbol,
        buyer AS account,
        CASE WHEN taker_side = 'sell' THEN CAST(quantity AS LARGEINT) ELSE 0 END AS maker_lots,
        CASE WHEN taker_side = 'buy' THEN CAST(quantity AS LARGEINT) ELSE 0 END AS taker_lots
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    UNION ALL
    SELECT
        timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns,
        symbol,
        seller AS account,
        CASE WHEN taker_side = 'buy' THEN CAST(quantity AS LARGEINT) ELSE 0 END AS maker_lots,
        CASE WHEN taker_side = 'sell' THEN CAST(quantity AS LARGEINT) ELSE 0 END AS taker_lots
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
) AS sides
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
