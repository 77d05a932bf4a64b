"""Settlement: receives the engine's blocks, makes them durable in a store, and projects them to rows."""
