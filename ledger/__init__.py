"""Ledger entries derived from events, and balances as sums of entries."""
