"""Alarms: raised immediately, cleared after a delay, written when the database is available."""

import threading
from collections.abc import Callable, Collection
from datetime import datetime

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY, CollectorRegistry
from structlog.testing import capture_logs

from settlement.alarms import records, worker_alarms
from settlement.alarms.rules import OF_SETTLEMENT, Kind, Severity, Signal
from settlement.alarms.worker_alarms import CLEAR_AFTER_S, UPDATE_INTERVAL_S, Alarms, StoredAlarms
from settlement.errors import ChainBroken, GapUnfilled, StoreDamaged
from settlement.models import Alarm
from settlement.worker_status import WorkerStatus
from tests.matching.small_exchange import until
from tests.settlement.alarms.statuses import QUIET, quiet
from tests.settlement.fakes import FakeClock


@pytest.fixture
def watch(clock: FakeClock) -> Alarms:
    return Alarms(clock)


def rows() -> list[tuple[str, str, bool]]:
    """(kind, severity, raised), ordered by kind, oldest first."""
    return [(row.kind, row.severity, row.cleared_at is None) for row in Alarm.objects.order_by("kind", "id")]


def shown(watch: Alarms) -> set[tuple[str, str]]:
    """The raised alarms as exported to Prometheus."""
    (gauge,) = watch.collect()
    assert {(sample.labels["kind"], sample.labels["severity"]) for sample in gauge.samples} == {
        (kind, severity) for kind in OF_SETTLEMENT for severity in Severity
    }
    return {(sample.labels["kind"], sample.labels["severity"]) for sample in gauge.samples if sample.value == 1}


def test_the_longest_kind_fits_its_column() -> None:
    field = Alarm._meta.get_field("kind")
    assert max(map(len, Kind)) <= (field.max_length or 0)


def test_a_level_is_raised_once_and_clears_by_itself(db: None, watch: Alarms, clock: FakeClock) -> None:
    with capture_logs() as lines:
        for _ in range(10):
            watch.observe(quiet(block_lag=5_000))
        assert watch.write()
        assert rows() == [("lag", "warning", True)]
        assert shown(watch) == {("lag", "warning")}
        watch.observe(QUIET)
        clock.sleep(CLEAR_AFTER_S)
        watch.observe(QUIET)
        assert watch.write()
    assert rows() == [("lag", "warning", False)]
    assert shown(watch) == set()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("alarm.warning", "warning"),
        ("alarm.cleared", "info"),
    ]


def test_a_condition_that_comes_and_goes_is_one_alarm(db: None, watch: Alarms, clock: FakeClock) -> None:
    for _ in range(20):
        watch.observe(quiet(engine_halted=True))
        clock.sleep(CLEAR_AFTER_S / 2)
        watch.observe(QUIET)
        clock.sleep(CLEAR_AFTER_S / 2)
    assert watch.write()
    assert rows() == [("engine_halted", "critical", True)]


