import json

import numpy as np
import pytest

from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.connection import Answered, Connection
from matching.client.stream import Sent
from matching.client.submission import Submission, submit
from matching.core import layout
from matching.core.errors import EngineUnreachable
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import Running, deposit, order, trading


def submitted(
    running: Running, commands: list[object], batch_commands: int = 100, rate: float | None = None
) -> Submission:
    connection = Connection(running.commands)
    try:
        lines = [json.dumps(command) for command in commands]
        return submit(connection, lines, batch_commands=100, rate=rate)
    finally:
        connection.close()


def test_every_command_is_accepted_or_rejected(running_leader: Running) -> None:
    wrong = [order(9, "sell", "1.00"), order(1, "sell", "1.001"), deposit(1, "t-1"), "no command"]
    done = submitted(running_leader, [*DEFINITIONS, *trading(500), *wrong])
    assert (done.sent, done.accepted, done.rejected) == (509, 505, 4)
    assert running_leader.parts.engine.next_command_sequence == 508
    assert len(done.latencies_us) == 3 + 6  # a definition ends its batch


def test_what_an_engine_has_done_and_forgotten_is_neither_accepted_nor_rejected() -> None:
    done, nothing = Submission(sent=5), np.empty(0, layout.EVENT)
    segments = (wire.Segment(1, 0, 0, 3, nothing), wire.Segment(4, 9, 40, 2, nothing))
    commands = np.zeros(5, layout.COMMAND)
    done.note(Sent(commands, b"", []), Answered(wire.Answer(7, 1, 5, segments), 0.001))
    assert (done.accepted, done.rejected, done.summary()["forgotten"]) == (2, 0, 3)


def test_a_rate_is_kept_and_nothing_waits_for_a_full_batch(running_leader: Running) -> None:
    submitted(running_leader, [*DEFINITIONS])
    done = submitted(running_leader, [deposit(1, f"{number}") for number in range(50)], rate=200)
    assert done.accepted == 50
    assert done.seconds >= 49 / 200
    assert len(done.latencies_us) > 10


def test_an_empty_file_is_fine(running_leader: Running) -> None:
    summary = submitted(running_leader, []).summary()
    assert summary.pop("seconds") < 1
    assert summary == {"sent": 0, "accepted": 0, "rejected": 0, "p50_us": None, "p99_us": None}


def test_nobody_there() -> None:
    connection = Connection(free_zmq_address(), timeout_s=0.2)
    with pytest.raises(EngineUnreachable):
        submit(connection, [], batch_commands=1)
    connection.close()
