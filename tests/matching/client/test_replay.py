"""`manage.py replay`: the vectors with all options, and invalid input."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from matching.client import replay as replaying
from matching.client.jsonlines import dumps
from matching.client.replay import replay
from matching.core import snapshots
from matching.core.engine import Engine
from matching.core.kernel import compile_now
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, order, until
from tests.matching.vectors import NAMES, VECTORS, commands_of, expected_of, lines_of_vector
from tests.matching.vectors_program import BLOCK_SIZES, output_hash
from tests.reference.engine import ReferenceExchange
from tests.reference.nonsense import NONSENSE_LINES
from tests.reference.streams import random_lines

ROOT = Path(__file__).parents[3]
ASSET = '{"command":"asset","symbol":"BTC","decimals":8}'
ASSET_ADDED = '{"event":"asset_added","sequence":1,"command_sequence":1,"symbol":"BTC","decimals":8}'


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Before any process, which would say that it compiles."""
    compile_now()


def without_blocks(summary: str) -> str:
    """A vector's summary says nothing about blocks, as it holds for any block size."""
    fields = json.loads(summary)
    return dumps({name: value for name, value in fields.items() if name not in ("block", "state_hash")})


def without_met_order(event: str) -> str:
    """A vector does not name the order that a self-trade met."""
    fields = json.loads(event)
    fields.pop("other_order_id", None)
    return dumps(fields)


def replayed(lines: list[str], block_size: int = 512, snapshot_at: int | None = None) -> list[str]:
    return [dumps(event) for event in replay(lines, block_size=block_size, snapshot_at=snapshot_at)]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "replay", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def malformed(line: int, command: str | None = None) -> str:
    return dumps({"event": "rejected", "sequence": None, "line": line, "command": command, "reason": "malformed"})


# The vectors


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_a_vector_gives_the_same_bytes_from_genesis_and_from_a_snapshot(name: str, block_size: int) -> None:
    lines, (*events, summary) = lines_of_vector(name), expected_of(name)
    *found, found_summary = replayed(lines, block_size)
    assert list(map(without_met_order, found)) == events
    assert without_blocks(found_summary) == summary
    middle = json.loads(summary)["commands"] // 2
    assert replayed(lines, block_size, snapshot_at=middle) == [*found, found_summary]


def test_a_snapshot_after_each_command_changes_nothing() -> None:
    lines = lines_of_vector("worked_example")
    plain = replayed(lines, 3)
    for at in range(1, len(lines) + 2):
        assert replayed(lines, 3, snapshot_at=at) == plain


def test_the_engine_continues_from_the_snapshot_after_the_block_of_that_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    restored: list[tuple[int, int]] = []

    def decode(data: bytes) -> Engine:
        engine = snapshots.decode(data)
        restored.append((engine.next_command_sequence - 1, engine.block_number))
        return engine

    monkeypatch.setattr(replaying, "snapshots", SimpleNamespace(encode=snapshots.encode, decode=decode))
    for snapshot_at, block_size in ((1, 1), (5, 1), (5, 3), (8, 512), (9, 1)):
        replayed(lines_of_vector("worked_example"), block_size, snapshot_at)
    # The three definitions are a block each; after command 8 there are no more.
    assert restored == [(1, 1), (5, 5), (6, 4), (8, 4)]


@pytest.mark.processes
def test_the_command_prints_a_vector_or_writes_it_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    *events, summary = expected_of("every_rule_1")
    printed = run(commands_of("every_rule_1"))
    assert (printed.returncode, printed.stderr) == (0, "")
    *lines, last = printed.stdout.splitlines()
    assert list(map(without_met_order, lines)) == events
    assert without_blocks(last) == summary

    written = run(commands_of("every_rule_1"), "--events", file, "--snapshot-at", 300)
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert file.read_text(encoding="utf-8") == printed.stdout
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.processes
def test_no_vector_depends_on_the_hash_seed() -> None:
    """At any block size, across a snapshot in the middle; with the state hash of the last block."""
    expected = {f"{name} {size}": output_hash(name, size) for name in NAMES for size in BLOCK_SIZES}
    assert len(NAMES) == 8
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.matching.vectors_program"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("seed", [1, 2])
def test_lines_of_any_kind_give_the_events_of_the_reference(seed: int) -> None:
    lines = [*NONSENSE_LINES, *random_lines(seed, 1500), *NONSENSE_LINES]
    reference = ReferenceExchange()
    expected = [dumps(event) for at, line in enumerate(lines, 1) for event in reference.submit_line(line, at)]
    *found, summary = replayed(lines, 100)
    assert found == expected
    assert without_blocks(summary) == dumps(reference.summary())


