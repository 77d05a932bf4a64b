"""The leader is killed under load, a follower that joined late is promoted, and the client finds it by itself."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.client.client import Client
from matching.core.errors import EngineRefused
from matching.feed.reader import Feed
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

RING_BLOCKS = 2000  # enough for the blocks made while a snapshot is written and sent
COMMANDS_A_CALL = 20


@dataclass
class Load:
    """A client that keeps depositing 1 BTC. `calls` has the times at which each answered call began and ended."""

    client: Client
    stop: threading.Event = field(default_factory=threading.Event)
    accepted: int = 0
    in_doubt: int = 0  # commands of calls that the new leader does not know
    calls: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> None:
        while not self.stop.is_set():
            number = self.accepted + self.in_doubt
            began_s = time.monotonic()
            commands = [deposit(1, f"{number + at}", amount="1") for at in range(COMMANDS_A_CALL)]
            try:
                results = self.client.call(commands)
            except EngineRefused as refused:
                if refused.code != wire.OUT_OF_ORDER:
                    raise
                self.in_doubt += COMMANDS_A_CALL
                continue
            assert [result.rejected for result in results] == [None] * COMMANDS_A_CALL
            self.accepted += COMMANDS_A_CALL
            self.calls.append((began_s, time.monotonic()))

    def first_after(self, moment_s: float) -> float | None:
        """Time of the first answer to a call that began after `moment_s`; answers to earlier calls do not count."""
        return next((answered_s for began_s, answered_s in self.calls if began_s > moment_s), None)


@contextmanager
def load(address: str) -> Iterator[Load]:
    with Client(address, timeout_s=120) as client:
        client.call(DEFINITIONS)
        one = Load(client)
        thread = threading.Thread(target=one.run)
        thread.start()
        try:
            yield one
        finally:
            one.stop.set()
            thread.join()


def status(process: Process) -> dict[str, Any]:
    with Client(process.address("COMMAND")) as client:
        return client.status()


def run_to_end(start: Start, *arguments: str, **settings: Any) -> Process:
    process = start(*arguments, **settings)
    until(lambda: process.popen.poll() is not None, " ".join(arguments), 120)
    process.stop()
    return process


def blocks(process: Process, count: int, first: int = 0) -> dict[int, bytes]:
    """`count` blocks by number as this engine sends them: from block `first` on, or new ones if `first` is 0."""
    found: dict[int, bytes] = {}
    with closing(Feed(process.address("BLOCK"), process.address("RETRANSMIT"))) as feed:
        if first:
            feed.request(first, first + count - 1)

        def all_there() -> bool:
            found.update({block.number: block.data for block in feed.receive(0.1, 1000)})
            return len(found) >= count

        until(all_there, "the blocks")
    return found


def test_a_follower_that_joined_late_is_promoted_when_its_leader_is_killed_under_load(start: Start) -> None:
    leader = start("run_engine", ENGINE_RING_BLOCKS=str(RING_BLOCKS)).wait_until_ready()
    addresses = {f"ENGINE_{name}_ADDRESS": leader.address(name) for name in ("COMMAND", "BLOCK", "RETRANSMIT")}
    store = {"DATABASE_URL": f"sqlite:///{leader.data_dir / 'exchange.sqlite3'}"}
    start(
        "run_settlement",
        data_dir=leader.data_dir,
        SETTLEMENT_HTTP_ADDRESS=free_http_address(),
        **addresses,
    )
    with load(leader.address("COMMAND")) as market:
        until(lambda: status(leader)["ring"]["first"] > 1, "the leader to drop its first blocks", 120)
        follower = start("run_engine", "--follow", leader.address("COMMAND"), **store).wait_until_ready()
        until(lambda: status(follower)["block"] > RING_BLOCKS, "the follower to join", 60)
        until(lambda: len(market.client.connection.directory.addresses) == 2, "the client to learn of the follower")
        originals = blocks(leader, 300)
        promote = ("promote_engine", "--address", follower.address("COMMAND"))
        refused = run_to_end(start, *promote)
        assert refused.popen.returncode == 1
        assert "The leader is alive" in refused.errors[-1]

        leader.stop(signal.SIGKILL)
        killed_at_s = time.monotonic()  # the process has ended
        asked = [run_to_end(start, *promote)]
        while asked[-1].popen.returncode == 1 and "The leader is alive" in asked[-1].errors[-1]:
            asked.append(run_to_end(start, *promote))
        assert asked[-1].popen.returncode == 0, asked[-1].errors
        assert asked[-1].lines[-1].startswith(f"{follower.address('COMMAND')} leads from block ")
        assert asked[-1].lines[-1].endswith(", epoch 2\n")
        # A call that was in flight at the kill may have been answered by the old leader, or be sent again.
        until(lambda: market.first_after(killed_at_s), "a call that began after the kill to be answered", 60)
        first_s = market.first_after(killed_at_s)
        assert first_s is not None
        print(f"{first_s - killed_at_s:.2f} s from the kill to the answer of a call that began after it")  # noqa: T201
        calls = len(market.calls)
        until(lambda: len(market.calls) > calls + 20, "the market to go on")

    copies = blocks(follower, max(originals) + 1 - min(originals), min(originals))
    assert originals.items() <= copies.items()
    told = status(follower)
    assert (told["role"], told["epoch"]) == ("leader", 2)
    with Client(follower.address("COMMAND")) as client:
        ((account, asset, available, _),) = client.state()["balances"]
    deposited = available // 10**8
    assert (account, asset) == (1, "BTC")
    assert market.accepted - market.in_doubt <= deposited <= market.accepted + market.in_doubt

    again = run_to_end(start, "run_engine", data_dir=leader.data_dir, **addresses)
    assert again.popen.returncode == 1
    assert f"at {follower.address('COMMAND')} leads (epoch 2)" in again.errors[-1]
    anew = start(
        "run_engine", "--follow", follower.address("COMMAND"), data_dir=leader.data_dir, **addresses
    ).wait_until_ready()
    until(lambda: status(anew)["state_hash"] == status(follower)["state_hash"], "the old leader to follow")
