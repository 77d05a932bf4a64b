"""Alarms: raised at once, cleared when the condition has been over for a while, written when the database lets them."""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY, CollectorRegistry
from structlog.testing import capture_logs

from matching.core.decimals import INT64_MAX
from settlement.alarms import records, worker_alarms
from settlement.alarms.rules import EVENTS, OF_SETTLEMENT, Kind, Severity, Signal, incident, levels
from settlement.alarms.worker_alarms import OVER_S, TELL_AGAIN_S, Alarms, StoredAlarms
from settlement.errors import ChainBroken, ChainConflict, GapUnfilled, Incident, StoreDamaged, StoreReplaced
from settlement.models import Alarm
from settlement.worker_status import WorkerStatus
from tests.matching.small_exchange import until
from tests.settlement.fakes import FakeClock

QUIET = WorkerStatus(
    block_lag=0,
    gaps=0,
    dead_letters=0,
    engine_halted=False,
    engine_silent_for_s=0.0,
    engine_clock_ahead_s=0.0,
    store_down_for_s=0.0,
    spill_blocks=0,
    spill_full=False,
    refused_replicas={},
)


def quiet(**other: Any) -> WorkerStatus:
    return replace(QUIET, **other)


@pytest.fixture
def watch(clock: FakeClock) -> Alarms:
    return Alarms(clock)


def rows() -> list[tuple[str, str, bool]]:
    """(kind, severity, raised), the oldest of a kind first."""
    return [(row.kind, row.severity, row.cleared_at is None) for row in Alarm.objects.order_by("kind", "id")]


def shown(watch: Alarms) -> set[tuple[str, str]]:
    """What Prometheus sees raised."""
    (gauge,) = watch.collect()
    assert {(sample.labels["kind"], sample.labels["severity"]) for sample in gauge.samples} == {
        (kind, severity) for kind in OF_SETTLEMENT for severity in Severity
    }
    return {(sample.labels["kind"], sample.labels["severity"]) for sample in gauge.samples if sample.value == 1}


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ({}, None),
        ({"block_lag": 1_000}, None),
        ({"block_lag": 1_001}, ("lag", "warning")),
        ({"block_lag": 10_001}, ("lag", "critical")),
        ({"dead_letters": 1}, ("dead_letters", "warning")),
        ({"engine_halted": True}, ("engine_halted", "critical")),
        ({"engine_silent_for_s": 5.0}, None),
        ({"engine_silent_for_s": 5.1}, ("engine_silent", "warning")),
        ({"engine_silent_for_s": 30.1}, ("engine_silent", "critical")),
        ({"engine_clock_ahead_s": 10.0}, None),
        ({"engine_clock_ahead_s": 10.1}, ("engine_clock_ahead", "warning")),
        ({"engine_clock_ahead_s": 3600.1}, ("engine_clock_ahead", "critical")),
        ({"engine_clock_ahead_s": INT64_MAX / 10**9}, ("engine_clock_ahead", "critical")),
        ({"store_down_for_s": 0.2}, None),
        ({"store_down_for_s": 2.0}, ("store_unavailable", "warning")),
        ({"store_down_for_s": 60.5}, ("store_unavailable", "critical")),
        ({"spill_blocks": 7}, ("spill", "warning")),
        ({"spill_blocks": 7, "spill_full": True}, ("spill", "critical")),
    ],
)
def test_what_is_an_alarm_and_how_grave(readings: dict[str, Any], told: tuple[str, str] | None) -> None:
    found = [signal for _, signal in levels(quiet(**readings)) if signal]
    assert [(signal.kind, signal.severity) for signal in found] == ([told] if told else [])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GapUnfilled("Block 7 is missing."), "gap"),
        (ChainBroken("Block 7 is broken."), "hash_mismatch"),
        (ChainConflict("Block 7 is another."), "chain_conflict"),
        (StoreDamaged("Block 7 is not there."), "store_damaged"),
        (StoreReplaced("The store ends with block 7."), "store_damaged"),
        (Incident("Block 7 is not in order."), "incident"),
    ],
)
def test_what_stops_settlement_is_critical_and_says_what_to_do(error: Incident, kind: str) -> None:
    told = incident(error)
    assert (told.kind, told.severity) == (kind, "critical")
    assert told.message.startswith(f"Settlement has stopped: {str(error)[:-1]}; ")
    assert told.message.endswith(".")


def test_an_engine_that_has_halted_is_quoted() -> None:
    said = dict(levels(quiet(engine_halted=True, engine_halted_reason="The ring is full.")))[Kind.ENGINE_HALTED]
    assert said is not None
    assert said.message.startswith("The engine accepts no commands: The ring is full; if its ring")