def test_a_block_ends_once_it_has_65536_events_and_the_run_goes_on() -> None:
    cancel = dumps({"command": "cancel", "account": 1, "symbol": "BTC-USD", "order_id": 1})
    *events, summary = replayed([*map(dumps, DEFINITIONS), *[cancel] * 65_540], 1_000_000)
    assert len(events) == 3 + 65_540
    assert json.loads(summary)["block"] == 3 + 2


@pytest.mark.parametrize("block_size", [1, 2, 3])
def test_an_oco_is_two_commands_that_no_block_and_no_snapshot_cuts(block_size: int) -> None:
    oco = {**order(1, "sell", "110"), "command": "oco", "trigger_price": "90"}
    lines = [*map(dumps, [*DEFINITIONS, deposit(1, "a"), oco, {**oco, "side": "no"}, oco]), dumps(order(1, "buy", "1"))]
    plain = replayed(lines, block_size)
    *events, summary = map(json.loads, plain)
    assert summary["commands"] == 3 + 1 + 2 + 2 + 1
    assert [event["line"] for event in events if event["sequence"] is None] == [6]
    assert [event["order_list_id"] for event in events if event["event"] == "order_accepted"] == [5, 5, 7, 7]
    assert summary["block"] == 3 + {1: 4, 2: 3, 3: 2}[block_size]
    for snapshot_at in range(1, 10):
        assert replayed(lines, block_size, snapshot_at) == plain


