import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.command_lines import numbered_commands
from matching.client.connection import Connection
from matching.client.in_flight import Answered
from matching.client.stream import Sent
from matching.client.submission import Submission, submit
from matching.client.submission_journal import Journal, Refused, path_for
from matching.core import layout
from matching.core.errors import BadFile, EngineUnreachable
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import Running, deposit, order, trading


def submitted(
    running: Running,
    commands: list[object],
    rate: float | None = None,
    on_refused: Callable[[Refused], object] = lambda one: None,
    batch_commands: int = 100,
) -> Submission:
    done = Submission(on_refused)
    with closing(Connection(running.commands)) as connection:
        lines = numbered_commands([json.dumps(command) for command in commands])
        submit(connection, lines, done, batch_commands=batch_commands, rate=rate)
    return done


def test_every_command_is_accepted_or_rejected(running_leader: Running) -> None:
    wrong = [order(9, "sell", "1.00"), order(1, "sell", "1.001"), deposit(1, "t-1"), "no command"]
    done = submitted(running_leader, [*DEFINITIONS, *trading(500), *wrong])
    assert (done.sent, done.accepted, done.rejected) == (509, 505, 4)
    assert running_leader.parts.engine.next_command_sequence == 508
    assert len(done.latencies_us) == 3 + 6  # a definition ends its batch


def test_every_refused_command_is_reported_with_its_line_in_order(running_leader: Running) -> None:
    commands: list[object] = [*DEFINITIONS, order(9, "sell", "1.00"), "no", order(9, "buy", "1"), order(1, "up", "1")]
    told: list[Refused] = []
    submitted(running_leader, [*commands, "no", "no", deposit(1, "a"), deposit(1, "a")], on_refused=told.append)
    assert told == [
        Refused(4, "order", "insufficient_balance"),
        Refused(5, None, "malformed"),
        Refused(6, "order", "insufficient_balance"),
        Refused(7, "order", "invalid_side"),
        Refused(8, None, "malformed"),
        Refused(9, None, "malformed"),
        Refused(11, "deposit", "duplicate_reference"),
    ]


def test_thousands_of_invalid_lines_are_reported_as_they_are_read(running_leader: Running) -> None:
    told: list[int] = []
    most_behind = 0

    def lines() -> Iterator[tuple[int, object]]:
        nonlocal most_behind
        for line in range(1, 10_001):
            most_behind = max(most_behind, line - len(told))
            yield line, {} if line != 6000 else DEFINITIONS[0]

    done = Submission(lambda one: told.append(one.line))
    with closing(Connection(running_leader.commands)) as connection:
        submit(connection, lines(), done, batch_commands=100)
    assert told == [line for line in range(1, 10_001) if line != 6000]
    assert (done.accepted, done.rejected, done.unanswered) == (1, 9999, 0)
    assert most_behind <= 4097


def test_a_forgotten_command_counts_neither_as_accepted_nor_as_rejected() -> None:
    done, nothing = Submission(), np.empty(0, layout.EVENT)
    done.sent = 5
    segments = (wire.Segment(1, 0, 0, 3, nothing), wire.Segment(4, 9, 40, 2, nothing))
    commands = np.zeros(5, layout.COMMAND)
    done.before_sending(1, [1, 2, 3, 4, 5])
    done.note_answer(Sent(commands, b"", [1, 2, 3, 4, 5]), Answered(wire.Answer(7, 1, 5, segments), 0.001))
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
        submit(connection, [], Submission(), batch_commands=1)
    connection.close()


class Killed(Exception):
    """Stands for the death of the process."""