def test_a_clock_that_is_ahead_is_told_in_days_and_hours() -> None:
    said = dict(levels(quiet(engine_clock_ahead_s=90_061.4)))[Kind.ENGINE_CLOCK_AHEAD]
    assert said is not None
    assert said.message.startswith("The time of the newest block is 1 day, 1:01:01 after settlement's clock: compare")


def test_an_engine_that_is_silent_is_no_reason_to_promote_another_beside_it() -> None:
    said = dict(levels(quiet(engine_silent_for_s=31.0)))[Kind.ENGINE_SILENT]
    assert said is not None
    assert "did not answer a request for its status either" in said.message
    assert "promote a follower only if you are sure that the engine has ended and will not come back" in said.message


def test_the_longest_kind_fits_its_column() -> None:
    field = Alarm._meta.get_field("kind")
    assert max(map(len, Kind)) <= (field.max_length or 0)


def test_a_level_is_raised_once_and_clears_by_itself(db: None, watch: Alarms, clock: FakeClock) -> None:
    with capture_logs() as lines:
        for _ in range(10):
            watch.look(quiet(block_lag=5_000))
        assert watch.write()
        assert rows() == [("lag", "warning", True)]
        assert shown(watch) == {("lag", "warning")}
        watch.look(QUIET)
        clock.sleep(OVER_S)
        watch.look(QUIET)
        assert watch.write()
    assert rows() == [("lag", "warning", False)]
    assert shown(watch) == set()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("alarm.warning", "warning"),
        ("alarm.cleared", "info"),
    ]


def test_a_condition_that_comes_and_goes_is_one_alarm(db: None, watch: Alarms, clock: FakeClock) -> None:
    for _ in range(20):
        watch.look(quiet(engine_halted=True))
        clock.sleep(OVER_S / 2)
        watch.look(QUIET)
        clock.sleep(OVER_S / 2)
    assert watch.write()
    assert rows() == [("engine_halted", "critical", True)]


def test_what_is_not_known_neither_raises_nor_clears(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(block_lag=5_000))
    for _ in range(3):
        clock.sleep(OVER_S)
        watch.look(WorkerStatus())
    assert shown(watch) == {("lag", "warning")}


def test_an_alarm_worsens_at_once_and_eases_when_that_has_lasted(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(block_lag=5_000))
    watch.look(quiet(block_lag=20_000))
    assert shown(watch) == {("lag", "critical")}
    watch.look(quiet(block_lag=5_000))
    assert shown(watch) == {("lag", "critical")}
    clock.sleep(OVER_S)
    watch.look(quiet(block_lag=5_000))
    assert shown(watch) == {("lag", "warning")}
    assert watch.write()
    assert rows() == [("lag", "warning", True)]


def test_who_has_acknowledged_a_warning_has_not_acknowledged_worse(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(block_lag=5_000))
    watch.write()
    row = Alarm.objects.get()
    assert records.acknowledge(row.id, "ann", row.raised_at)
    watch.look(quiet(block_lag=6_000))
    clock.sleep(TELL_AGAIN_S)
    watch.look(quiet(block_lag=6_000))
    watch.write()
    assert Alarm.objects.get().acknowledged_by == "ann"
    watch.look(quiet(block_lag=20_000))
    watch.write()
    row = Alarm.objects.get()
    assert (row.severity, row.acknowledged_by, row.acknowledged_at) == ("critical", None, None)


