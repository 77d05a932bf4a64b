"""The register that a machine keeps: always the newest that was seen, and never one that root did not sign."""

import json
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from matching.core.errors import KeysUnusable
from matching.storage.disk import LocalDisk
from matching.storage.key_files import KeyFolder
from matching.storage.register_file import RegisterFile
from matching.transport.key_register import (
    BadKeyRegister,
    KeyRegister,
    KeyRole,
    RegisteredKey,
    encode_signed,
    exchange_of,
    new_pair,
)


class Exchange:
    """A root key and the registers that it has signed, by serial."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyFolder(folder)
        with self.keys.locked():
            self.root = self.keys.make_root()
        self.now_s = 0.0

    def signed(self, serial: int, *names: str) -> bytes:
        entries = [RegisteredKey(new_pair()[0], KeyRole.TRADER, name) for name in names]
        exchange = exchange_of(self.root.public_key())
        return encode_signed(KeyRegister(serial, exchange, {key.public: key for key in entries}), self.root)

    def write(self, document: bytes) -> None:
        with self.keys.locked():
            self.keys.write_register(document)
        self.now_s += 1

    def open(self) -> RegisterFile:
        return RegisterFile(self.keys, lambda: self.now_s)

    def kept_serial(self) -> int:
        return int(json.loads(self.keys.register_path.read_bytes())["register"]["serial"])


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path / "keys")


def names(file: RegisterFile) -> list[str]:
    return [key.name for key in file.current().active(KeyRole.TRADER)]


def test_without_a_file_nobody_is_registered(exchange: Exchange) -> None:
    file = exchange.open()
    assert (file.current().serial, names(file), file.document()) == (0, [], b"")
    assert file.current().exchange == exchange_of(exchange.root.public_key())


def test_a_change_of_the_file_takes_effect_while_the_process_runs(exchange: Exchange) -> None:
    exchange.write(exchange.signed(1, "alice"))
    file = exchange.open()
    assert names(file) == ["alice"]
    exchange.write(exchange.signed(2, "alice", "bob"))
    assert names(file) == ["alice", "bob"]


def test_the_file_is_looked_at_a_few_times_a_second_only(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange.write(exchange.signed(1, "alice"))
    file = exchange.open()
    file.current()
    looks: list[RegisterFile] = []
    monkeypatch.setattr(RegisterFile, "_look", looks.append)
    for _ in range(100):
        file.current()
    assert not looks


def test_a_newer_register_is_taken_and_kept(exchange: Exchange) -> None:
    file = exchange.open()
    document = exchange.signed(3, "alice")
    assert file.offer(document)
    assert (names(file), file.document()) == (["alice"], document)
    assert exchange.open().current() == file.current()


def test_an_older_register_does_not_come_back(exchange: Exchange) -> None:
    old, new = exchange.signed(1, "mallory"), exchange.signed(2, "alice")
    exchange.write(new)
    file = exchange.open()
    assert not file.offer(old)
    exchange.write(old)  # a restored copy, while the process runs
    assert names(file) == ["alice"]
    file.offer(new)
    assert file.document() == new


@pytest.mark.parametrize("serial", [1, 2, 9])
def test_a_register_that_root_did_not_sign_changes_nothing(exchange: Exchange, serial: int) -> None:
    exchange.write(exchange.signed(1, "alice"))
    file, other = exchange.open(), Ed25519PrivateKey.generate()
    forged = encode_signed(KeyRegister(serial, file.current().exchange), other)
    with pytest.raises(BadKeyRegister, match="not signed by this exchange's root key"):
        file.offer(forged)
    exchange.write(forged)
    with capture_logs() as logs:
        assert names(file) == ["alice"]
        exchange.now_s += 1
        assert names(file) == ["alice"]
    assert [entry["event"] for entry in logs] == ["keys.register_refused"]


def test_the_same_serial_with_other_keys_is_refused_and_not_kept(exchange: Exchange) -> None:
    exchange.write(exchange.signed(2, "alice"))
    file = exchange.open()
    with pytest.raises(BadKeyRegister, match="Two different key registers"):
        file.offer(exchange.signed(2, "mallory"))
    assert (names(file), names(exchange.open())) == (["alice"], ["alice"])


def test_a_file_of_another_process_is_not_replaced_by_an_older_register(exchange: Exchange) -> None:
    file = exchange.open()
    file.current()
    now_s = exchange.now_s
    exchange.write(exchange.signed(5, "alice"))
    exchange.now_s = now_s  # not read yet
    file.offer(exchange.signed(4, "mallory"))
    assert exchange.kept_serial() == 5
    exchange.now_s += 1
    assert names(file) == ["alice"]


def test_a_damaged_file_is_one_sentence_at_the_start(exchange: Exchange) -> None:
    exchange.write(exchange.signed(1, "alice")[:-10])
    with pytest.raises(KeysUnusable) as raised:
        exchange.open()
    assert str(raised.value) == (
        f"{exchange.keys.register_path}: The key register is not JSON. Put back a copy, or remove it."
    )


def test_a_file_that_others_can_change_is_refused(exchange: Exchange) -> None:
    exchange.write(exchange.signed(1, "alice"))
    exchange.keys.register_path.chmod(0o666)
    with pytest.raises(KeysUnusable, match="run chmod 644"):
        exchange.open()


def test_a_damaged_file_is_replaced_by_a_good_register(exchange: Exchange) -> None:
    exchange.write(exchange.signed(1, "alice"))
    file = exchange.open()
    exchange.write(b"damaged")
    with capture_logs():
        assert file.offer(exchange.signed(2, "bob"))
    assert exchange.kept_serial() == 2


def test_a_register_that_cannot_be_written_is_used_and_kept_later(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, document = exchange.open(), exchange.signed(1, "alice")

    def full(self: LocalDisk, path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(LocalDisk, "write_whole", full)
        with pytest.raises(KeysUnusable, match="No space left on device"):
            file.offer(document)
    assert names(file) == ["alice"]
    assert not exchange.keys.register_path.exists()
    assert not file.offer(document)
    assert exchange.kept_serial() == 1


def test_threads_that_offer_and_read_at_once_end_with_the_newest(exchange: Exchange) -> None:
    file = exchange.open()
    documents = [exchange.signed(serial, f"trader-{serial}") for serial in range(1, 9)]

    def offer(document: bytes) -> None:
        file.offer(document)
        assert file.current().serial >= 1

    threads = [threading.Thread(target=offer, args=(document,)) for document in documents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (file.current().serial, exchange.kept_serial()) == (8, 8)
