"""The client library: encodes JSON commands, sends them in numbered batches, reads the answers, finds the leader.

Programs outside this package use `Client`.
"""

from matching.client.client import Client

__all__ = ["Client"]
