"""What is kept on disk or in memory for recovery: input logs, block segments, snapshots, the ring."""
