"""Finds the leading engine: asks all that are known, those that followed the last one too, and the store's newest."""

import time
from collections.abc import Callable

from matching.client.leaders import Engines, LeaderSearch, engine_directory, follower_addresses
from matching.core.epochs import Epoch
from matching.transport import wire
from matching.transport.network import ZmqNetwork

_SEARCH_S = 3.0


class LeaderFinder:
    """Implements `reading.FindLeader`. `newest_epoch` reads the store; None: it has none, or does not answer."""

    def __init__(
        self,
        engines: Engines,
        make_network: Callable[[], ZmqNetwork],
        newest_epoch: Callable[[], Epoch | None] = lambda: None,
    ) -> None:
        self._directory = engine_directory(engines)
        self._make_network = make_network
        self._newest_epoch = newest_epoch

    def __call__(self, status: wire.Status | None) -> str | None:
        if status is not None:
            self._directory.add(follower_addresses(status, status.addresses.commands))
        epoch = self._newest_epoch()
        if epoch is not None:
            self._directory.add([epoch.commands])
        network = self._make_network()
        search = LeaderSearch(network, self._directory, time.monotonic)
        deadline_s = time.monotonic() + _SEARCH_S
        try:
            while (now_s := time.monotonic()) < deadline_s:
                leader = search.poll()
                if leader is not None:
                    return leader.address
                network.wait(search.sockets, max(0.0, min(search.due_s, deadline_s) - now_s))
        finally:
            search.close()
            network.close()
        return None
