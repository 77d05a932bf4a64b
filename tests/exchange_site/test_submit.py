"""`manage.py submit`: input, reports, journal, exit codes."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command

from exchange_site.operations.free_addresses import free_zmq_address
from matching.client.connection import Connection
from matching.client.state_form import state_form
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching import small_exchange
from tests.matching.small_exchange import Running, deposit, order, trading

ASSET = b'{"command":"asset","symbol":"USD","decimals":6}'
DEPOSIT = b'{"command":"deposit","account":7,"asset":"USD","amount":"1","reference":"%s"}'
ONE, TWO = DEPOSIT % b"one", DEPOSIT % b"two"

pytestmark = pytest.mark.usefixtures("data_dir")


class Outcome(NamedTuple):
    code: int
    summary: dict[str, Any] | None
    messages: list[str]  # lines on standard error, then the error message


@pytest.fixture
def engine() -> Iterator[Running]:
    with small_exchange.leader(small_exchange.plan()) as one:
        yield one


def submit(engine: Running, file: Path, *arguments: str) -> Outcome:
    out, errors = StringIO(), StringIO()
    try:
        call_command("submit", str(file), "--address", engine.commands, *arguments, stdout=out, stderr=errors)
        code, said = 0, []
    except CommandError as error:
        code, said = error.returncode, [str(error)]
    printed = out.getvalue().splitlines()
    return Outcome(code, json.loads(printed[-1]) if printed else None, errors.getvalue().splitlines() + said)


def written(folder: Path, commands: list[object]) -> Path:
    file = folder / "commands.jsonl"
    file.write_text("".join(json.dumps(command) + "\n" for command in commands))
    return file


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(ASSET + b"\n" + ONE + b"\r" + TWO + b"\n", id="a carriage return between two commands"),
        pytest.param(ASSET + b"\n" + ONE.replace(b",", b",\r") + b"\n", id="a carriage return within a command"),
        pytest.param(ASSET + b"\r\n" + ONE + b"\r\n", id="lines that end as on Windows"),
        pytest.param("\ufeff".encode() + ASSET + b"\n" + ONE, id="a byte order mark"),
        pytest.param(ASSET + b"\n" + ONE + "\u2028".encode() + TWO + b"\n", id="a line separator of Unicode"),
        pytest.param(ASSET + b"\n\x85\n\xc2\xa0\n" + ONE, id="bytes that are not UTF-8 on line 2"),
        pytest.param(ASSET + b"\n\xc2\xa0\n\x0b\x0c\n" + ONE, id="white space of Unicode"),
        pytest.param(ASSET + b"\n" + ONE + b'\n{"note":"\xe9"}\n' + TWO, id="Latin-1"),
        pytest.param(ASSET + b"\n" + b" " * (1 << 20) + ONE + b"\n" + TWO, id="a line of more than 1 MiB"),
        pytest.param(ASSET + b"\n" + b" " * (1 << 19) + ONE + b"\n" + TWO, id="a line of half a MiB"),
        pytest.param(ASSET + b"\n" + ONE + b"\0\n\0\n" + TWO, id="zero bytes"),
        pytest.param(ASSET.replace(b"6", b"1" * 5000) + b"\n" + ASSET, id="a number of 5,000 digits"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_replay_and_submit_read_the_same_commands_and_have_the_same_exit_code(
    content: bytes, engine: Running, tmp_path: Path
) -> None:
    file = tmp_path / "commands.jsonl"
    file.write_bytes(content)
    submitted, (code, messages, events) = submit(engine, file), replayed(file, tmp_path / "events")
    assert (submitted.code, submitted.messages[-1:] if code else []) == (code, messages)
    if code == 0:
        *rows, summary = events
        assert submitted.summary is not None
        assert submitted.summary["rejected"] == sum(row["event"] == "rejected" for row in rows)
        assert state_form(engine.parts.engine)["balances"] == summary["balances"]
    else:
        assert code == 2
        assert "is not UTF-8 text: line " in messages[0]


def replayed(file: Path, events: Path) -> tuple[int, list[str], list[dict[str, Any]]]:
    """Exit code, messages, and rows of the events."""
    try:
        call_command("replay", str(file), events=events)
    except CommandError as error:
        return error.returncode, [str(error)], []
    return 0, [], [json.loads(line) for line in events.read_text().splitlines()]


def test_commands_can_come_from_standard_input(engine: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(ASSET + b"\n" + ONE)))
    ended = submit(engine, Path("-"))
    assert ended.summary is not None
    assert (ended.code, ended.summary["accepted"], ended.messages) == (0, 2, [])
    assert submit(engine, Path("-"), "--resume").messages == [
        "--resume needs a file, because a pipe cannot be read again."
    ]


def test_refused_commands_are_reported_with_line_and_reason_and_counted_after_twenty(
    engine: Running, tmp_path: Path
) -> None:
    file = written(tmp_path, [*DEFINITIONS, {}, *[order(9, "buy", "1")] * 30, deposit(1, "a")])
    ended = submit(engine, file)
    assert ended.messages == [
        "line 4: command refused: malformed",
        *(f"line {line}: order refused: insufficient_balance" for line in range(5, 24)),
        "and 11 more refused commands; --refused FILE has them all",
    ]
    assert ended.code == 0
    assert ended.summary is not None
    assert (ended.summary["sent"], ended.summary["accepted"], ended.summary["rejected"]) == (35, 4, 31)


def test_strict_exits_1_if_a_command_was_refused(engine: Running, tmp_path: Path) -> None:
    file = written(tmp_path, [*DEFINITIONS])
    assert submit(engine, file, "--strict").code == 0
    ended = submit(engine, file, "--strict")
    assert (ended.code, ended.messages[-1]) == (1, "3 commands were refused.")
    assert ended.summary is not None


def test_all_refused_commands_are_in_the_file_and_in_the_document(engine: Running, tmp_path: Path) -> None:
    file, refused = written(tmp_path, [{}, *DEFINITIONS, *[order(9, "buy", "1")] * 30]), tmp_path / "refused.jsonl"
    assert len(submit(engine, file, "--refused", str(refused)).messages) == 21
    rows = [json.loads(line) for line in refused.read_text().splitlines()]
    assert rows[0] == {"line": 1, "command": None, "reason": "malformed"}
    assert rows[1:] == [{"line": line, "command": "order", "reason": "insufficient_balance"} for line in range(5, 35)]
    ended = submit(engine, file, "--json")
    assert ended.messages == []
    assert ended.summary is not None
    assert ended.summary["refused"][4:] == rows[1:]  # the definitions are there already
    assert ended.summary["rejected"] == 34


@pytest.mark.parametrize("refused", ["{folder}", "{folder}/no/such", "{folder}/commands.jsonl"])
def test_an_unwritable_file_for_refused_commands_is_named(refused: str, engine: Running, tmp_path: Path) -> None:
    file = written(tmp_path, [*DEFINITIONS])
    named = refused.format(folder=tmp_path)
    ended = submit(engine, file, "--refused", named)
    assert (ended.code, ended.summary, len(ended.messages)) == (2, None, 1)
    assert named in ended.messages[0]
    assert file.read_text().count("\n") == 3


def test_without_an_answer_the_summary_is_printed_and_resuming_sends_nothing_twice(
    engine: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, [*DEFINITIONS, *trading(100)])
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "_take_answer", lost_after(4))
        ended = submit(engine, file, "--timeout", "0.3", "--batch", "10")
    assert ended.code == 1
    assert ended.summary is not None
    assert ended.summary["unanswered"] > 0
    assert ended.summary["sent"] == ended.summary["accepted"] + ended.summary["unanswered"]
    assert "did not answer within 0.3 s. Until then " in ended.messages[-1]
    assert "--resume continues there" in ended.messages[-1]
    resumed = submit(engine, file, "--resume", "--batch", "7")
    assert resumed.code == 0
    assert resumed.summary is not None
    assert (resumed.summary["sent"], resumed.summary["accepted"]) == (105, 105)
    assert engine.parts.engine.next_command_sequence == 106


def lost_after(answers: int) -> Callable[[Connection, wire.Answer], None]:
    """Loses all later answers."""
    take, taken = Connection._take_answer, 0

    def taking(connection: Connection, answer: wire.Answer) -> None:
        nonlocal taken
        taken += 1
        if taken <= answers:
            take(connection, answer)

    return taking


def test_an_interruption_reports_the_answered_commands_and_prints_the_summary(
    engine: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = written(tmp_path, [*DEFINITIONS, *trading(100)]), 0
    send = Connection.send

    def interrupted(connection: Connection, *arguments: Any) -> int:
        nonlocal seen
        seen += 1
        if seen == 6:
            raise KeyboardInterrupt
        return send(connection, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "send", interrupted)
        ended = submit(engine, file, "--batch", "10")
    assert ended.code == 130
    assert ended.summary is not None
    answered = ended.summary["accepted"]
    assert ended.messages == [
        f"Stopped by SIGINT: {answered} of 33 commands were answered, those up to line {answered}; "
        "--resume continues there."
    ]
    resumed = submit(engine, file, "--resume")
    assert resumed.summary is not None
    assert resumed.summary["accepted"] == 105
    assert engine.parts.engine.next_command_sequence == 106


def test_commands_are_sent_with_a_warning_if_no_progress_can_be_kept(
    engine: Running, tmp_path: Path, data_dir: Path
) -> None:
    (data_dir / "submissions").write_text("a file where the folder would be")
    file = written(tmp_path, [*DEFINITIONS])
    ended = submit(engine, file)
    assert (ended.code, len(ended.messages)) == (0, 1)
    assert ended.messages[0].endswith("This run cannot be resumed.")
    assert submit(engine, file, "--resume").code == 2


def test_an_unreachable_engine_exits_2_without_a_summary(tmp_path: Path, db: None) -> None:
    out, address = StringIO(), free_zmq_address()
    with pytest.raises(CommandError, match=f"No engine answers at {address}") as ended:
        call_command("submit", str(written(tmp_path, [{}])), "--address", address, "--timeout", "0.2", stdout=out)
    assert (ended.value.returncode, out.getvalue()) == (2, "")
