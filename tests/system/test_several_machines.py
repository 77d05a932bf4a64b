"""Engines, settlement and a gateway on machines of their own, with keys: traded, cut off, healed and promoted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from matching.transport.key_register import KeyRole
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import START_S, Start
from tests.system.machines import PATIENCE_S, Site, gateway, is_settled
from tests.system.namespaces import namespaces

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


@pytest.fixture
def site(start: Start, tmp_path: Path, empty_store: Path) -> Iterator[Site]:
    with namespaces("abcde") as machines:
        yield Site(machines, start, tmp_path, empty_store)


@pytest.mark.acceptance("machines with keys trade, are cut off, healed and promoted, and nothing is lost")
def test_machines_are_cut_off_healed_and_promoted_and_nothing_is_lost(site: Site) -> None:
    leader = site.run("a", "run_engine").wait_until_ready()
    site.run("c", "run_settlement", engine="a")
    site.run("b", "run_engine", "--follow", site.commands("a")).wait_until_ready()
    second = site.run("e", "run_engine", "--follow", site.commands("a")).wait_until_ready()
    with gateway(site, site.commands("a")) as trading:
        trading.call_as(KeyRole.OPERATOR, list(DEFINITIONS))
        trading.call_as(KeyRole.TREASURY, [deposit(1, "btc"), deposit(2, "usd", "USD", "1000000")])
        trading.do(trading.trade)

        site.machines.cut("c")
        trading.do(trading.trade)
        assert not is_settled(trading, "a"), "settlement is cut off"
        site.machines.heal("c")
        until(lambda: is_settled(trading, "a"), "settlement after the cut", START_S)

        last = trading.status("a")["block"]
        until(lambda: trading.is_at("b", last) and trading.is_at("e", last), "the followers", PATIENCE_S)
        site.machines.cut("a")
        waiting = trading.begin(trading.trade)
        until(lambda: is_promoted(site, "b"), "the promotion", START_S)
        waiting.result(PATIENCE_S)
        until(lambda: leader.popen.poll() is not None, "the end of the engine that was replaced", PATIENCE_S)

        site.machines.heal("a")
        second.stop()
        for name in "ae":
            site.run(name, "run_engine", "--follow", site.commands("b")).wait_until_ready()
        trading.do(trading.trade)
        last = trading.status("b")["block"]
        until(lambda: trading.is_at("a", last) and trading.is_at("e", last), "the followers", PATIENCE_S)
        assert len({trading.status(name)["state_hash"] for name in "abe"}) == 1
        until(lambda: is_settled(trading, "b"), "settlement", START_S)
        assert trading.trades == 80
    site.assert_verified(80)


def is_promoted(site: Site, name: str) -> bool:
    """Asks the follower to lead. It refuses only as long as it has heard from the leader a moment ago."""
    promotion = site.run(name, "promote_engine", "--address", site.commands(name), "--key", "operator-local")
    until(lambda: promotion.popen.poll() is not None, "the answer to the promotion", START_S)
    if promotion.stop() == 0:
        return True
    assert "The leader is alive" in "".join(promotion.errors)
    return False
