"""Benchmarks stop the processes they start and report what was measured. Speed is not checked."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from benchmarks import pipeline_bench, processes, report, settled_blocks
from benchmarks.delays import cascade_bench
from benchmarks.processes import BenchError
from benchmarks.settled_blocks import WORKLOADS
from scripts.services import Running
from settlement.receive.chain import stored
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session
from tests.matching.small_exchange import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.processes
def test_bench_pipeline_leaves_no_processes_and_files(tmp_path: Path) -> None:
    said: list[str] = []
    found = pipeline_bench.measure(3000, 100, store="sql", seed=1, parent=tmp_path, say=said.append).document()
    assert found["commands"] == 3000
    assert 300 < found["trades"] < 1500
    assert found["events"] > 3000
    assert 0 < found["seconds_answered"] <= found["seconds_durable"] <= found["seconds_projected"]
    assert found["latency"]["samples"] == 100
    assert found["latency"]["p50_ratio"] > 0
    assert list(tmp_path.iterdir()) == []
    assert found["trading"]["trades"] >= found["trading"]["commands"] // 2
    assert len(said) == 5


@pytest.mark.processes
def test_bench_cascade_measures_each_kind_of_large_command(tmp_path: Path) -> None:
    found = list(cascade_bench.measure(cascade_bench.KINDS, 200, 1, parent=tmp_path, say=lambda text: None))
    assert {one.kind: one.events for one in found} == {
        "stops": 402,
        "foks": 402,
        "sweep": 201,
        "cancel_all": 201,
        "freeze": 1,
    }
    for one in found:
        assert 0 < one.usual_ms[0] <= one.longest_ms[0]
        assert one.command_ms[0] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.processes
def test_an_interrupted_bench_pipeline_stops_its_processes(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "bench_pipeline", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: list(tmp_path.glob("*/engine.log")) or process.poll() is not None, "the engine's log", 120)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, errors) == (143, "", "CommandError: Stopped by SIGTERM.\n")
    assert list(tmp_path.iterdir()) == []
    mark = str(tmp_path).encode()
    left = [one for one in Path("/proc").glob("[0-9]*") if one.name != str(os.getpid()) and mark in environment(one)]
    assert left == []


def environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # the process has ended or belongs to another account
        return b""


@pytest.mark.parametrize("command", ["bench_pipeline", "bench_keys", "bench_floods", "bench_cascade", "bench_gateway"])
def test_a_missing_folder_is_exit_code_2(command: str) -> None:
    with pytest.raises(CommandError, match="missing is not one") as raised:
        call_command(command, "--folder", "missing")
    assert raised.value.returncode == 2


STORE_OPTIONS = ("--commands", "600", "--workload", "pairs")


def test_a_tiny_run_of_bench_store_prints_every_key() -> None:
    found = report._document(report.Run("tiny", ("bench_store", "--store", "sql", *STORE_OPTIONS)))
    assert found.keys() >= measured(report.STORES[0]).keys()
    assert (found["trades"], found["rows"]["settled_trades"]) == (300, 300)
    assert found["rows_a_trade"]["ledger_events"] > 4
    assert found["projected"]["requests"] > 0
    assert found["bare"] is None
    assert len(found["lookups_ms"]) == 4


@pytest.mark.services("cassandra")
def test_bench_store_drops_its_keyspace_and_refuses_an_existing_one(cassandra: Running) -> None:
    settled = f"bench_{os.getpid()}"
    environment = {"SCYLLA_PORT": str(cassandra.port), "SCYLLA_KEYSPACE": settled}
    session = Session(Access((cassandra.host,), cassandra.port, settled))
    code, out, _ = bench_store("--store", "scylla", "--json", *STORE_OPTIONS, environment=environment)
    assert code == 0
    found = json.loads(out)
    assert found["rows"]["settled_trades"] == found["trades"] == 300
    assert found["rows"].keys() >= {"trades_by_account", "orders_by_account", "balances", "bucket_trees"}
    assert found["ratio_to_bare"] > 0
    assert found["rows_a_request"] > 1
    assert found["bare"]["before"].keys() == {"1", "4", "8", "16"}
    assert not session.keyspaces().keys() & {settled, f"{settled}_bench"}
    session.run_plain(f"CREATE KEYSPACE {settled}_bench WITH replication = {session.access.replication}")
    try:
        code, out, errors = bench_store("--store", "scylla", *STORE_OPTIONS, environment=environment)
        assert (code, out) == (2, "")
        assert f"Keyspace {settled}_bench exists already" in errors
        assert f"{settled}_bench" in session.keyspaces()
    finally:
        session.run_plain(f"DROP KEYSPACE {settled}_bench")


def bench_store(*arguments: str, environment: dict[str, str]) -> tuple[int, str, str]:
    command = [sys.executable, "manage.py", "bench_store", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stdout, done.stderr


def test_an_unreachable_server_is_one_sentence_and_exit_code_2(free_port: Callable[[], int]) -> None:
    code, out, errors = bench_store("--store", "scylla", environment={"SCYLLA_PORT": str(free_port())})
    assert (code, out) == (2, "")
    assert "does not answer" in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--commands", "0"], "argument --commands: '0' is not a whole number from 1 to 100000000."),
        (["--seed", "-1"], f"argument --seed: '-1' is not a whole number from 0 to {2**63 - 1}."),
        (["--commands", "1"], ""),
    ],
)
def test_invalid_options_of_bench_store_are_one_sentence_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    code, out, errors = bench_store("--store", "sql", *arguments, environment={})
    assert (code, out) == (2, "")
    *usage, said = errors.splitlines()
    assert said.endswith(sentence)
    assert bool(usage) == bool(sentence)  # argparse also prints the usage


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_same_seed_makes_the_same_blocks_with_trades(workload: str) -> None:
    first, again = (settled_blocks.make(workload, 700, seed=3) for _ in range(2))
    assert [block.hash for block in first.stream] == [block.hash for block in again.stream]
    assert abs(first.commands - 700) <= 10
    assert sum(stored(block).trade_count for block in first.stream) > 50
    assert first.stream[0].number == first.setup[-1].number + 1


def measured(run: report.Run) -> report.Document:
    """The output of a benchmark's process."""
    if run.command[0] == "bench_store":
        speeds = ("commands_per_second_appended", "trades_per_second_projected", "rows_per_second_projected")
        ratio = {"rows_per_second_bare": 4000, "ratio_to_bare": 0.75} if "scylla" in run.command else {}
        nothing = {"rows_per_second_bare": None, "ratio_to_bare": None}
        looked_up = {"trades": 1000, "lookups_ms": {"get_trade_by_id": (1.5, 2.5)}}
        return dict.fromkeys(speeds, 3000) | nothing | ratio | looked_up
    if run.command[0] == "bench_pipeline":
        return {
            "store": run.command[2],
            "batch_commands": 512,
            "commands_per_second_answered": 1000,
            "commands_per_second_durable": 1000,
            "events_per_second_projected": 1000,
            **dict.fromkeys(("seconds_answered", "seconds_durable", "seconds_projected"), 1.0),
            "trades_per_second_projected": 77,
            "trading": {"trades_per_second_projected": 88, "seconds_projected": 1.0},
            "latency": dict.fromkeys(("p50_us", "p99_us", "bare_p50_us", "bare_p99_us", "p50_ratio", "p99_ratio"), 2.0),
        }
    speed = {"median": 2_000_000, "min": 1_000_000, "max": 3_000_000}
    cpu = {"median": 4_000_000, "min": 1, "max": 1}
    return {"commands_per_second": speed, "commands_per_cpu_second": cpu, "trades": 5, "events": 6, "resting_after": 7}


