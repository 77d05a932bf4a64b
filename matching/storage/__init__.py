"""Storage for recovery: input logs, block segments, snapshots, and the ring of recent blocks in memory."""
