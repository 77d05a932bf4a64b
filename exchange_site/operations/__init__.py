"""Operation of the processes: supervisor, first start, readiness, health, metrics."""