def test_the_report_is_a_table_and_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_document", measured)
    monkeypatch.setattr(report, "unavailable_reason", lambda: None)
    out = StringIO()
    call_command("bench", __file__, "--output", str(tmp_path / "results"), stdout=out, stderr=StringIO())
    table = out.getvalue().rstrip("\n")
    for title in ("hot book", "deep book", "2,000,000 resting orders", Path(__file__).stem):
        assert f"| {title} | 2,000,000 | 1,000,000 | 3,000,000 | 4,000,000 | 5 | 6 | 7 |" in table
    assert "| trades projected, every table | 77 | 1.00 |" in table
    assert "| trades projected, orders that are taken at once | 88 | 1.00 |" in table
    assert "settlement → scylla store, batches" in table
    assert "| store, sql, demo | 3,000 | 3,000 | 3,000 |  |  |" in table
    assert "| store, scylla, demo | 3,000 | 3,000 | 3,000 | 4,000 | 0.75 |" in table
    assert "| store, scylla, demo: get_trade_by_id | 1,000 | 1.5 | 2.5 |" in table
    assert (tmp_path / "results" / "bench.md").read_text().rstrip("\n") == table
    document = json.loads((tmp_path / "results" / "bench.json").read_text())
    assert len(document["kernel"]) == 5
    assert document["machine"]["cpus"] >= 1
    assert [row["title"] for row in document["stores"]][:2] == ["store, sql, demo", "store, sql, pairs"]


