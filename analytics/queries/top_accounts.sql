-- The twenty accounts with the largest volume in each quote asset. place is 1 for the largest; trades counts a trade
-- with oneself twice; quote_volume is in the smallest unit of the quote asset.
SELECT place, quote, account, trades, quote_volume
FROM (
    SELECT
        row_number() OVER (PARTITION BY quote ORDER BY quote_volume DESC, account) AS place,
        quote,
        account,
        trades,
        quote_volume
    FROM (
        SELECT i.quote, s.account, sum(s.trades) AS trades, sum(s.amount * i.quote_unit) AS quote_volume
        FROM (
            SELECT symbol, account, sum(trades) AS trades, sum(amount) AS amount
            FROM (
                SELECT symbol, buyer AS account, count(*) AS trades, sum(CAST(price AS LARGEINT) * quantity) AS amount
                FROM trades
                WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
                GROUP BY 1, 2
                UNION ALL
                SELECT symbol, seller AS account, count(*) AS trades, sum(CAST(price AS LARGEINT) * quantity) AS amount
                FROM trades
                WHERE timestamp_ns >= :from_ns AND timestamp_ns < :to_ns
                GROUP BY 1, 2
            ) AS sides
            GROUP BY 1, 2
        ) AS s
        JOIN instruments AS i ON i.symbol = s.symbol
        GROUP BY 1, 2
    ) AS sums
) AS ranked
WHERE place <= 20
ORDER BY quote, place
