"""Accounts, ledger entries derived from events, balances and statements."""
