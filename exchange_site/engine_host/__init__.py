"""What Django lends to an engine process: wiring, history, snapshots, epochs."""
