"""The engine's metrics, read from its status board when they are asked for: counting costs the engine nothing."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from matching.node.status import StatusBoard


class EngineMetrics(Collector):
    def __init__(self, board: StatusBoard) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        board, counters = self._board, self._board.counters
        for name, text, count in (
            ("engine_commands", "Commands applied since the process started.", counters.commands),
            ("engine_events", "Events they caused.", counters.events),
            ("engine_bad_messages", "Frames that were no message of ours.", counters.bad_messages),
            ("engine_refused_batches", "Batches refused as a whole.", counters.refused_batches),
            ("engine_lost_answers", "Answers whose reader was gone or did not read.", counters.lost_answers),
            ("engine_clock_jumps", "Times that the clock of blocks was found implausible.", counters.clock_jumps),
            ("engine_passed_over", "Messages of the replicas' log that were none of ours.", board.passed_over),
        ):
            yield CounterMetricFamily(name, text, value=count)
        for name, text, value in (
            ("engine_ring_blocks", "Blocks in the retransmission ring.", len(board.ring)),
            ("engine_ring_unconfirmed_blocks", "Those that settlement has not confirmed.", board.ring.unconfirmed),
            ("engine_halted", "1 while the ring is full and no commands are taken.", int(bool(board.halted))),
            ("engine_clock_implausible", "1 while the clock of blocks is implausible.", int(bool(board.clock_fault))),
            ("engine_block_number", "Number of the newest block.", board.engine.block_number),
            ("engine_clients", "Client ids that ever sent a command; none is forgotten.", len(board.engine.clients)),
        ):
            yield GaugeMetricFamily(name, text, value=value)
