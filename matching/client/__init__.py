"""The client's side: JSON commands, edge, numbered batches, answers, finding the leader.

`Client` is what programs outside this package use.
"""

from matching.client.client import Client

__all__ = ["Client"]
