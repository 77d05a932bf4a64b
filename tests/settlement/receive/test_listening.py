"""Which engines settlement listens to, by the kind of the input log."""

from pytest_django import Settings

from exchange_site.operations.free_addresses import free_ports
from matching.feed.reader import Feed
from settlement import metrics, wiring
from settlement.worker_status import WorkerStatus


def test_with_a_log_of_its_own_settlement_listens_to_the_leader(settings: Settings) -> None:
    first, second, third = free_ports(3)
    settings.INPUT_LOG = "memory"
    settings.ENGINE_COMMAND_ADDRESS = f"tcp://127.0.0.1:{first}"
    settings.ENGINE_BLOCK_ADDRESS = f"tcp://127.0.0.1:{second}"
    settings.ENGINE_RETRANSMIT_ADDRESS = f"tcp://127.0.0.1:{third}"
    listening = wiring.listening()
    try:
        assert isinstance(listening.feed, Feed)
        assert not listening.refuse("tcp://127.0.0.1:1", "another block")
        assert listening.complete(WorkerStatus()).refused_replicas is None
    finally:
        listening.feed.close()


def test_with_a_shared_log_a_replica_that_differs_is_reported(settings: Settings) -> None:
    addresses = [f"tcp://127.0.0.1:{port}" for port in free_ports(2)]
    settings.INPUT_LOG, settings.ENGINE_REPLICAS = "kafka", addresses
    listening = wiring.listening()
    try:
        assert listening.refuse(addresses[1], "Block 3 is another one.")
        status = listening.complete(WorkerStatus(epoch=4))
        assert (status.epoch, status.refused_replicas) == (4, {addresses[1]: "Block 3 is another one."})
        shown = [metrics.REPLICA_REFUSED.labels(address)._value.get() for address in addresses]
        assert shown == [0, 1]
    finally:
        listening.feed.close()
