"""The benchmarks of the whole: what they start they end, and what they tell is what was done. No time is judged."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from exchange_site import bench_processes, bench_report, pipeline_bench
from exchange_site.bench_processes import BenchError
from tests.matching.small_exchange import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.processes
def test_the_pipeline_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    found = pipeline_bench.measure(3000, 100, seed=1, parent=tmp_path, say=said.append).document()
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
def test_stopped_early_it_ends_its_processes(tmp_path: Path) -> None:
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
    assert (process.returncode, out, errors) == (130, "", "CommandError: Stopped.\n")
    assert list(tmp_path.iterdir()) == []
    mark = str(tmp_path).encode()
    left = [one for one in Path("/proc").glob("[0-9]*") if one.name != str(os.getpid()) and mark in environment(one)]
    assert left == []


def environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or is another account's
        return b""


@pytest.mark.parametrize("arguments", [["--commands", "0"], ["--samples", "0"], ["--folder", "missing"]])
def test_bad_options_are_exit_2(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("bench_pipeline", *arguments)
    assert raised.value.returncode == 2


def measured(run: bench_report.Run) -> bench_report.Document:
    """As a benchmark's process would print it."""
    if run.command[0] == "bench_pipeline":
        return {
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
    monkeypatch.setattr(bench_report, "_document", measured)
    out = StringIO()
    call_command("bench", __file__, "--output", str(tmp_path / "results"), stdout=out, stderr=StringIO())
    table = out.getvalue().rstrip("\n")
    for title in ("hot book", "deep book", "2,000,000 resting orders", "test_bench"):
        assert f"| {title} | 2,000,000 | 1,000,000 | 3,000,000 | 4,000,000 | 5 | 6 | 7 |" in table
    assert "| trades projected, every table | 77 | 1.00 |" in table
    assert "| trades projected, orders that are taken at once | 88 | 1.00 |" in table
    assert (tmp_path / "results" / "bench.md").read_text().rstrip("\n") == table
    document = json.loads((tmp_path / "results" / "bench.json").read_text())
    assert len(document["kernel"]) == 5
    assert document["machine"]["cpus"] >= 1


def test_each_benchmark_prints_what_the_report_reads() -> None:
    few = ("--commands", "200", "--resting", "50", "--repetitions", "1")
    document = bench_report._document(bench_report.Run("tiny", ("bench_engine", "--workload", "hot", *few)))
    assert document.keys() >= measured(bench_report.KERNEL[0]).keys()
    pipeline = pipeline_bench.Pipeline(
        1,
        2,
        pipeline_bench.Throughput(1, 1, 1, 1, 1.0, 1.0, 1.0, {}, {}),
        pipeline_bench.Throughput(1, 1, 1, 1, 1.0, 1.0, 1.0, {}, {}),
        pipeline_bench.Latency(1, 1.0, 1.0, 1.0, 1.0),
    ).document()
    assert pipeline.keys() >= measured(bench_report.PIPELINE).keys()


def test_a_benchmark_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench_report, "KERNEL", (bench_report.Run("none", ("bench_engine", "--commands", "0")),))
    with pytest.raises(BenchError, match="none: bench_engine"):
        bench_report.measure([], lambda line: None)
    with pytest.raises(CommandError) as raised:
        call_command("bench", str(tmp_path / "missing.npy"))
    assert raised.value.returncode == 2


@pytest.mark.processes
def test_a_process_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    running = bench_processes.Exchange({**os.environ, "ENGINE_HTTP_ADDRESS": "127.0.0.1:1"}, tmp_path)
    running.environment["SETTLEMENT_HTTP_ADDRESS"] = "127.0.0.1:1"
    running.start("engine", "-c", "raise SystemExit('no room')")
    with pytest.raises(BenchError, match="no room: engine ended with status 1"):
        running.wait_until_ready()
    running.stop()
