"""Blocks become durable: in the store, or in the spill file while the store is unavailable."""