def test_scylla_is_skipped_by_name_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_document", measured)
    monkeypatch.setattr(report, "unavailable_reason", lambda: "ScyllaDB at nowhere does not answer.")
    said: list[str] = []
    found = report.measure([], said.append)
    assert said[0] == "skipping benchmarks of ScyllaDB and Cassandra: ScyllaDB at nowhere does not answer."
    assert "ScyllaDB or Cassandra was not measured: ScyllaDB at nowhere does not answer." in report.table(found)
    assert [row["title"] for row in found["stores"]] == [f"store, sql, {name}" for name in WORKLOADS]
    assert [row["title"] for row in found["pipelines"]] == ["pipeline, sql"]


def test_each_benchmark_prints_what_the_report_reads() -> None:
    few = ("--commands", "200", "--resting", "50", "--repetitions", "1")
    document = report._document(report.Run("tiny", ("bench_engine", "--workload", "hot", *few)))
    assert document.keys() >= measured(report.KERNEL[0]).keys()
    pipeline = pipeline_bench.Pipeline(
        "sql",
        1,
        2,
        pipeline_bench.Throughput(1, 1, 1, 1, 1.0, 1.0, 1.0, {}, {}),
        pipeline_bench.Throughput(1, 1, 1, 1, 1.0, 1.0, 1.0, {}, {}),
        pipeline_bench.Latency(1, 1.0, 1.0, 1.0, 1.0),
    ).document()
    assert pipeline.keys() >= measured(report.PIPELINES[0]).keys()


def test_a_benchmark_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "KERNEL", (report.Run("none", ("bench_engine", "--commands", "0")),))
    with pytest.raises(BenchError, match="none: bench_engine"):
        report.measure([], lambda line: None)
    with pytest.raises(CommandError) as raised:
        call_command("bench", str(tmp_path / "missing.npy"))
    assert raised.value.returncode == 2


@pytest.mark.processes
def test_a_process_that_ends_is_reported_with_its_last_output(tmp_path: Path) -> None:
    running = processes.Exchange({**os.environ, "ENGINE_HTTP_ADDRESS": "127.0.0.1:1"}, tmp_path)
    running.environment["SETTLEMENT_HTTP_ADDRESS"] = "127.0.0.1:1"
    running.start("engine", "-c", "raise SystemExit('no room')")
    with pytest.raises(BenchError, match="no room: engine ended with status 1"):
        running.wait_until_ready()
    running.stop()
