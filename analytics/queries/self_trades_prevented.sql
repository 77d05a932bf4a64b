-- Orders that self-trade prevention cancelled, by instrument, and their accounts. An order counts in the bucket in
-- which it was cancelled. bucket_ns is the start of the minute, hour or day in nanoseconds.
SELECT
    updated_at_ns - updated_at_ns % :bucket_ns AS bucket_ns,
    symbol,
    count(*) AS orders,
    count(DISTINCT account) AS accounts
FROM orders
WHERE reason = 'self_trade' AND updated_at_ns >= :from_ns AND updated_at_ns < :to_ns
GROUP BY 1, 2
ORDER BY 1, 2
