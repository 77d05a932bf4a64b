"""Prometheus's rules and targets and Grafana's dashboard name existing metrics, with the thresholds of the alarms."""

import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from django.conf import settings
from prometheus_client import REGISTRY

import exchange_site.checkpoints.metrics
import exchange_site.web.metrics  # noqa: F401 - both register their metrics
from matching.node.metrics import EngineMetrics
from settlement import metrics
from settlement.alarms.rules import LAG_CRITICAL_BLOCKS, LAG_WARNING_BLOCKS, Severity
from settlement.alarms.worker_alarms import Alarms
from tests.settlement.fakes import FakeClock

DEPLOY = settings.BASE_DIR / "deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((settings.BASE_DIR / "schema" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "exchange.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SCRAPES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
OF_PROMETHEUS = {"up"}


def exported() -> set[str]:
    """Names of all samples of engine and settlement, with or without a value."""
    families = [
        *REGISTRY.collect(),
        *metrics.WORKER.collect(),
        *EngineMetrics(MagicMock(), MagicMock()).collect(),
        *Alarms(FakeClock()).collect(),
    ]
    names = {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ("",))}
    return names | OF_PROMETHEUS


def named(expression: str) -> set[str]:
    """Metrics in an expression: every word that is not a function, label, duration, number or string."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\b(?:by|without|on) ?\([^)]*\)|\boffset \w+', " ", expression)
    return set(re.findall(r"\b[a-z_]\w*\b(?!\s*\()", bare)) - {"and", "max", "sum"}


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_only_metrics_that_exist(rule: dict[str, Any]) -> None:
    assert named(rule["expr"])
    assert named(rule["expr"]) <= exported()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_has_a_severity_and_a_description(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in set(Severity)
    assert rule["annotations"]["summary"].endswith((".", "?"))
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_rule_names_are_unique() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_lag_thresholds_equal_those_of_the_alarms() -> None:
    found = {rule["labels"]["severity"]: rule["expr"] for rule in RULES if "settlement_block_lag" in rule["expr"]}
    assert found == {
        "warning": f"settlement_block_lag > {LAG_WARNING_BLOCKS}",
        "critical": f"settlement_block_lag > {LAG_CRITICAL_BLOCKS}",
    }


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_shows_only_metrics_that_exist(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert named(target["expr"])
        assert named(target["expr"]) <= exported()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {re.sub("_(bucket|count|sum)$", "", name) for expression in expressions() for name in named(expression)}
    ours = {name for name in exported() if name.startswith(("engine_", "settlement_", "checkpoints_"))}

    assert {re.sub("_(bucket|count|sum)$", "", name) for name in ours} - shown == set()


def test_every_panel_has_an_id_a_position_and_a_description() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["description"].endswith(".")


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_the_dashboard_uses_the_provisioned_data_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    folders = yaml.safe_load((provisioning / "dashboards" / "exchange.yml").read_text())["providers"]
    services = yaml.safe_load((settings.BASE_DIR / "docker-compose.yml").read_text())["services"]

    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"] for source in sources}
    assert sources[0]["url"] == "http://prometheus:9090"
    assert f"./deploy/grafana/dashboards:{folders[0]['options']['path']}:ro" in services["grafana"]["volumes"]


def test_prometheus_scrapes_the_services_on_its_network() -> None:
    services = yaml.safe_load((settings.BASE_DIR / "docker-compose.yml").read_text())["services"]
    targets = [target for job in SCRAPES for config in job["static_configs"] for target in config["targets"]]

    assert {target.partition(":")[0] for target in targets} == {"engine-1", "engine-2", "settlement", "gateway", "web"}
    for target in targets:
        name, _, port = target.partition(":")
        listens = [
            value
            for key, value in services[name]["environment"].items()
            if key.endswith(("HTTP_ADDRESS", "WEB_ADDRESS"))
        ]
        assert listens == [f"0.0.0.0:{port}"]
        assert "watch" in services[name]["networks"]
