-- Fees that the house got from the trades of each instrument. Units: bucket_ns is the start of the minute, hour or day
-- in nanoseconds; base_fees (from buyers) and quote_fees (from sellers) are in the smallest units of the two assets.
SELECT f.bucket_ns, f.symbol, i.base, i.quote, f.base_fees, f.quote_fees
FROM (
    SELECT
        timestamp_ns - timestamp_ns % :bucket_ns AS bucket_ns,
        symbol,
        sum(CAST(buyer_fee AS LARGEINT)) AS base_fees,
        sum(CAST(seller_fee AS LARGEINT)) AS quote_fees
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    GROUP BY 1, 2
) AS f
JOIN instruments AS i ON i.symbol = f.symbol
ORDER BY 1, 2
