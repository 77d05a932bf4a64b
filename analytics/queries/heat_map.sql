-- Trades by hour of the week, UTC. weekday is 0 for Monday; hour is 0 to 23; accounts counts those that traded.
SELECT
    (hour_number DIV 24 + 3) % 7 AS weekday,
    hour_number % 24 AS hour,
    sum(is_trade) AS trades,
    count(DISTINCT account) AS accounts
FROM (
    SELECT timestamp_ns DIV 3600000000000 AS hour_number, buyer AS account, 1 AS is_trade
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
    UNION ALL
    SELECT timestamp_ns DIV 3600000000000 AS hour_number, seller AS account, 0 AS is_trade
    FROM trades
    WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
) AS sides
GROUP BY 1, 2
ORDER BY 1, 2
