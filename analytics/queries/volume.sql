-- Trades and volume of each instrument. Units: bucket_ns is the start of the minute, hour or day in nanoseconds; volume
-- is in lots; quote_volume is in the smallest unit of the quote asset.
SELECT
    t.timestamp_ns - t.timestamp_ns % :bucket_ns AS bucket_ns,
    t.symbol,
    count(*) AS trades,
    sum(CAST(t.quantity AS LARGEINT)) AS volume,
    sum(CAST(t.price AS LARGEINT) * t.quantity * i.quote_unit) AS quote_volume
FROM trades AS t
JOIN instruments AS i ON i.symbol = t.symbol
WHERE t.timestamp_ns >= :from_ns AND t.timestamp_ns < :to_ns
GROUP BY 1, 2
ORDER BY 1, 2
