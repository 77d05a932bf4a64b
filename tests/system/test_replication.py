"""Two real engines without a write-ahead log, one following the other; and how engines start and refuse to start."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.client.command_lines import parse
from matching.core.blocks import Block
from matching.core.codes import EventKind
from matching.core.hashes import hash_value
from matching.feed.reader import Feed
from matching.transport import wire
from matching.workloads.btc_usd import BTC, DEFINITIONS
from tests.matching.small_exchange import deposit, trading, until
from tests.system.conftest import ROOT, Process, Start, store_identity
from tests.system.test_postgres import ends_well

pytestmark = pytest.mark.processes


def vector(name: str) -> Iterator[object]:
    with (ROOT / "tests" / "vectors" / f"{name}.commands.jsonl").open(encoding="utf-8") as lines:
        yield from (parse(line) for line in lines if line.strip())


def status(process: Process) -> dict[str, Any]:
    with Client(process.address("COMMAND")) as client:
        return client.status()


def published(process: Process, first: int, last: int) -> list[Block]:
    """Blocks `first` to `last` as this engine sends them."""
    found: dict[int, Block] = {}
    with closing(Feed(process.address("BLOCK"), process.address("RETRANSMIT"))) as feed:
        feed.request(first, last)

        def all_there() -> bool:
            found.update({block.number: block for block in feed.receive(0.1, 100)})
            return len(found) == last - first + 1

        until(all_there, "every block")
    return [found[number] for number in range(first, last + 1)]


def catch_up(follower: Process, leader: Process) -> dict[str, Any]:
    until(lambda: status(follower)["block"] == status(leader)["block"], "the follower to catch up")
    return status(follower)


def test_a_follower_publishes_the_same_bytes_and_neither_leaves_a_file(start: Start) -> None:
    leader = start("run_engine").wait_until_ready()
    with Client(leader.address("COMMAND")) as client:
        client.call(vector("every_rule_1"))
        follower = start("run_engine", "--follow", leader.address("COMMAND")).wait_until_ready()
        for name in ("every_rule_2", "every_rule_3"):
            client.call(vector(name))
        client.call([deposit(1, "once more"), {"command": "cancel_all", "account": 1}])
    copy, own = catch_up(follower, leader), status(leader)

    assert (own["role"], copy["role"]) == ("leader", "follower")
    assert (own["state_hash"], own["command_sequence"]) == (copy["state_hash"], copy["command_sequence"])
    blocks, copies = published(leader, 1, own["block"]), published(follower, 1, own["block"])
    assert [block.data for block in blocks] == [block.data for block in copies]
    trades = [sum(int((block.events["kind"] == EventKind.TRADE).sum()) for block in side) for side in (blocks, copies)]
    assert trades[0] == trades[1] > 100
    assert (leader.stop(), follower.stop(signal.SIGINT)) == (0, 0)
    for process in (leader, follower):
        assert not (process.data_dir / "wal").exists()
        assert len(process.lines) == 1
        assert [line for line in process.errors if "keys.not_used" not in line] == []


def test_a_follower_that_starts_late_joins_with_a_snapshot(start: Start) -> None:
    leader = start("run_engine", ENGINE_RING_BLOCKS="4").wait_until_ready()
    identity = store_identity(leader.data_dir)
    with Client(leader.address("COMMAND")) as client:
        client.call(DEFINITIONS)
        with closing(Feed(leader.address("BLOCK"), leader.address("RETRANSMIT"))) as feed:
            for number in range(4, 9):
                feed.confirm(wire.Confirmation(number - 1, hash_value(client.status()["state_hash"]), identity))
                client.call([deposit(1, f"{number}")])
    follower = start("run_engine", "--follow", leader.address("BLOCK")).wait_until_ready()
    assert catch_up(follower, leader)["state_hash"] == status(leader)["state_hash"]
    assert status(leader)["block"] == 8


def test_commands_in_the_write_ahead_log_survive_a_kill(start: Start) -> None:
    first = start("run_engine", ENABLE_LOCAL_WAL="true").wait_until_ready()
    with Client(first.address("COMMAND"), client_id=77) as client:
        client.call(DEFINITIONS)
        done = client.call(trading(200))
        state = client.state()
    first.stop(signal.SIGKILL)
    again = start("run_engine", data_dir=first.data_dir, ENABLE_LOCAL_WAL="true").wait_until_ready()
    with Client(again.address("COMMAND"), client_id=77, first_number=4) as client:
        assert client.state() == state
        assert client.call(trading(200)) == done


def test_a_damaged_write_ahead_log_is_refused_with_file_and_offset(start: Start) -> None:
    first = start("run_engine", "--input-log", "wal").wait_until_ready()
    with Client(first.address("COMMAND")) as client:
        client.call(DEFINITIONS)
    assert first.stop() == 0
    (file,) = (first.data_dir / "wal").iterdir()
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    second = start("run_engine", "--input-log", "wal", data_dir=first.data_dir)
    assert second.popen.wait(60) == 1
    second.stop()
    assert f"{file} is damaged at byte 0" in second.errors[-1]
    assert "Traceback" not in "".join(second.errors)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run_engine", "--input-log", "kafka"], "The Kafka input log needs KAFKA_BOOTSTRAP_SERVERS"),
        (
            ["run_engine", "--input-log", "kafka", "--follow", "ipc:///nobody"],
            "A replica that reads Kafka cannot follow an engine: remove --follow.",
        ),
        (["create_command_topic"], "KAFKA_BOOTSTRAP_SERVERS is not set: name at least one HOST:PORT."),
        (["run_engine", "--follow", "nonsense"], "nonsense is not an address to connect to"),
        (["run_engine", "--input-log", "paper"], "invalid choice: 'paper'"),
        (["submit", "no-such-file.jsonl"], "no-such-file.jsonl cannot be read: No such file or directory."),
        (["engine_status"], "No engine answers at tcp://127.0.0.1:"),
        (["engine_status", "--address", "nonsense"], "nonsense is not an address to connect to"),
    ],
)
def test_a_start_error_is_one_sentence(start: Start, arguments: list[str], sentence: str) -> None:
    process = start(*arguments)
    assert process.popen.wait(60) == 2
    process.stop()
    assert sentence in process.errors[-1]
    assert "Traceback" not in "".join(process.errors)


def test_submit_sends_a_file_and_prints_a_summary(start: Start, tmp_path: Path) -> None:
    leader = start("run_engine").wait_until_ready()
    file = tmp_path / "commands.jsonl"
    lines = [json.dumps(command) for command in [*DEFINITIONS, *trading(2000), BTC]]
    file.write_text("\n".join([*lines, "", "no command"]), encoding="utf-8")
    submit = start("submit", str(file), "--batch", "100", ENGINE_COMMAND_ADDRESS=leader.address("COMMAND"))
    assert submit.popen.wait(60) == 0
    submit.stop()
    summary = json.loads(submit.lines[-1])
    assert (summary["sent"], summary["accepted"], summary["rejected"]) == (2007, 2005, 2)
    assert 0 < summary["p50_us"] <= summary["p99_us"] < summary["seconds"] * 1e6
    told = start("engine_status", "--json", ENGINE_COMMAND_ADDRESS=leader.address("COMMAND"))
    assert told.popen.wait(60) == 0
    told.stop()
    assert json.loads(told.lines[-1])["command_sequence"] == 2006
    with urllib.request.urlopen(f"http://{leader.address('HTTP')}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert "engine_commands_total 2006.0" in metrics
    assert "engine_halted 0.0" in metrics


def test_engine_and_settlement_start_in_a_folder_with_nothing_but_empty_tables(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "nothing yet"
    folder.mkdir(mode=0o700)
    ends_well(start, "init_store", data_dir=folder)
    engine = start("run_engine", data_dir=folder).wait_until_ready()
    addresses = {f"ENGINE_{name}_ADDRESS": engine.address(name) for name in ("COMMAND", "BLOCK", "RETRANSMIT")}
    with Client(engine.address("COMMAND")) as client:
        client.call(vector("worked_example"))
    settlement = start(
        "run_settlement",
        "--until-block",
        str(status(engine)["block"]),
        data_dir=folder,
        SETTLEMENT_HTTP_ADDRESS=free_http_address(),
        **addresses,
    )
    until(lambda: settlement.popen.poll() is not None, "settlement", 120)
    assert settlement.popen.returncode == 0, settlement.errors
