"""Replicas of a Kafka topic on machines of their own, with keys: one is cut off, and the other goes on alone."""

from pathlib import Path

import pytest

from matching.transport.key_register import KeyRole
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Running
from tests.matching.kafka import new_topic
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import START_S, Start
from tests.system.forwarding import forwarded
from tests.system.machines import PATIENCE_S, Site, gateway, is_settled
from tests.system.namespaces import namespaces

pytestmark = [pytest.mark.processes, pytest.mark.services("kafka"), pytest.mark.timeout(900)]


@pytest.mark.acceptance("replicas on several machines go on while one is cut off, and agree afterwards")
def test_a_replica_that_is_cut_off_is_replaced_by_another_and_agrees_with_it_afterwards(
    start: Start, tmp_path: Path, empty_store: Path, kafka: Running
) -> None:
    servers = f"127.0.0.1:{kafka.port}"
    with namespaces("abcd") as machines, forwarded(machines, "ab", kafka.port):
        site = Site(machines, start, tmp_path, empty_store)
        replicas = ",".join(site.commands(name) for name in "ab")
        site.settings = {
            "INPUT_LOG": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "KAFKA_COMMAND_TOPIC": new_topic(servers).name,
            "ENGINE_REPLICAS": replicas,
        }
        for name in "ab":
            site.run(name, "run_engine").wait_until_ready()
        site.run("c", "run_settlement", engine="a")
        with gateway(site, replicas) as trading:
            trading.call_as(KeyRole.OPERATOR, list(DEFINITIONS))
            trading.call_as(KeyRole.TREASURY, [deposit(1, "btc"), deposit(2, "usd", "USD", "1000000")])
            trading.do(trading.trade)
            until(lambda: is_settled(trading, "a"), "settlement before the cut", START_S)

            site.machines.cut("a")
            trading.do(trading.trade)
            until(lambda: is_settled(trading, "b"), "settlement while one replica is cut off", START_S)

            site.machines.heal("a")
            last = trading.status("b")["block"]
            until(lambda: trading.is_at("a", last), "the replica that was cut off", PATIENCE_S)
            trading.do(trading.trade)
            last = trading.status("b")["block"]
            until(lambda: trading.is_at("a", last), "both replicas", PATIENCE_S)
            assert len({trading.status(name)["state_hash"] for name in "ab"}) == 1
            until(lambda: is_settled(trading, "b"), "settlement", START_S)
            assert trading.trades == 60
        site.assert_verified(60)
