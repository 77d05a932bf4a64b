"""`make torture`: its checks and reports, and one small run."""

import ast
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from matching.core.blocks import Block
from matching.core.clients import Client
from matching.core.engine import Engine
from matching.node.sequencer import Sequencer
from matching.storage.ring import Ring
from matching.transport.wire import decode_answer
from matching.workloads.btc_usd import DEFINITIONS
from scripts.torture import exchange
from scripts.torture.checks import Comparison, compare
from scripts.torture.clients import Acknowledged, Answer
from scripts.torture.processes import comes_true
from scripts.torture.report import Fault, Lengths, Outage, Result, longest_gap, outage_lengths, table
from tests.matching.small_exchange import batch, trading

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENT = 7


class Tape:
    """The blocks of an engine and the answers to its clients."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.sequencer = Sequencer(self.engine, Ring(100, 1 << 20), lambda: 1, 4)
        self.blocks: list[Block] = []
        self.told: list[Acknowledged] = []
        for number, definition in enumerate(DEFINITIONS, 1):
            self.send(999, number, [definition])

    def send(self, client: int, number: int, commands: Sequence[dict[str, object]]) -> None:
        done = self.sequencer.sequence([batch(self.engine, client, number, commands)])
        self.blocks += done.blocks
        answer = done.answers[0]
        assert isinstance(answer, bytes)
        for part in decode_answer(answer).segments:
            self.told.append(
                Acknowledged(
                    client,
                    part.first_number,
                    part.command_count,
                    part.block_number,
                    part.first_command_sequence,
                    part.events.tobytes(),
                )
            )


@pytest.fixture(scope="module")
def tape() -> Tape:
    """Ten commands of a client, in batches that do not coincide with blocks."""
    made = Tape()
    commands = trading(8)
    for first in (0, 3, 6):
        made.send(CLIENT, first + 1, commands[first : first + 3])
    made.send(CLIENT, 10, commands[9:])
    return made


def only_problem(found: Comparison) -> str:
    assert found.problem_count == len(found.problems) == 1, found.problems
    return found.problems[0]


def test_a_chain_with_all_answered_commands_has_no_problems(tape: Tape) -> None:
    found = compare(tape.blocks, tape.told)

    assert found.problems == []
    assert (found.blocks, found.commands, found.answered, found.forgotten) == (len(tape.blocks), 13, 13, 0)


def test_a_lost_answer_is_reported(tape: Tape) -> None:
    shorter = compare(tape.blocks[:-1], tape.told)

    assert only_problem(shorter) == (
        f"Numbers 10 to 10 of client {CLIENT:x} were answered with block {tape.blocks[-1].number}, "
        "which is not in the store."
    )


def test_a_command_in_another_block_than_answered_is_reported(tape: Tape) -> None:
    last = tape.told[-1]._replace(block=1)

    assert "answered with block 1, which does not contain them" in only_problem(compare(tape.blocks, [last]))


def test_a_doubled_command_is_reported(tape: Tape) -> None:
    again = Tape()
    again.send(CLIENT, 1, trading(0))
    again.engine.clients.known[CLIENT] = Client(0, 1)  # the engine forgets the second command
    again.send(CLIENT, 2, trading(0)[1:])

    assert only_problem(compare(again.blocks, again.told[:-1])).endswith(f"number 2 of client {CLIENT:x} again.")


def test_a_number_that_was_left_out_is_reported() -> None:
    gap = Tape()
    gap.engine.clients.known[CLIENT] = Client(0, 4)
    gap.send(CLIENT, 5, trading(0))

    assert only_problem(compare(gap.blocks, [])).endswith(f"number 5 of client {CLIENT:x} though 1 was next.")


def test_events_and_sequences_that_differ_from_the_answer_are_reported(tape: Tape) -> None:
    last = tape.told[-1]
    events = last.events[:8] + b"\xff" + last.events[9:]

    assert "other events" in only_problem(compare(tape.blocks, [last._replace(events=events)]))
    found = compare(tape.blocks, [last._replace(command_sequence=last.command_sequence + 1)])
    assert "the chain has" in only_problem(found)


def test_an_answer_that_came_twice_is_reported(tape: Tape) -> None:
    assert "were answered twice" in only_problem(compare(tape.blocks, [*tape.told, tape.told[-1]]))


def test_commands_answered_as_applied_earlier_must_be_in_the_chain(tape: Tape) -> None:
    forgotten = tape.told[-1]._replace(block=0, command_sequence=0, events=b"")

    assert compare(tape.blocks, [forgotten]).forgotten == 1
    assert "applied earlier, but are not in the chain" in only_problem(compare(tape.blocks[:-1], [forgotten]))


def test_the_longest_gap_is_between_consecutive_answers() -> None:
    assert longest_gap([]) == longest_gap([3.0]) == (0.0, 0.0)
    assert longest_gap([1.0, 1.5, 4.0, 4.1]) == (2.5, 1.5)


def test_an_outage_ends_with_the_first_answer_after_its_remedy() -> None:
    answers = [
        Answer(at_s, "") for at_s in (0.9, 1.1, 4.0, 9.0)
    ]  # the answer at 1.1 was in flight when its engine was killed
    outages = [Outage("restart", 1.0, 1.5), Outage("promotion", 5.0, 6.0), Outage("restart", 10.0, 11.0)]

    assert outage_lengths(outages, answers, [Fault(5.5, 5.6)]) == {
        "promotion": Lengths(1, 4.0, 4.0),
        "restart": Lengths(1, 3.0, 3.0),
        "restart, undisturbed": Lengths(1, 3.0, 3.0),
    }


def test_the_result_lists_the_problems() -> None:
    result = Result(seed=5, problems=["Something is lost."])

    assert not result.ok
    assert json.loads(json.dumps(result.form()))["problems"] == ["Something is lost."]
    assert "PROBLEM: Something is lost." in table(result)


def test_a_wait_ends_when_its_condition_holds_or_at_its_deadline() -> None:
    found = iter([False, False, True])

    assert asyncio.run(comes_true(lambda: next(found), within_s=60.0, poll_s=0.0))
    assert not asyncio.run(comes_true(lambda: False, within_s=0.01, poll_s=0.001))


def has_no_problems(kills: int, tmp_path: Path, seed: int) -> None:
    file = tmp_path / "result.json"
    arguments = ["--kills", str(kills), "--spare", "2", "--seed", str(seed), "--json", str(file)]
    run = subprocess.run(
        [sys.executable, "-m", "scripts.torture", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, f"seed {seed}\n{run.stdout}\n{run.stderr}"
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["ok"] is True
    assert result["kills"] == sum(count for kind, count in result["disturbances"].items() if kind.startswith("kill"))
    assert result["kills"] == kills
    assert result["commands_in_chain"] - len(DEFINITIONS) == result["commands_answered"] > 0


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_with_three_kills_has_no_problems(tmp_path: Path, seed: int) -> None:
    has_no_problems(3, tmp_path, seed)


@pytest.mark.processes
@pytest.mark.timeout(600)
@pytest.mark.acceptance("a dozen kills of any process under load, with frozen processes and cut connections")
def test_a_run_with_a_dozen_kills_has_no_problems(tmp_path: Path, seed: int) -> None:
    has_no_problems(12, tmp_path, seed)


def test_every_log_event_and_sentence_that_the_harness_looks_for_is_in_the_code() -> None:
    found = {text for room in ("matching", "settlement") for text in strings_in(ROOT / room)}
    for mark in exchange._LOG_EVENTS.values():
        event = re.fullmatch(r"event=(['\"])(.*)\1", mark)
        assert event, mark
        assert event[2] in found, mark
    for sentence in (
        exchange._NO_LEADER,
        exchange._IS_LED,
        exchange._OVERRULED,
        exchange._LACKS_BLOCKS,
        exchange._MOVE_LOG,
    ):
        assert any(sentence in text for text in found), sentence


def strings_in(folder: Path) -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {node.value for node in nodes if isinstance(node.value, str)}
