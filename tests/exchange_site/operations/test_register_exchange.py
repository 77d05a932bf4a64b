"""The key register between machines that share a store: the newest reaches all, and the store is not believed."""

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from exchange_site.engine_host.store_watch import StoreWatch
from exchange_site.operations.register_exchange import RegisterExchange, publish
from matching.storage.key_files import KeyFolder
from matching.storage.key_making import make_key, revoke_key
from matching.storage.local_keys import make_local_keys
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import BadKeyRegister, KeyRegister, KeyRole, RegisteredKey, encode_signed, new_pair
from settlement.stores.base import NOTHING_YET, Checkpoint, Store, StoredRegister, StoreError, StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.matching.small_exchange import until

pytestmark = pytest.mark.django_db


class Machine:
    def __init__(self, folder: Path) -> None:
        self.keys = KeyFolder(folder / "keys")
        make_local_keys(self.keys)
        self.now_s = 0.0
        self.open()

    def open(self) -> None:
        self.file = RegisterFile(self.keys, self._monotonic)
        self.exchange = RegisterExchange(self.file)

    def _monotonic(self) -> float:
        self.now_s += 1  # every look finds the newest file
        return self.now_s

    @property
    def register(self) -> KeyRegister:
        return self.file.current()


@pytest.fixture
def store() -> SqlStore:
    return SqlStore()


@pytest.fixture
def first(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "first")


@pytest.fixture
def second(tmp_path: Path, first: Machine) -> Machine:
    """A machine of the same exchange, whose root key is on the first one."""
    keys = KeyFolder(tmp_path / "second" / "keys")
    with keys.locked():
        keys.root_public_path.write_bytes(first.keys.root_public_path.read_bytes())
        keys.root_public_path.chmod(0o600)
    return Machine(tmp_path / "second")


def put(store: Store, serial: int, document: bytes) -> None:
    """As somebody who can write to the database does."""
    stored = store.key_register()
    assert store.put_key_register(StoredRegister(serial, document), replaces=stored.serial if stored else None)


def test_a_new_key_reaches_another_machine_through_the_store(first: Machine, second: Machine, store: SqlStore) -> None:
    first.exchange.pass_on(store)
    second.exchange.pass_on(store)
    assert second.register == first.register
    made = make_key(first.keys, KeyRole.TRADER, "alice", [1])
    first.exchange.pass_on(store)
    second.exchange.pass_on(store)
    assert second.register.find(made.own.public) is not None
    assert RegisterFile(second.keys).current() == first.register


def test_a_revocation_reaches_another_machine_and_a_restored_database_does_not_undo_it(
    first: Machine, second: Machine, store: SqlStore
) -> None:
    first.exchange.pass_on(store)
    before = store.key_register()
    assert before is not None
    public = first.keys.own_key(KeyRole.TREASURY).public
    revoke_key(first.keys, public)
    first.exchange.pass_on(store)
    second.exchange.pass_on(store)
    put(store, *before)
    second.open()  # also not after a restart
    second.exchange.pass_on(store)
    assert second.register.keys[public].revoked
    after = store.key_register()
    assert after is not None
    assert after.serial == 2, "the machine brings the newer register back"


@pytest.mark.parametrize("serial", [1, 2, 1 << 60])
def test_write_access_to_the_store_registers_nobody(first: Machine, store: SqlStore, serial: int) -> None:
    first.exchange.pass_on(store)
    before = first.register
    mine = RegisteredKey(new_pair()[0], KeyRole.TREASURY, "mallory")
    forged = KeyRegister(serial, before.exchange, {**before.keys, mine.public: mine})
    put(store, serial, encode_signed(forged, Ed25519PrivateKey.generate()))
    with capture_logs() as logs:
        first.exchange.pass_on(store)
        first.exchange.pass_on(store)
    assert first.register == before
    assert [(entry["event"], entry["source"], entry["serial"]) for entry in logs] == [
        ("keys.register_refused", "store", 1)
    ]
    assert "not signed by this exchange's root key" in logs[0]["error"]


@pytest.mark.parametrize("document", [b"", b"{}", b"\x00", b"x" * (2 << 20)])
def test_a_row_that_is_no_register_changes_nothing(first: Machine, store: SqlStore, document: bytes) -> None:
    before = first.register
    put(store, 1 << 62, document)
    with capture_logs() as logs:
        first.exchange.pass_on(store)
    assert first.register == before
    assert [entry["event"] for entry in logs] == ["keys.register_refused"]


def test_the_machine_with_the_root_key_replaces_a_forged_row(first: Machine, second: Machine, store: SqlStore) -> None:
    put(store, 1 << 62, b"forged")
    make_key(first.keys, KeyRole.TRADER, "alice", [1])
    with capture_logs() as logs:
        publish(store, first.file)
    assert [entry["event"] for entry in logs] == ["keys.register_replaced"]
    second.exchange.pass_on(store)
    assert second.register == first.register


