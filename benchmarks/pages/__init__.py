"""Page times of the back office: a store with millions of trades, and the time of every page on it."""
