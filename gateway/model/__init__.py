"""The read model: what the gateway knows of the engine, from a snapshot and the blocks after it."""