def test_the_name_of_a_replaced_order_is_known_whatever_the_command_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the names of closed orders were forgotten."""
    monkeypatch.setattr(replaying, "_NAMES_KEPT", 4)
    run = replaying._Run(block_size=1, snapshot_at=None)
    kept, last = {**order(1, "sell", "110"), "client_order_id": "kept"}, {**order(1, "sell", "110"), "quantity": "0.1"}
    change = {"command": "replace", "account": 1, "symbol": "BTC-USD", "price": "110", "quantity": "0.5", "order_id": 5}
    renamed = {**change, "new_client_order_id": "new"}
    passing = [{**last, "client_order_id": f"p{number}", "time_in_force": "ioc"} for number in range(50)]
    commands = [*DEFINITIONS, deposit(1, "a"), kept, *passing, change, renamed, *passing, change, last]
    commands.append({**change, "order_id": None, "client_order_id": "new"})
    commands.append({**change, "order_id": 5 + 50 + 2 + 50 + 1 + 1})
    events = [event for line, command in enumerate(commands, 1) for event in run.add(command, line)]
    names = [event["client_order_id"] for event in events if event["event"] == "order_replaced"]
    assert names == ["kept", "new", "new", "new", None]
    assert len(run._names) <= 2 * 1 + 4 + 1


# Files as people have them


@pytest.mark.parametrize(
    "text", [ASSET, f"{ASSET}\n", f"{ASSET}\r\n", f"\n  \n\r\n\t\n{ASSET}\r\n\r\n", f"  {ASSET} \n\n"]
)
def test_line_ends_and_blank_lines_do_not_matter(text: str, tmp_path: Path) -> None:
    assert outcome(text.encode(), tmp_path)[0] == ASSET_ADDED


def test_a_blank_line_counts_as_a_line() -> None:
    assert replayed(["\n", "junk\n", "\r\n", ASSET])[:2] == [malformed(2), ASSET_ADDED]


def test_an_empty_file_gives_the_summary_of_nothing(tmp_path: Path) -> None:
    nothing = {"summary": True, "commands": 0, "events": 0, "trades": 0, "block": 0, "state_hash": "0" * 16}
    (summary,) = outcome(b"", tmp_path)
    assert json.loads(summary).items() >= nothing.items()


def test_junk_and_long_lines_are_malformed_and_the_run_continues(tmp_path: Path) -> None:
    long = b'{"command":"asset","symbol":"' + b"X" * (3 << 20) + b'"}'
    padded = ASSET.encode() + b" " * (2 << 20)
    junk = bytes(range(10)) + b"\x0b\x7f\xe2\x80\xa8\xef\xbb\xbf"
    lines = [long, junk, b"\x00" * 100, b'{"command":"fly"}', b"\xc2\xa0", padded, b"[" * (1 << 19), ASSET.encode()]
    *refused, added, _ = outcome(b"\n".join(lines), tmp_path)
    assert refused == [malformed(line) for line in range(1, len(lines))]
    assert added == ASSET_ADDED


def outcome(content: bytes, folder: Path) -> list[str]:
    file, events = folder / "commands.jsonl", folder / "events.jsonl"
    file.write_bytes(content)
    call_command("replay", str(file), events=events)
    return events.read_text(encoding="utf-8").splitlines()


# What cannot be run


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no such file"], "no such file cannot be read: No such file or directory."),
        ([str(VECTORS)], "cannot be read: Is a directory."),
        (["{junk}"], "is not UTF-8 text: line 1 has invalid start byte."),
        (["{vector}", "--block-size", "0"], "argument --block-size: '0' is not a whole number from 1 to 1000000."),
        (["{vector}", "--block-size", "x"], "argument --block-size: 'x' is not a whole number from 1 to 1000000."),
        (["{vector}", "--events", "{junk}/events"], "cannot be written: Not a directory."),
    ],
)
def test_an_input_error_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\xff\xfe\x00")
    known = {"{junk}": str(junk), "{vector}": str(commands_of("worked_example")), "{junk}/events": f"{junk}/events"}
    done = run(*(known.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(sentence)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_run_that_fails_leaves_the_file_of_events_as_it_was(tmp_path: Path) -> None:
    commands, events = tmp_path / "commands", tmp_path / "events"
    events.write_text("earlier")
    commands.write_bytes(f"{ASSET}\n".encode() * 5000 + b"\xff\n")
    with pytest.raises(CommandError, match="is not UTF-8 text"):
        call_command("replay", str(commands), events=events)
    assert events.read_text() == "earlier"
    assert sorted(tmp_path.iterdir()) == [commands, events]


def test_the_commands_are_not_overwritten_with_their_events(tmp_path: Path) -> None:
    commands, same = tmp_path / "commands", tmp_path / "same"
    commands.write_text(ASSET)
    same.symlink_to(commands)
    with pytest.raises(CommandError, match="name another file for the events"):
        call_command("replay", str(commands), events=same)
    assert commands.read_text() == ASSET


@pytest.mark.processes
def test_a_closed_pipe_and_a_full_disk_are_reported(tmp_path: Path) -> None:
    replay_vector = f"{sys.executable} manage.py replay {commands_of('every_rule_3')}"
    for target, sentence in (("| head -n 1", "Broken pipe."), ("> /dev/full", "No space left on device.")):
        script = f"set -o pipefail; {replay_vector} {target}"
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == f"CommandError: standard output cannot be written: {sentence}\n"


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_no_half_file_is_left(number: signal.Signals, tmp_path: Path) -> None:
    commands, events = tmp_path / "commands", tmp_path / "events"
    os.mkfifo(commands)  # so that it waits for more
    command = [sys.executable, "manage.py", "replay", str(commands), "--events", str(events)]
    heeds_signals = partial(signal.signal, number, signal.SIG_DFL)  # whatever started the tests may ignore them
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_signals)
    with process, commands.open("w") as pipe:  # opens when the other end is open
        pipe.write(f"{ASSET}\n" * 1000)
        pipe.flush()
        until(lambda: list(tmp_path.glob(".events.*")) or process.poll() is not None, "the run to begin")
        process.send_signal(number)
        # Python handles a signal that came just before the wait for more when that wait ends.
        with suppress(BrokenPipeError):
            pipe.write("\n")
            pipe.flush()
        _, said = process.communicate(timeout=60)
    ended = f"CommandError: Stopped by {number.name}: 0 lines were read, and {events} was not written.\n"
    assert (process.returncode, said) == (128 + number, ended)
    assert list(tmp_path.iterdir()) == [commands]