def test_an_unknown_condition_neither_raises_nor_clears(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.observe(quiet(block_lag=5_000))
    for _ in range(3):
        clock.sleep(CLEAR_AFTER_S)
        watch.observe(WorkerStatus())
    assert shown(watch) == {("lag", "warning")}


def test_an_alarm_becomes_critical_at_once_and_a_warning_again_after_a_delay(
    db: None, watch: Alarms, clock: FakeClock
) -> None:
    watch.observe(quiet(block_lag=5_000))
    watch.observe(quiet(block_lag=20_000))
    assert shown(watch) == {("lag", "critical")}
    watch.observe(quiet(block_lag=5_000))
    assert shown(watch) == {("lag", "critical")}
    clock.sleep(CLEAR_AFTER_S)
    watch.observe(quiet(block_lag=5_000))
    assert shown(watch) == {("lag", "warning")}
    assert watch.write()
    assert rows() == [("lag", "warning", True)]


def test_an_acknowledgement_of_a_warning_ends_when_it_becomes_critical(
    db: None, watch: Alarms, clock: FakeClock
) -> None:
    watch.observe(quiet(block_lag=5_000))
    watch.write()
    row = Alarm.objects.get()
    assert records.acknowledge(row.id, "ann", row.raised_at)
    watch.observe(quiet(block_lag=6_000))
    clock.sleep(UPDATE_INTERVAL_S)
    watch.observe(quiet(block_lag=6_000))
    watch.write()
    assert Alarm.objects.get().acknowledged_by == "ann"
    watch.observe(quiet(block_lag=20_000))
    watch.write()
    row = Alarm.objects.get()
    assert (row.severity, row.acknowledged_by, row.acknowledged_at) == ("critical", None, None)


def test_an_acknowledgement_during_an_update_stays(
    db: None, watch: Alarms, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.observe(quiet(block_lag=5_000))
    watch.write()
    (row,) = Alarm.objects.all()
    found = records.raised_alarms

    class Meanwhile:
        """The rows; the alarm is acknowledged after it was read."""

        def __init__(self, kinds: Collection[Kind]) -> None:
            self._rows = found(kinds)

        def first(self) -> Alarm | None:
            read = self._rows.first()
            assert records.acknowledge(row.id, "ann", row.raised_at)
            return read

    monkeypatch.setattr(records, "raised_alarms", Meanwhile)
    records.raise_alarm(Signal(Kind.LAG, Severity.WARNING, "Still behind."), row.raised_at, row.raised_at)
    (row,) = Alarm.objects.all()
    assert (row.message, row.acknowledged_by) == ("Still behind.", "ann")


def test_of_two_concurrent_acknowledgements_the_first_is_kept(
    db: None, watch: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.observe(quiet(block_lag=5_000))
    watch.write()
    (row,) = Alarm.objects.all()

    class Meanwhile:
        """The alarm is acknowledged by another operator after it was read."""

        def __contains__(self, kind: str) -> bool:
            Alarm.objects.update(acknowledged_by="bob", acknowledged_at=row.raised_at)
            return False

    monkeypatch.setattr(records, "EVENTS", Meanwhile())
    assert not records.acknowledge(row.id, "ann", row.raised_at)
    assert Alarm.objects.get().acknowledged_by == "bob"


def test_nothing_is_written_while_nothing_changes_but_once_a_minute(
    db: None, watch: Alarms, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, puts = records.raise_alarm, list[Signal]()

    def noted(signal: Signal, raised_at: datetime, seen_at: datetime) -> None:
        puts.append(signal)
        put(signal, raised_at, seen_at)

    monkeypatch.setattr(records, "raise_alarm", noted)
    for second in range(121):
        watch.observe(quiet(block_lag=5_000 + second))
        watch.write()
        clock.sleep(1)
    assert [signal.message[:29] for signal in puts] == [
        f"The store is {5_000 + s} blocks behi"[:29] for s in (0, 60, 120)
    ]
    row = Alarm.objects.get()
    assert (row.last_seen_at - row.raised_at).total_seconds() == 120


def test_a_gap_stays_until_somebody_acknowledges_it(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.observe(quiet(gaps=1))
    clock.sleep(10 * CLEAR_AFTER_S)
    watch.observe(quiet(gaps=1))
    watch.write()
    assert rows() == [("gap", "warning", True)]
    assert records.acknowledge(Alarm.objects.get().id, "ann", Alarm.objects.get().raised_at)
    assert rows() == [("gap", "warning", False)]
    assert shown(watch) == {("gap", "warning")}
    watch.write()
    watch.observe(quiet(gaps=1))
    assert shown(watch) == set()
    watch.observe(quiet(gaps=2))
    watch.write()
    assert rows() == [("gap", "warning", False), ("gap", "warning", True)]


def test_gaps_that_follow_are_counted_in_the_same_alarm(db: None, watch: Alarms, clock: FakeClock) -> None:
    for gaps in range(1, 8):
        watch.observe(quiet(gaps=gaps))
    clock.sleep(UPDATE_INTERVAL_S)
    watch.observe(quiet(gaps=7))
    watch.write()
    assert rows() == [("gap", "warning", True)]
    assert "were missing 7 times" in Alarm.objects.get().message


def test_a_gap_that_is_not_filled_stays_critical_when_others_follow(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.observe(quiet(gaps=1))
    watch.raise_incident(GapUnfilled("Block 7 is missing."))
    watch.observe(quiet(gaps=2))
    clock.sleep(2 * CLEAR_AFTER_S)
    watch.observe(quiet(gaps=3))
    watch.write()
    row = Alarm.objects.get()
    assert (row.severity, row.cleared_at) == ("critical", None)
    assert "Block 7 is missing" in row.message


def test_acknowledging_a_level_leaves_it_raised(db: None, watch: Alarms) -> None:
    watch.observe(quiet(dead_letters=2))
    watch.write()
    row = Alarm.objects.get()
    assert records.acknowledge(row.id, "ann", row.raised_at)
    assert not records.acknowledge(row.id, "bob", row.raised_at)
    row = Alarm.objects.get()
    assert (row.acknowledged_by, row.cleared_at) == ("ann", None)


def test_a_new_process_continues_the_alarms_of_an_earlier_one(db: None, watch: Alarms, clock: FakeClock) -> None:
    watch.observe(quiet(block_lag=5_000, gaps=1, store_down_for_s=5.0))
    watch.write()
    later = Alarms(clock)
    with capture_logs() as lines:
        later.write()
        later.observe(quiet(store_down_for_s=6.0))
        clock.sleep(CLEAR_AFTER_S)
        later.observe(quiet(store_down_for_s=6.0))
        later.write()
    assert rows() == [("gap", "warning", True), ("lag", "warning", False), ("store_unavailable", "warning", True)]
    assert shown(later) == {("store_unavailable", "warning"), ("gap", "warning")}
    assert [line["event"] for line in lines] == ["alarm.cleared"]


@pytest.fixture
def restore_database(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the database unavailable until this is called."""

    def fail(*arguments: object) -> None:
        raise OperationalError("database is locked")

    for name in ("raise_alarm", "clear_alarm", "raised_alarms"):
        monkeypatch.setattr(records, name, fail)
    return monkeypatch.undo


def test_alarms_while_the_database_is_unavailable_are_written_when_it_answers(
    db: None, watch: Alarms, clock: FakeClock, restore_database: Callable[[], None]
) -> None:
    with capture_logs() as lines:
        watch.observe(quiet(store_down_for_s=2.0))
        assert not watch.write()
        watch.observe(quiet(store_down_for_s=61.0))
        assert not watch.write()
        watch.raise_incident(ChainBroken("Block 7 is broken."))
    assert [line["event"] for line in lines].count("alarm.write_failed") == 1
    assert shown(watch) == {("store_unavailable", "critical"), ("hash_mismatch", "critical")}
    watch.observe(QUIET)
    clock.sleep(CLEAR_AFTER_S)
    watch.observe(QUIET)
    restore_database()
    assert watch.write()
    assert rows() == [("hash_mismatch", "critical", True), ("store_unavailable", "critical", False)]


def test_a_database_that_is_unavailable_from_the_start_raises_no_error(
    db: None, watch: Alarms, restore_database: Callable[[], None]
) -> None:
    watch.observe(quiet(block_lag=5_000))
    assert not watch.write()
    assert shown(watch) == {("lag", "warning")}
    restore_database()
    watch.observe(quiet(block_lag=5_000))
    assert watch.write()


def test_of_a_long_outage_the_newest_changes_are_written(db: None, watch: Alarms, clock: FakeClock) -> None:
    for _ in range(500):
        watch.observe(quiet(block_lag=5_000))
        watch.observe(QUIET)
        clock.sleep(CLEAR_AFTER_S)
        watch.observe(QUIET)
    watch.write()
    assert 0 < len(rows()) <= 64
    assert not [row for row in rows() if row[2]]


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_alarms_and_the_metrics_of_this_process_show_them(clock: FakeClock) -> None:
    labels = {"kind": "lag", "severity": "warning"}
    with worker_alarms.running_alarms(clock) as watch:
        watch.observe(quiet(block_lag=5_000))
        until(lambda: rows() == [("lag", "warning", True)], "the alarm to be written")
        assert REGISTRY.get_sample_value("settlement_alarm", labels) == 1
    assert REGISTRY.get_sample_value("settlement_alarm", labels) is None
    assert "alarms" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.django_db(transaction=True)
def test_an_incident_is_written_before_settlement_ends(clock: FakeClock) -> None:
    with pytest.raises(StoreDamaged), worker_alarms.running_alarms(clock):
        raise StoreDamaged("Block 7 is not there.")
    assert rows() == [("store_damaged", "critical", True)]


def test_the_status_of_the_worker_raises_alarms(watch: Alarms) -> None:
    watch.observe(WorkerStatus())
    assert shown(watch) == set()
    watch.observe(
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
    watch.observe(quiet(block_lag=5_000))
    watch.write()
    records.raise_alarm(
        Signal(Kind.RECONCILIATION, Severity.CRITICAL, "They differ."), *[Alarm.objects.get().raised_at] * 2
    )

    def value(kind: str, severity: str) -> float | None:
        return registry.get_sample_value("settlement_alarm", {"kind": kind, "severity": severity})

    assert value("lag", "warning") == value("reconciliation", "critical") == 1
    assert value("lag", "critical") == value("spill", "warning") == 0


def test_without_a_database_there_are_no_alarm_metrics(db: None, restore_database: Callable[[], None]) -> None:
    assert list(StoredAlarms().collect()) == []


def test_old_alarms_are_swept_and_those_raised_stay(
    db: None, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_CLEARED_ALARMS", 3)
    watch = Alarms(clock)
    watch.observe(quiet(gaps=1))
    watch.write()
    for _ in range(6):
        watch.observe(quiet(gaps=1, block_lag=5_000))
        watch.observe(quiet(gaps=1))
        clock.sleep(CLEAR_AFTER_S)
        watch.observe(quiet(gaps=1))
    watch.write()
    assert len(rows()) == 7
    assert records.delete_old_alarms() == 3
    assert records.delete_old_alarms() == 0
    assert [row for row in rows() if row[2]] == [("gap", "warning", True)]
    assert len(rows()) == 4
