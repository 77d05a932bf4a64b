-- Fees that the house got from the trades of each instrument. Units: bucket_ns is the start of the minute, hour or day
-- in nanoseconds; base_fees (from buyers) and quote_fees (from sellers) are in the smallest units of the two assets.
SELECT
    t.timestamp_ns - t.timestamp_ns % :bucket_ns AS bucket_ns,
    t.symbol,
    i.base,
    i.quote,
    sum(CAST(t.buyer_fee AS LARGEINT)) AS base_fees,
    sum(CAST(t.seller_fee AS LARGEINT)) AS quote_fees
FROM trades AS t
JOIN instruments AS i ON i.symbol = t.symbol
WHERE t.timestamp_ns >= :from_ns AND t.timestamp_ns < :to_ns
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2
