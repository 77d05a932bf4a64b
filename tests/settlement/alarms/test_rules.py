"""Each alarm has its thresholds, its severity and a message that says what to do."""

from typing import Any

import pytest

from matching.core.decimals import INT64_MAX
from settlement.alarms.rules import EVENTS, OF_SETTLEMENT, Kind, Severity, incident, levels
from settlement.errors import ChainBroken, ChainConflict, GapUnfilled, Incident, StoreDamaged, StoreReplaced
from tests.settlement.alarms.statuses import QUIET, quiet


@pytest.mark.parametrize(
    ("readings", "alarm"),
    [
        ({}, None),
        ({"block_lag": 1_000}, None),
        ({"block_lag": 1_001}, ("lag", "warning")),
        ({"block_lag": 10_001}, ("lag", "critical")),
        ({"dead_letters": 1}, ("dead_letters", "warning")),
        ({"engine_halted": True}, ("engine_halted", "critical")),
        ({"engine_silent_for_s": 5.0}, None),
        ({"engine_silent_for_s": 5.1}, ("engine_silent", "warning")),
        ({"engine_silent_for_s": 8.1}, ("engine_silent", "critical")),
        ({"engine_clock_ahead_s": 10.0}, None),
        ({"engine_clock_ahead_s": 10.1}, ("engine_clock_ahead", "warning")),
        ({"engine_clock_ahead_s": 3600.1}, ("engine_clock_ahead", "critical")),
        ({"engine_clock_ahead_s": INT64_MAX / 10**9}, ("engine_clock_ahead", "critical")),
        ({"store_down_for_s": 0.2}, None),
        ({"store_down_for_s": 2.0}, ("store_unavailable", "warning")),
        ({"store_down_for_s": 8.5}, ("store_unavailable", "critical")),
        ({"spill_blocks": 7}, ("spill", "warning")),
        ({"spill_blocks": 7, "spill_full": True}, ("spill", "critical")),
    ],
)
def test_each_alarm_has_its_threshold_and_severity(readings: dict[str, Any], alarm: tuple[str, str] | None) -> None:
    found = [signal for _, signal in levels(quiet(**readings)) if signal]
    assert [(signal.kind, signal.severity) for signal in found] == ([alarm] if alarm else [])


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
def test_an_incident_is_a_critical_alarm_that_says_what_to_do(error: Incident, kind: str) -> None:
    alarm = incident(error)
    assert (alarm.kind, alarm.severity) == (kind, "critical")
    assert alarm.message.startswith(f"Settlement has stopped: {str(error)[:-1]}; ")
    assert alarm.message.endswith(".")


def test_the_alarm_of_a_halted_engine_contains_its_reason() -> None:
    alarm = dict(levels(quiet(engine_halted=True, engine_halted_reason="The ring is full.")))[Kind.ENGINE_HALTED]
    assert alarm is not None
    assert alarm.message.startswith("The engine accepts no commands: The ring is full; if its ring")


def test_a_clock_that_is_ahead_is_reported_in_days_and_hours() -> None:
    alarm = dict(levels(quiet(engine_clock_ahead_s=90_061.4)))[Kind.ENGINE_CLOCK_AHEAD]
    assert alarm is not None
    assert alarm.message.startswith("The time of the newest block is 1 day, 1:01:01 after settlement's clock: compare")


def test_the_alarm_of_a_silent_engine_warns_against_promoting_while_it_may_be_alive() -> None:
    alarm = dict(levels(quiet(engine_silent_for_s=31.0)))[Kind.ENGINE_SILENT]
    assert alarm is not None
    assert "did not answer a request for its status either" in alarm.message
    assert "promote a follower only if you are sure that the engine has ended and will not come back" in alarm.message


def test_each_kind_is_either_an_event_or_a_level() -> None:
    assert not EVENTS & {kind for kind, _ in levels(QUIET)}
    assert EVENTS | {kind for kind, _ in levels(QUIET)} == set(OF_SETTLEMENT)


def test_a_refused_replica_is_named_until_it_is_restarted() -> None:
    refused = quiet(refused_replicas={"tcp://here:1": "Block 7 came again with other bytes."})
    (alarm,) = [signal for _, signal in levels(refused) if signal]
    assert (alarm.kind, alarm.severity) == (Kind.REPLICA_REFUSED, Severity.CRITICAL)
    assert "Settlement ignores tcp://here:1: Block 7 came again with other bytes. Stop that replica" in alarm.message
    assert not [signal for _, signal in levels(QUIET) if signal]
