"""From settings and options to an engine's parts: addresses, ring, input log, recovery, health."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType

from django.conf import settings

from exchange_site import health
from matching.blocks import Block
from matching.input_logs.base import InputLog
from matching.input_logs.memory import MemoryLog
from matching.input_logs.wal import WalLog
from matching.process import Parts, Plan
from matching.wire import Addresses
from settlement import wiring
from settlement.stores.base import StoreUninitialized

_STUCK_S = 2.0


class NotAvailable(Exception):
    """An option that this version cannot honour; its text is one sentence."""


def plan() -> Plan:
    addresses = Addresses(
        settings.ENGINE_COMMAND_ADDRESS, settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS
    )
    return Plan(addresses, settings.ENGINE_RING_BLOCKS, settings.ENGINE_RING_BYTES, settings.ENGINE_BLOCK_COMMANDS)


def open_input_log(option: str | None, *, follows: bool) -> InputLog:
    """The log that the option names, or else the settings. Raises NotAvailable."""
    name = option or ("wal" if settings.ENABLE_LOCAL_WAL else settings.INPUT_LOG)
    if name == "kafka":
        raise NotAvailable("The Kafka input log is not available in this version: use memory or wal.")
    if name == "wal" and follows:
        raise NotAvailable("A follower keeps no write-ahead log in this version: give it --input-log memory.")
    return WalLog(settings.DATA_DIR / "wal") if name == "wal" else MemoryLog()


def refuse_snapshots(every_blocks: int | None) -> None:
    """Raises NotAvailable."""
    if every_blocks is not None:
        raise NotAvailable("Snapshots to disk are not available in this version: leave --snapshot-every out.")


def settled_blocks() -> Iterator[Block]:
    """The blocks that settlement has made durable, from the first on; none before it has run for the first time.

    Raises StoreError, BadBlock.
    """
    store = wiring.store()
    store.connect()
    try:
        for stored in store.blocks(1):
            yield Block.decode(stored.data)
    except StoreUninitialized:
        return
    finally:
        store.close()


def probes(parts: Parts) -> Mapping[str, health.Probe]:
    """Whether the loop turns, and whether commands are taken."""
    return {
        "loop": health.timed(lambda: time.monotonic() - parts.publisher.last_beat_s < _STUCK_S),
        "taking_input": health.timed(lambda: not parts.board.halted),
    }


def stop_on_signals() -> threading.Event:
    """Set by the first SIGTERM or SIGINT."""
    stop = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    return stop
