"""An account's ledger entries for a period, with the balances at its beginning and its end."""
