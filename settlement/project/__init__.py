"""Durable blocks become rows: trades, orders, ledger entries, balances, the CSV trail, dead letters."""
