"""Prometheus metrics of the engine, read from its status board at each scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from matching.node.status import StatusBoard
from matching.transport.listening.connections import ConnectionCounts

_HALTED = (
    "1 while no commands are taken: the ring is full, the input log is full or unavailable, or a replica catches up."
)


class EngineMetrics(Collector):
    def __init__(self, board: StatusBoard, connections: ConnectionCounts) -> None:
        self._board = board
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        board, counters = self._board, self._board.counters
        for name, text, count in (
            ("engine_commands", "Commands applied since the process started.", counters.commands),
            ("engine_events", "Events caused by these commands.", counters.events),
            ("engine_bad_messages", "Invalid messages received from clients and readers.", counters.bad_messages),
            (
                "engine_not_permitted",
                "Messages that the role of the sender's key does not permit.",
                counters.not_permitted,
            ),
            (
                "engine_refused_batches",
                "Batches refused because the engine is halted or follows, or for their numbers.",
                counters.refused_batches,
            ),
            (
                "engine_refused_confirmations",
                "Confirmations of another store or of a block that this engine does not have.",
                counters.refused_confirmations,
            ),
            (
                "engine_deferred_batches",
                "How often a batch had to wait because its sender's commands touch many orders.",
                counters.deferred_batches,
            ),
            ("engine_dropped_batches", "Batches dropped because too many waited.", counters.dropped_batches),
            (
                "engine_lost_answers",
                "Answers not delivered because the client was gone or slow.",
                counters.lost_answers,
            ),
            (
                "engine_closed_connections",
                "Connections closed because they exceeded a limit.",
                self._connections.closed,
            ),
            ("engine_clock_jumps", "How often the clock of blocks became implausible.", counters.clock_jumps),
            (
                "engine_skipped_messages",
                "Invalid messages in the replicas' log, which were skipped.",
                board.skipped_messages,
            ),
        ):
            yield CounterMetricFamily(name, text, value=count)
        for name, text, value in (
            ("engine_ring_blocks", "Blocks in the retransmission ring.", len(board.ring)),
            ("engine_ring_unconfirmed_blocks", "Blocks not confirmed by settlement.", board.ring.unconfirmed),
            ("engine_halted", _HALTED, int(bool(board.halted))),
            ("engine_clock_implausible", "1 while the clock of blocks is implausible.", int(bool(board.clock_fault))),
            ("engine_connections", "Open TCP connections of clients and readers.", self._connections.open),
            ("engine_block_number", "Number of the newest block.", board.engine.block_number),
            (
                "engine_clients",
                "Client ids that are known: those idle for long are forgotten.",
                len(board.engine.clients),
            ),
        ):
            yield GaugeMetricFamily(name, text, value=value)
