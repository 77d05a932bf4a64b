"""The Django side of an engine process: wiring from settings, history in the store, snapshots, epochs."""
