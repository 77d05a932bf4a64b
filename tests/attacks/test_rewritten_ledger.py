"""Attack 8: somebody with write access to the database makes himself rich, and everything fits together afterwards.

A deposit is multiplied, every later block is executed and hashed again with this product's own code, the projections
are rebuilt, the write-ahead log and all snapshots are gone. Nothing in the store can show it. The checkpoints that
settlement and the engine have signed, and that are kept where the attacker has no access, do.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.core.blocks import Block
from matching.core.chain_digest import ChainPoint
from matching.core.codes import CommandKind
from matching.core.engine import Engine
from matching.core.hashes import hash_text
from matching.transport.key_register import KeyRole, OwnKey
from matching.transport.signed_checkpoints import sign
from matching.transport.signing import new_signing_secret
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Postgres, Running, Server
from settlement.receive.chain import stored
from settlement.stores.base import StoredBlock
from tests.attacks.conftest import Site, stranger
from tests.matching.small_exchange import deposit, trading, until
from tests.system.conftest import DATABASE, Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

RICH = 1000
"""How often the attacker has deposited what he has deposited once."""


class Intruder(Protocol):
    """Write access to the database of the exchange, without this product."""

    settings: dict[str, str]

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]: ...


class SqliteIntruder:
    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, str] = {}
        self._file = folder / DATABASE

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            return connection.execute(statement.replace("%s", "?"), values).fetchall()


class PostgresIntruder:
    def __init__(self, server: Running) -> None:
        self._url = f"postgres://postgres@{server.address}/exchange"
        self.settings = {"DATABASE_URL": self._url}
        with psycopg.connect(f"postgres://postgres@{server.address}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE exchange")

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            done = connection.execute(statement.encode(), values)
            return done.fetchall() if done.description else []


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
def intruder(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Intruder]]:
    """Opens the database of the exchange in this folder."""
    if request.param == "sqlite":
        yield SqliteIntruder
    else:
        launch: Callable[[Server], Running] = request.getfixturevalue("launch")
        yield lambda folder: PostgresIntruder(launch(Postgres()))


def ended(process: Process, code: int = 0) -> str:
    """Standard output and error of a program that ends by itself with this exit code."""
    until(lambda: process.popen.poll() is not None, f"{process.arguments[0]} to end", 120)
    assert process.stop() == code, process.errors
    return "".join(process.lines) + "".join(process.errors)


def rewritten(blocks: Sequence[Block], from_block: int) -> list[Block]:
    """The chain as it would be if the first deposit from this block on had been larger."""
    engine, chain, is_done = Engine(), [], False
    for block in blocks:
        commands, engine.epoch = block.commands.copy(), block.epoch
        deposits = (commands["kind"] == CommandKind.DEPOSIT).nonzero()[0]
        if block.number >= from_block and len(deposits) and not is_done:
            commands["amount"][deposits[0]] *= RICH
            is_done = True
        texts = block.texts[: int(commands["text_length"].sum())]
        chain.append(engine.apply(block.requests, commands, texts, block.timestamp_ns))
    assert is_done
    return chain


def rewrite(database: Intruder, from_block: int) -> ChainPoint:
    rows = database.run("SELECT data FROM engine_blocks ORDER BY number")
    chain = rewritten([Block.decode(data) for (data,) in rows], from_block)
    columns = ", ".join(f"{name} = %s" for name in StoredBlock._fields[1:])
    point = ChainPoint(0, 0, bytes(32))
    for block in chain:
        row, point = stored(block), point.after(block)
        values = [hash_text(row.hash), hash_text(row.prev_hash), *row[3:]]
        database.run(f"UPDATE engine_blocks SET {columns} WHERE number = %s", [*values, row.number])
    database.run("UPDATE settlement_checkpoints SET hash = %s", [hash_text(point.state_hash)])
    database.run("DELETE FROM signed_checkpoints")
    return point


def test_a_rewritten_ledger_is_found_with_the_checkpoints_that_are_kept_elsewhere(
    start: Start, tmp_path: Path, intruder: Callable[[Path], Intruder]
) -> None:
    folder, evidence = tmp_path / "data", tmp_path / "evidence"
    folder.mkdir(mode=0o700)
    database = intruder(folder)
    shared: dict[str, Any] = {
        "data_dir": folder,
        "ENABLE_LOCAL_WAL": "true",
        "PLAIN_SOCKETS": "false",
        "CHECKPOINT_PLACES": str(evidence),
        **database.settings,
    }
    ended(start("init_store", **shared))
    with ExitStack() as opened:
        site = Site(start("run_engine", **shared).wait_until_ready(), opened)
        shared |= site.engine.stream_settings
        client = site.client()
        client.call(DEFINITIONS)
        honest = settled(start, site, shared)
        client.call([deposit(1, "small", asset="USD", amount="10")])
        for command in trading(6):
            client.call([command])
        last = settled(start, site, shared)
        site.engine.stop()
        register = site.register()
    anchor = evidence / "settlement-local.jsonl"
    signed = [json.loads(line)["checkpoint"]["block"] for line in anchor.read_bytes().splitlines()]
    assert signed == [honest, last]

    def verified(*arguments: str, code: int = 0) -> str:
        return ended(start("verify_settlement", *arguments, **shared), code)

    of_engine = evidence / "engine-local.jsonl"
    assert json.loads(of_engine.read_bytes().splitlines()[-1])["checkpoint"]["block"] == last
    files = ["--anchor", str(anchor), "--anchor", str(of_engine)]
    assert f"compared, the same up to block {last}." in verified(*files)

    point = rewrite(database, honest + 1)
    for name in ("wal", "snapshots", "settlement-snapshots"):
        shutil.rmtree(folder / name, ignore_errors=True)
    ended(start("rebuild_projections", **shared))

    # Everything in the store fits together; this is what docs/guarantees.md says of verification without an anchor.
    assert "none to compare" in verified()
    text = verified("--anchor", str(anchor), code=1)
    assert f"{anchor}, line 2: settlement local signed block {last} at " in text
    assert f"a block from {honest + 1} to {last} was changed after it was signed." in text
    assert f"{of_engine}, line 1: engine local signed block {last} at " in verified("--anchor", str(of_engine), code=1)
    document = json.loads(verified("--json", "--anchor", str(anchor), code=1).partition("\n")[0])
    assert not document["ok"]
    assert (document["differences"], document["checkpoints"]["last_block"]) == ([], honest)

    # A key of his own does not help him.
    own = stranger(KeyRole.SETTLEMENT, "local")
    own = OwnKey(own.public, own.secret, own.role, own.name, new_signing_secret())
    made = sign(own, register.exchange, point, 1).decode()
    columns = "block_number, signer, document"
    values = [point.block_number, "settlement-local", made]
    database.run(f"INSERT INTO signed_checkpoints ({columns}) VALUES (%s, %s, %s)", values)
    assert "is not signed by a registered key of settlement local. Somebody has written it" in verified(code=1)


def settled(start: Start, site: Site, shared: dict[str, Any]) -> int:
    """Runs settlement until it has everything; returns the last block."""
    settlement = start("run_settlement", **shared, SETTLEMENT_HTTP_ADDRESS=free_http_address())
    until(lambda: site.confirmed() == site.block(), "everything to be settled", 120)
    assert settlement.stop() == 0, settlement.errors
    return site.block()