def test_a_register_of_another_exchange_is_not_taken(first: Machine, tmp_path: Path, store: SqlStore) -> None:
    other = Machine(tmp_path / "other")
    other.exchange.pass_on(store)
    before = first.register
    with capture_logs() as logs:
        first.exchange.pass_on(store)
    assert first.register == before
    assert f"of another exchange ('{other.register.exchange}')" in logs[0]["error"]


def test_two_registers_that_were_signed_at_once_are_reported(first: Machine, tmp_path: Path, store: SqlStore) -> None:
    """The root key was copied to another machine, and both made a key before either saw the other's."""
    twin = KeyFolder(tmp_path / "twin" / "keys")
    with twin.locked():
        for path in first.keys.folder.iterdir():
            (twin.folder / path.name).write_bytes(path.read_bytes())
            (twin.folder / path.name).chmod(0o600)
    make_key(first.keys, KeyRole.TRADER, "alice", [1])
    make_key(twin, KeyRole.TRADER, "bob", [2])
    publish(store, first.file)
    with pytest.raises(BadKeyRegister, match=r"another key register with the serial 2.*remove register.json"):
        publish(store, RegisterFile(twin))


def test_a_write_that_another_machine_overtook_is_tried_again(
    first: Machine, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = first.file.document()
    make_key(first.keys, KeyRole.TRADER, "alice", [1])
    real = SqlStore.put_key_register

    def overtaken(self: SqlStore, register: StoredRegister, *, replaces: int | None) -> bool:
        monkeypatch.setattr(SqlStore, "put_key_register", real)
        assert real(self, StoredRegister(1, old), replaces=replaces)
        return real(self, register, replaces=replaces)

    monkeypatch.setattr(SqlStore, "put_key_register", overtaken)
    publish(store, first.file)
    assert store.key_register() == StoredRegister(2, first.file.document())


class KeptStore:
    """A store that may be closed and read by other threads, as the database in a test's transaction may not."""

    def __init__(self) -> None:
        self.row: StoredRegister | None = None

    def epochs(self) -> list[object]:
        return []

    def appended(self) -> Checkpoint:
        return NOTHING_YET

    def key_register(self) -> StoredRegister | None:
        return self.row

    def put_key_register(self, register: StoredRegister, *, replaces: int | None) -> bool:
        self.row = register
        return True

    def close(self) -> None:
        pass


class AwayStore:
    """The store while the database does not answer."""

    def epochs(self) -> list[object]:
        return []

    def appended(self) -> Checkpoint:
        return NOTHING_YET

    def key_register(self) -> None:
        raise StoreUnavailable("The database does not answer.")

    def close(self) -> None:
        pass


def test_a_store_that_is_away_is_an_error_of_the_store(first: Machine) -> None:
    with pytest.raises(StoreError):
        first.exchange.pass_on(AwayStore())  # type: ignore[arg-type]


def test_the_engines_watch_passes_the_register_on(first: Machine, second: Machine) -> None:
    store = KeptStore()
    StoreWatch(store, pass_on=first.exchange.pass_on).read(0)  # type: ignore[arg-type]
    make_key(first.keys, KeyRole.TRADER, "alice", [1])
    StoreWatch(store, pass_on=first.exchange.pass_on).read(0)  # type: ignore[arg-type]
    StoreWatch(store, pass_on=second.exchange.pass_on).read(0)  # type: ignore[arg-type]
    assert second.register.serial == 2


def test_an_engine_has_the_stores_register_before_its_first_connection(first: Machine, second: Machine) -> None:
    store = KeptStore()
    StoreWatch(store, pass_on=first.exchange.pass_on).exchange_keys()  # type: ignore[arg-type]
    StoreWatch(store, pass_on=second.exchange.pass_on).exchange_keys()  # type: ignore[arg-type]
    assert second.register == first.register
    StoreWatch(AwayStore(), pass_on=second.exchange.pass_on).exchange_keys()  # type: ignore[arg-type]
    assert second.register == first.register


def test_the_engines_watch_survives_a_store_that_is_away(first: Machine) -> None:
    watch = StoreWatch(AwayStore(), pass_on=first.exchange.pass_on)  # type: ignore[arg-type]
    watch.read(0)
    assert watch.known_s <= time.monotonic()


def test_a_service_passes_the_register_on_while_it_runs(first: Machine) -> None:
    store = KeptStore()
    with first.exchange.running(store):  # type: ignore[arg-type]
        until(lambda: store.row is not None, "the register in the store")
    assert store.row == StoredRegister(1, first.file.document())
