"""Prometheus's rules name metrics that exist, with the thresholds that the alarms have."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from prometheus_client import REGISTRY

import settlement.metrics  # noqa: F401  (it registers them)
from matching.metrics import EngineMetrics
from settlement.alarm_rules import LAG_CRITICAL_BLOCKS, LAG_WARNING_BLOCKS, Severity
from settlement.alarms import Alarms
from tests.settlement.fakes import FakeClock

FILE = Path(__file__).parents[2] / "schema" / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]


def exported() -> set[str]:
    """The names of all samples that engine and settlement have, with or without a value."""
    families = [*REGISTRY.collect(), *EngineMetrics(MagicMock()).collect(), *Alarms(FakeClock()).collect()]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_only_metrics_that_exist(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\b(?:settlement|engine)_[a-z_]+\b", rule["expr"]))
    assert named
    assert named <= exported()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_how_grave_it_is_and_what_happened(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in set(Severity)
    assert rule["annotations"]["summary"].endswith((".", "?"))
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_every_rule_has_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_lag_is_judged_as_the_alarms_judge_it() -> None:
    found = {rule["labels"]["severity"]: rule["expr"] for rule in RULES if "settlement_block_lag" in rule["expr"]}
    assert found == {
        "warning": f"settlement_block_lag > {LAG_WARNING_BLOCKS}",
        "critical": f"settlement_block_lag > {LAG_CRITICAL_BLOCKS}",
    }