class TestJournal:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        commands = [*DEFINITIONS, *trading(40), "no", order(9, "buy", "1"), {}, *trading(40)[2:], {}]
        (tmp_path / "commands.jsonl").write_text("".join(json.dumps(command) + "\n" for command in commands))
        return tmp_path / "commands.jsonl"

    def run(
        self,
        running: Running,
        journal: Journal,
        file: Path,
        told: list[Refused] | None = None,
        *,
        batch_commands: int = 7,
        rate: float | None = None,
    ) -> Submission:
        done = Submission(told.append if told is not None else lambda one: None, journal)
        number = journal.position.number + 1
        with (
            closing(journal),
            closing(Connection(running.commands, client_id=journal.client_id, first_number=number)) as connection,
            file.open() as lines,
        ):
            submit(connection, numbered_commands(lines), done, batch_commands=batch_commands, rate=rate)
        return done

    @pytest.mark.parametrize(("batch_commands", "rate"), [(3, None), (50, None), (7, 50_000.0)])
    @pytest.mark.parametrize("step", [5, 8, 14])
    def test_batches_that_were_sent_are_the_same_after_resuming_with_other_options(
        self,
        running_leader: Running,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        step: int,
        batch_commands: int,
        rate: float | None,
    ) -> None:
        """The engine has applied them, so other batches with these numbers would be refused."""
        written = 0

        def die(journal: Journal, number: int, line: int, line_is_refused: bool, counts: dict[str, int]) -> None:
            nonlocal written
            written += 1
            if written >= step:
                raise Killed
            record(journal, number, line, line_is_refused, counts)

        path, record = path_for(file.parent, file), Journal.record_answered
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "record_answered", die)
            with pytest.raises(Killed):
                self.run(running_leader, Journal.begin(path, file), file)
        done = self.run(running_leader, Journal.resume(path, file), file, batch_commands=batch_commands, rate=rate)
        assert (done.sent, done.accepted, done.rejected, done.forgotten) == (89, 85, 4, 0)
        assert running_leader.parts.engine.next_command_sequence == 1 + 86

    def test_a_journal_of_layout_1_is_refused_with_the_line_up_to_which_everything_is_answered(
        self, running_leader: Running, file: Path
    ) -> None:
        path = path_for(file.parent, file)
        self.run(running_leader, Journal.begin(path, file), file)
        path.write_text(path.read_text().replace(f',"layout":{layout.LAYOUT_VERSION}', "", 1))
        with pytest.raises(BadFile, match=r"was begun with record layout 1, .* its lines up to \d+ are answered"):
            Journal.resume(path, file)

    @pytest.mark.parametrize(
        ("step", "before"), [(step, True) for step in range(1, 31)] + [(step, False) for step in range(1, 31, 5)]
    )
    def test_killed_at_any_record_it_continues_without_a_gap_or_a_repetition(
        self, running_leader: Running, file: Path, monkeypatch: pytest.MonkeyPatch, step: int, before: bool
    ) -> None:
        told: list[Refused] = []
        written, write = 0, Journal._write

        def die(journal: Journal, record: dict[str, object]) -> None:
            nonlocal written
            written += 1
            if before and written == step:
                raise Killed
            write(journal, record)
            if written == step:
                raise Killed

        path = path_for(file.parent, file)
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "_write", die)
            with pytest.raises(Killed):
                self.run(running_leader, Journal.begin(path, file), file)
        done = self.run(running_leader, Journal.resume(path, file), file, told)
        assert (done.sent, done.accepted, done.rejected, done.forgotten) == (89, 85, 4, 0)
        assert running_leader.parts.engine.next_command_sequence == 1 + 86  # as one run would leave it
        again = self.run(running_leader, Journal.resume(path, file), file)
        assert (again.sent, again.accepted, again.rejected, again.latencies_us) == (89, 85, 4, [])
        assert running_leader.parts.engine.next_command_sequence == 1 + 86

    @pytest.mark.parametrize("batch_commands", [1, 3, 100])
    @pytest.mark.parametrize("step", range(1, 12))
    def test_an_order_requires_the_line_before_it_also_after_resuming(
        self, running_leader: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, batch_commands: int
    ) -> None:
        free = {**order(1, "sell", "100.00"), "quantity": "0.01"}
        needs, oco = {**free, "requires_previous": True}, {**free, "command": "oco", "trigger_price": "50"}
        poor = {**free, "quantity": "99"}
        commands = [*DEFINITIONS, deposit(1, "t", amount="2"), needs, "no", needs, free, oco, needs, poor, needs]
        commands += [{}, needs, oco, {**oco, "requires_previous": True}, {**oco, "quantity": "99"}, needs]
        file = tmp_path / "commands.jsonl"
        file.write_text("".join(json.dumps(command) + "\n\n" for command in commands))
        path, write, written, told = path_for(tmp_path, file), Journal._write, 0, list[Refused]()

        def die(journal: Journal, record: dict[str, object]) -> None:
            nonlocal written
            written += 1
            write(journal, record)
            if written == step:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "_write", die)
            with suppress(Killed):
                self.run(running_leader, Journal.begin(path, file), file, told, batch_commands=batch_commands)
        done = self.run(running_leader, Journal.resume(path, file), file, told, batch_commands=batch_commands)
        found = {(one.line, one.command, one.reason) for one in told}
        assert found == {
            *((11, None, "malformed"), (13, "order", "previous_refused"), (21, "order", "insufficient_balance")),
            *((23, "order", "previous_refused"), (25, None, "malformed"), (27, "order", "previous_refused")),
            *((33, "oco", "insufficient_balance"), (35, "order", "previous_refused")),
        }
        assert (done.sent, done.accepted, done.rejected, done.forgotten) == (18, 10, 8, 0)
        assert running_leader.parts.engine.next_command_sequence == 1 + 16 + 4, "four ocos, and two lines not sent"

    def test_a_record_that_was_torn_is_left_out(self, running_leader: Running, file: Path) -> None:
        path = path_for(file.parent, file)
        self.run(running_leader, Journal.begin(path, file), file)
        path.write_bytes(path.read_bytes()[:-9])
        assert self.run(running_leader, Journal.resume(path, file), file).accepted == 85
        assert running_leader.parts.engine.next_command_sequence == 1 + 86

    def test_a_journal_without_its_first_record_begins_again(self, running_leader: Running, file: Path) -> None:
        path = path_for(file.parent, file)
        for content in ("", '{"file":"comm'):
            path.write_text(content)
            journal = Journal.resume(path, file)
            assert (journal.position.line, path.read_text().count("\n")) == (0, 1)
            journal.close()

    def test_a_file_that_has_changed_is_not_resumed(self, file: Path) -> None:
        path = path_for(file.parent, file)
        Journal.begin(path, file).close()
        file.write_text(file.read_text() + "{}\n")
        with pytest.raises(BadFile, match="has changed since it was submitted: it cannot be resumed"):
            Journal.resume(path, file)

    def test_a_journal_that_is_none_is_refused(self, file: Path) -> None:
        path = path_for(file.parent, file)
        for content in ('{"client": 1}\n', "no json\n", '{"file":"a","bytes":1,"xxh3":"0","client":1}\n{"x":1}\n'):
            path.write_text(content)
            with pytest.raises(BadFile, match="is damaged"):
                Journal.resume(path, file)

    def test_two_at_once_are_refused(self, file: Path) -> None:
        path = path_for(file.parent, file)
        with closing(Journal.begin(path, file)), pytest.raises(BadFile, match="being submitted by another process"):
            Journal.begin(path, file)

    def test_a_line_that_another_engine_refuses_is_not_passed_over(self, running_leader: Running, file: Path) -> None:
        path = path_for(file.parent, file)
        with closing(Journal.begin(path, file)) as journal:
            journal.record_batch(1, [4, 5], [])
            journal.record_answered(0, 3, False, {"sent": 3, "accepted": 3})
        with pytest.raises(BadFile, match="Line 4 was sent before and is refused now"):
            self.run(running_leader, Journal.resume(path, file), file)
