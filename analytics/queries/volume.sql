-- Trades and volume of each instrument. Units: bucket_ns is the start of the minute, hour or day in nanoseconds; volume
-- is in lots; quote_volume is in the smallest unit of the quote asset.
SELECT v.bucket_ns, v.symbol, v.trades, v.volume, v.amount * i.quote_unit AS quote_volume
FROM (
    SELECT
        timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns,
        symbol,
        count(*) AS trades,
        sum(CAST(quantity AS LARGEINT)) AS volume,
        sum(CAST(price AS LARGEINT) * quantity) AS amount
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    GROUP BY 1, 2
) AS v
JOIN instruments AS i ON i.symbol = v.symbol
ORDER BY 1, 2
