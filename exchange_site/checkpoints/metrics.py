"""Metrics of signed checkpoints. Only processes that sign import this module."""

from prometheus_client import Counter, Gauge

SIGNED = Counter("checkpoints_signed_total", "Checkpoints that this process has signed.")
SIGNED_BLOCK = Gauge("checkpoints_signed_block", "Block of the newest checkpoint that this process has signed.")
FAILURES = Counter("checkpoints_place_failures_total", "Attempts to write a checkpoint that failed.", ["place"])
WAITING = Gauge("checkpoints_waiting", "Checkpoints that a place does not have yet.", ["place"])
