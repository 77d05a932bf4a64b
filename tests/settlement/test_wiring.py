"""Settlement's components as the settings describe them."""

from collections.abc import Callable
from typing import NoReturn

import pytest
from django.db import connections
from pytest_django import Settings

from settlement import wiring
from settlement.errors import CannotRun
from settlement.stores.base import Store, StoreUnavailable
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.settlement.rows import block, epoch


@pytest.mark.parametrize(("name", "kind"), [("sql", SqlStore), ("scylla", ScyllaStore)])
def test_the_store_is_the_one_of_the_settings(name: str, kind: type[Store], settings: Settings) -> None:
    settings.SETTLEMENT_STORE = name
    assert isinstance(wiring.hot_store(), kind)
    assert isinstance(vars(wiring.worker_store())["_store"], kind)


def test_a_store_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(CannotRun, match="no store 'mongo'"):
        wiring.store("mongo")


def test_the_options_are_those_of_the_store(settings: Settings) -> None:
    settings.SETTLEMENT_BATCH_TRADES, settings.SETTLEMENT_STORE = 77, "scylla"
    options = wiring.options(until_block=5)
    assert (options.batch_trades, options.until_block) == (77, 5)
    assert options.batch_events > wiring.options(store="sql").batch_events


def test_a_ping_closes_the_connections_of_its_thread_also_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(connections, "close_all", lambda: closed.append(True))

    class Store:
        def ping(self) -> None: ...

    class Away(Store):
        def ping(self) -> NoReturn:
            raise StoreUnavailable("The database does not answer.")

    assert wiring.ping_and_close(Store())  # type: ignore[arg-type] # only pinged
    with pytest.raises(StoreUnavailable):
        wiring.ping_and_close(Away())  # type: ignore[arg-type]
    assert closed == [True, True]


def raising(error: Exception) -> Callable[[], NoReturn]:
    def call() -> NoReturn:
        raise error

    return call


def test_tables_of_a_store_that_is_away_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqlStore()
    monkeypatch.setattr(store, "ping", raising(StoreUnavailable("The database does not answer.")))
    monkeypatch.setattr(store, "init", lambda: pytest.fail("made tables"))
    wiring.make_tables_if_missing(store)


def test_the_engines_are_those_of_the_settings_and_the_leader_of_the_store(db: None, settings: Settings) -> None:
    settings.ENGINE_REPLICAS = ["tcp://127.0.0.1:1"]
    assert wiring.engines() == "tcp://127.0.0.1:1"
    store = SqlStore()
    store.append_blocks([block(1)])
    leader = epoch(1, 2, block(1).hash)
    store.begin_epoch(leader)
    assert wiring.engines() == f"tcp://127.0.0.1:1,{leader.commands}"
    assert wiring.engines(raising(CannotRun("There is no such store."))) == "tcp://127.0.0.1:1"
