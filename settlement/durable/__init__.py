"""Makes blocks durable: in the store, or in the spill on disk while the store is unavailable."""
