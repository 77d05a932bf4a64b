"""Generated workloads match their descriptions, and bench_engine counts their events."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from benchmarks.kernel import engine_bench
from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import CommandKind, EventKind, Reason
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.workloads import generated

FLOW = np.dtype(
    [
        ("kind", "u1"),
        ("side", "u1"),
        ("user", "<u4"),
        ("oid", "<u8"),
        ("price", "<i8"),
        ("qty", "<i8"),
        ("more", "<u8"),
    ]
)


def events_of(workload: generated.Workload, block: int = 512) -> tuple[Engine, Records]:
    engine = workload.engine()
    found = []
    for batch in workload.stream.batches(block):
        engine.check(batch.commands, batch.texts)
        applied = engine.apply(generated.request_of(len(batch.commands)), batch.commands, batch.texts, 0)
        found.append(applied.events)
    return engine, np.concatenate(found)


@pytest.mark.parametrize(
    ("name", "width_ticks", "instruments", "resting"),
    [("hot", 60, 1, 500), ("deep", 20_010, 1, 3000), ("hot", 60, 5, 2000)],
)
def test_a_workload_has_the_shape_of_its_description(
    name: str, width_ticks: int, instruments: int, resting: int
) -> None:
    workload = generated.generate(name, 6000, seed=3, instruments=instruments, accounts=50, resting=resting)
    before = workload.engine()
    assert before.open_order_count == pytest.approx(resting, rel=0.02)
    engine, events = events_of(workload)
    assert engine.open_order_count == pytest.approx(resting, rel=0.1)
    assert len({order.symbol for order in engine.open_orders()}) == instruments
    prices = np.array([order.price for order in engine.open_orders()])
    assert width_ticks * 0.6 < max(prices.max() - 100_000, 100_000 - prices.min()) <= width_ticks
    kinds = workload.stream.commands["kind"]
    assert 0.3 < (kinds == CommandKind.CANCEL).mean() < 0.5
    assert 0.06 < (events["kind"] == EventKind.TRADE).sum() / len(kinds) < 0.4
    refused = events[events["kind"] == EventKind.REJECTED]
    assert len(refused) < 0.05 * len(kinds)
    assert set(refused["reason"]) <= {Reason.UNKNOWN_ORDER}


def test_a_varied_workload_has_icebergs_and_orders_that_wait_for_a_trigger() -> None:
    workload = generated.generate("varied", 6000, seed=3, accounts=50, resting=500)
    engine, events = events_of(workload)
    assert engine.open_order_count == pytest.approx(500, rel=0.1)
    hides = sum(order.visible is not None and order.visible < order.remaining for order in engine.open_orders())
    assert hides > 10
    assert len(engine.pending_orders()) > 10
    assert (events["kind"] == EventKind.ORDER_TRIGGERED).sum() > 20
    refused = events[events["kind"] == EventKind.REJECTED]
    assert len(refused) < 0.05 * len(workload.stream)
    assert set(refused["reason"]) <= {Reason.UNKNOWN_ORDER, Reason.WOULD_TRIGGER_IMMEDIATELY}


def test_the_same_seed_gives_the_same_commands() -> None:
    one, same, other = (generated.generate("hot", 3000, seed=seed, resting=300) for seed in (1, 1, 2))
    assert one.stream.commands.tobytes() == same.stream.commands.tobytes()
    assert one.stream.texts == same.stream.texts
    assert one.stream.commands.tobytes() != other.stream.commands.tobytes()


def test_client_order_ids_are_numbers_and_differ() -> None:
    workload = generated.generate("hot", 2000, resting=100)
    names = []
    for stream in (workload.setup[1], workload.stream):
        texts = stream.texts
        names += [texts[at : at + generated.NAME_BYTES] for at in range(0, len(texts), generated.NAME_BYTES)]
    assert len(set(names)) == len(names) > 1000
    assert all(name.isdigit() for name in names)


def flow(*rows: tuple[int, int, int, int, int, int]) -> Records:
    return np.array([(*row, 0) for row in rows], FLOW)


def saved(folder: Path, records: object) -> Path:
    file = folder / "flow.npy"
    np.save(file, np.asarray(records))
    return file


def test_order_flow_trades_without_self_trade_prevention(tmp_path: Path) -> None:
    rows = flow(
        (1, 1, 7, 10, 100, 5),
        (1, 1, 8, 11, 100, 5),
        (1, 0, 8, 12, 101, 7),  # takes 5 lots of user 7 and 2 of its own
        (2, 1, 8, 11, 0, 0),
        (3, 0, 7, 13, 100, 9),
        (2, 1, 8, 11, 0, 0),  # too late
    )
    engine, events = events_of_file(saved(tmp_path, rows))
    assert events["quantity"][events["kind"] == EventKind.TRADE].tolist() == [5, 2]
    assert [int(reason) for reason in events["reason"] if reason] == [Reason.USER, Reason.IOC, Reason.UNKNOWN_ORDER]
    assert engine.open_order_count == 0


def events_of_file(file: Path) -> tuple[Engine, Records]:
    """Like `events_of`, without validation: orders in a file have hashes without strings, which it refuses."""
    workload = generated.load(file)
    engine = workload.engine()
    blocks = [
        engine.apply(generated.request_of(len(batch.commands)), batch.commands, batch.texts, 0)
        for batch in workload.stream.batches(2)
    ]
    return engine, np.concatenate([block.events for block in blocks])


def test_command_records_name_orders_by_their_place(tmp_path: Path) -> None:
    commands = np.zeros(3, layout.COMMAND)
    commands["kind"] = [CommandKind.ORDER, CommandKind.ORDER, CommandKind.CANCEL]
    commands["account"] = [1, 2, 2]
    commands["instrument"] = [1, 0, 0]
    commands["price"] = commands["quantity"] = [5, 5, 0]
    commands["order_id"] = [0, 0, 2]
    engine, events = events_of_file(saved(tmp_path, commands))
    assert events["reason"].tolist() == [Reason.NONE, Reason.NONE, Reason.USER]
    assert [(order.symbol, order.account) for order in engine.open_orders()] == [("B1-Q", 1)]


def bad_records() -> list[object]:
    wrong_kind, no_order, side = flow((4, 0, 1, 1, 1, 1)), flow((2, 0, 1, 1, 0, 0)), flow((1, 2, 1, 1, 1, 1))
    command = np.zeros(1, layout.COMMAND)
    many = command.copy()
    many["kind"], many["instrument"] = 1, 1 << 31
    strange = command.copy()
    strange["kind"], strange["order_type"] = 1, 200
    floats = flow((1, 0, 1, 1, 1, 1)).astype([(name, "f8") for name in FLOW.names or ()])
    stray = flow((1, 0, 1, 1, 1, 1), (2, 0, 1, 9, 0, 0))
    return [np.zeros(3), np.zeros(0, FLOW), wrong_kind, no_order, side, command, many, strange, floats, stray]


@pytest.mark.parametrize("records", bad_records())
def test_a_file_without_order_flow_is_refused(tmp_path: Path, records: object) -> None:
    with pytest.raises(BadFile, match=r"^[^\n]*\.$"):
        generated.load(saved(tmp_path, records))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04zip", b"\x93NUMPY\x01\x00\x10\x00{'descr': 1}\n"])
def test_a_file_that_is_not_an_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "flow.npy").write_bytes(content)
    with pytest.raises(BadFile):
        generated.load(tmp_path / "flow.npy")


def test_the_benchmark_counts_events() -> None:
    workload = generated.generate("hot", 2000, resting=200)
    _, events = events_of(workload, engine_bench.BLOCK_COMMANDS)
    traded = events[events["kind"] == EventKind.TRADE]
    document = engine_bench.measure(workload, 2).document()
    assert document["trades"] == len(traded)
    assert document["traded_quantity"] == traded["quantity"].sum()
    assert document["events"] == len(events)
    assert document["repetitions"] == 2
    speed = document["commands_per_second"]
    assert 0 < speed["min"] <= speed["median"] <= speed["max"]


def test_runs_with_different_results_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = generated.generate("hot", 100, resting=50)
    monkeypatch.setattr(engine_bench, "apply_timed", lambda *_: engine_bench.Run(1.0, 1.0, "another"))
    with pytest.raises(engine_bench.NotDeterministic):
        engine_bench.measure(workload, 1)


class TestCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("bench_engine", "--commands", "500", "--repetitions", "1", *arguments, stdout=out)
        return out.getvalue()

    def test_prints_a_line_for_each_workload(self) -> None:
        lines = self.run("--workload", "hot", "--workload", "deep", "--resting", "100").splitlines()
        assert [line.partition(":")[0] for line in lines] == ["hot", "deep"]
        assert all("commands/s (min " in line and " trades of " in line for line in lines)

    def test_prints_one_document(self, tmp_path: Path) -> None:
        file = saved(tmp_path, flow((1, 1, 7, 10, 100, 5), (3, 0, 8, 11, 100, 4)))
        document = json.loads(self.run("--workload", str(file), "--json"))
        assert document["workload"] == "flow"
        assert (document["commands"], document["trades"], document["traded_quantity"]) == (2, 1, 4)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--workload", "missing.npy"],
            ["--workload", __file__],
            ["--instruments", "20", "--accounts", "10"],
        ],
    )
    def test_bad_options_are_exit_2(self, arguments: list[str]) -> None:
        with pytest.raises(CommandError) as raised:
            self.run(*arguments)
        assert raised.value.returncode == 2