def test_an_acknowledgement_in_the_middle_of_telling_stays(
    db: None, watch: Alarms, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look(quiet(block_lag=5_000))
    watch.write()
    (row,) = Alarm.objects.all()
    found = records.raised

    class Meanwhile:
        """The rows, and somebody who acknowledges one once it was read."""

        def __init__(self, kinds: Collection[Kind]) -> None:
            self._rows = found(kinds)

        def first(self) -> Alarm | None:
            read = self._rows.first()
            assert records.acknowledge(row.id, "ann", row.raised_at)
            return read

    monkeypatch.setattr(records, "raised", Meanwhile)
    records.put(Signal(Kind.LAG, Severity.WARNING, "Still behind."), row.raised_at, row.raised_at)
    (row,) = Alarm.objects.all()
    assert (row.message, row.acknowledged_by) == ("Still behind.", "ann")


def test_of_two_who_acknowledge_at_once_the_first_is_named(
    db: None, watch: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.look(quiet(block_lag=5_000))
    watch.write()
    (row,) = Alarm.objects.all()

    class Meanwhile:
        """What is asked about the row, once it was read."""

        def __contains__(self, kind: str) -> bool:
            Alarm.objects.update(acknowledged_by="bob", acknowledged_at=row.raised_at)
            return False

    monkeypatch.setattr(records, "EVENTS", Meanwhile())
    assert not records.acknowledge(row.id, "ann", row.raised_at)
    assert Alarm.objects.get().acknowledged_by == "bob"


def test_nothing_is_written_while_nothing_changes_but_once_a_minute(
    db: None, watch: Alarms, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, puts = records.put, list[Signal]()

    def noted(signal: Signal, raised_at: datetime, seen_at: datetime) -> None:
        puts.append(signal)
        put(signal, raised_at, seen_at)

    monkeypatch.setattr(records, "put", noted)
    for second in range(121):
        watch.look(quiet(block_lag=5_000 + second))
        watch.write()
        clock.sleep(1)
    assert [signal.message[:29] for signal in puts] == [
        f"The store is {5_000 + s} blocks behi"[:29] for s in (0, 60, 120)
    ]
    row = Alarm.objects.get()
    assert (row.last_seen_at - row.raised_at).total_seconds() == 120


def test_a_gap_stays_until_somebody_acknowledges_it(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(gaps=1))
    clock.sleep(10 * OVER_S)
    watch.look(quiet(gaps=1))
    watch.write()
    assert rows() == [("gap", "warning", True)]
    assert records.acknowledge(Alarm.objects.get().id, "ann", Alarm.objects.get().raised_at)
    assert rows() == [("gap", "warning", False)]
    assert shown(watch) == {("gap", "warning")}
    watch.write()
    watch.look(quiet(gaps=1))
    assert shown(watch) == set()
    watch.look(quiet(gaps=2))
    watch.write()
    assert rows() == [("gap", "warning", False), ("gap", "warning", True)]


def test_gaps_that_follow_are_counted_in_the_same_alarm(db: None, watch: Alarms, clock: FakeClock) -> None:
    for gaps in range(1, 8):
        watch.look(quiet(gaps=gaps))
    clock.sleep(TELL_AGAIN_S)
    watch.look(quiet(gaps=7))
    watch.write()
    assert rows() == [("gap", "warning", True)]
    assert "were missing 7 times" in Alarm.objects.get().message


def test_a_gap_that_nobody_fills_stays_critical_when_others_follow(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(gaps=1))
    watch.incident(GapUnfilled("Block 7 is missing."))
    watch.look(quiet(gaps=2))
    clock.sleep(2 * OVER_S)
    watch.look(quiet(gaps=3))
    watch.write()
    row = Alarm.objects.get()
    assert (row.severity, row.cleared_at) == ("critical", None)
    assert "Block 7 is missing" in row.message


def test_acknowledging_a_level_leaves_it_raised(db: None, watch: Alarms) -> None:
    watch.look(quiet(dead_letters=2))
    watch.write()
    row = Alarm.objects.get()
    assert records.acknowledge(row.id, "ann", row.raised_at)
    assert not records.acknowledge(row.id, "bob", row.raised_at)
    row = Alarm.objects.get()
    assert (row.acknowledged_by, row.cleared_at) == ("ann", None)


def test_a_new_process_goes_on_with_what_an_earlier_one_raised(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.look(quiet(block_lag=5_000, gaps=1, store_down_for_s=5.0))
    watch.write()
    later = Alarms(clock)
    with capture_logs() as lines:
        later.write()
        later.look(quiet(store_down_for_s=6.0))
        clock.sleep(OVER_S)
        later.look(quiet(store_down_for_s=6.0))
        later.write()
    assert rows() == [("gap", "warning", True), ("lag", "warning", False), ("store_unavailable", "warning", True)]
    assert shown(later) == {("store_unavailable", "warning"), ("gap", "warning")}
    assert [line["event"] for line in lines] == ["alarm.cleared"]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The database is away until this is called."""

    def fail(*arguments: object) -> None:
        raise OperationalError("database is locked")

    for name in ("put", "clear", "raised"):
        monkeypatch.setattr(records, name, fail)
    return monkeypatch.undo


def test_what_happens_while_the_database_is_away_is_written_when_it_is_back(
    db: None, watch: Alarms, clock: FakeClock, away: Callable[[], None]
) -> None:
    with capture_logs() as lines:
        watch.look(quiet(store_down_for_s=2.0))
        assert not watch.write()
        watch.look(quiet(store_down_for_s=61.0))
        assert not watch.write()
        watch.incident(ChainBroken("Block 7 is broken."))
    assert [line["event"] for line in lines].count("alarm.write_failed") == 1
    assert shown(watch) == {("store_unavailable", "critical"), ("hash_mismatch", "critical")}
    watch.look(QUIET)
    clock.sleep(OVER_S)
    watch.look(QUIET)
    away()
    assert watch.write()
    assert rows() == [("hash_mismatch", "critical", True), ("store_unavailable", "critical", False)]


def test_a_database_that_is_away_from_the_start_raises_nothing(
    db: None, watch: Alarms, away: Callable[[], None]
) -> None:
    watch.look(quiet(block_lag=5_000))
    assert not watch.write()
    assert shown(watch) == {("lag", "warning")}
    away()
    watch.look(quiet(block_lag=5_000))
    assert watch.write()


def test_a_long_absence_is_remembered_in_part_and_ends_as_it_was(db: None, watch: Alarms, clock: FakeClock) -> None:
    for _ in range(500):
        watch.look(quiet(block_lag=5_000))
        watch.look(QUIET)
        clock.sleep(OVER_S)
        watch.look(QUIET)
    watch.write()
    assert 0 < len(rows()) <= 64
    assert not [row for row in rows() if row[2]]


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_alarms_and_the_metrics_of_this_process_show_them(clock: FakeClock) -> None:
    labels = {"kind": "lag", "severity": "warning"}
    with worker_alarms.kept(clock) as watch:
        watch.look(quiet(block_lag=5_000))
        until(lambda: rows() == [("lag", "warning", True)], "the alarm to be written")
        assert REGISTRY.get_sample_value("settlement_alarm", labels) == 1
    assert REGISTRY.get_sample_value("settlement_alarm", labels) is None
    assert "alarms" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.django_db(transaction=True)
def test_what_ends_settlement_is_written_before_the_end(clock: FakeClock) -> None:
    with pytest.raises(StoreDamaged), worker_alarms.kept(clock):
        raise StoreDamaged("Block 7 is not there.")
    assert rows() == [("store_damaged", "critical", True)]


def test_what_the_worker_reports_is_looked_at(watch: Alarms) -> None:
    watch.look(WorkerStatus())
    assert shown(watch) == set()
    watch.look(
        WorkerStatus(
            block_lag=20_000,
            gaps=1,
            dead_letters=2,
            engine_halted=True,
            engine_halted_reason="It is full.",
            engine_silent_for_s=31.0,
            engine_clock_ahead_s=11.0,
            store_down_for_s=61.0,
            spill_blocks=9,
            spill_full=True,
        )
    )
    assert shown(watch) == {
        ("lag", "critical"),
        ("gap", "warning"),
        ("dead_letters", "warning"),
        ("engine_halted", "critical"),
        ("engine_silent", "critical"),
        ("engine_clock_ahead", "warning"),
        ("store_unavailable", "critical"),
        ("spill", "critical"),
    }


def test_another_process_shows_what_the_database_holds(db: None, watch: Alarms, clock: FakeClock) -> None:
    registry = CollectorRegistry()
    registry.register(StoredAlarms())
    watch.look(quiet(block_lag=5_000))
    watch.write()
    records.put(Signal(Kind.RECONCILIATION, Severity.CRITICAL, "They differ."), *[Alarm.objects.get().raised_at] * 2)

    def value(kind: str, severity: str) -> float | None:
        return registry.get_sample_value("settlement_alarm", {"kind": kind, "severity": severity})

    assert value("lag", "warning") == value("reconciliation", "critical") == 1
    assert value("lag", "critical") == value("spill", "warning") == 0


def test_metrics_without_a_database_are_the_others(db: None, away: Callable[[], None]) -> None:
    assert list(StoredAlarms().collect()) == []


def test_old_alarms_are_swept_and_those_raised_stay(
    db: None, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT", 3)
    watch = Alarms(clock)
    watch.look(quiet(gaps=1))
    watch.write()
    for _ in range(6):
        watch.look(quiet(gaps=1, block_lag=5_000))
        watch.look(quiet(gaps=1))
        clock.sleep(OVER_S)
        watch.look(quiet(gaps=1))
    watch.write()
    assert len(rows()) == 7
    assert records.sweep() == 3
    assert records.sweep() == 0
    assert [row for row in rows() if row[2]] == [("gap", "warning", True)]
    assert len(rows()) == 4


def test_events_and_levels_are_told_apart() -> None:
    assert not EVENTS & {kind for kind, _ in levels(QUIET)}
    assert EVENTS | {kind for kind, _ in levels(QUIET)} == set(OF_SETTLEMENT)


def test_a_replica_that_is_refused_is_named_until_it_was_started_again() -> None:
    refused = quiet(refused_replicas={"tcp://here:1": "Block 7 came again with other bytes."})
    (told,) = [signal for _, signal in levels(refused) if signal]
    assert (told.kind, told.severity) == (Kind.REPLICA_REFUSED, Severity.CRITICAL)
    assert "Settlement ignores tcp://here:1: Block 7 came again with other bytes. Stop that replica" in told.message
    assert not [signal for _, signal in levels(QUIET) if signal]
