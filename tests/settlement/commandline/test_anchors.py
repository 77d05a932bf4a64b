"""verify_settlement with signed checkpoints: what it prints, its exit codes, one sentence for each bad file."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from django.db import connection

from matching.commandline.own_keys import key_folder, register_file
from matching.core.chain_digest import BEFORE_FIRST_BLOCK, ChainPoint
from matching.storage.key_files import KeyFolder
from matching.storage.local_keys import make_local_keys
from matching.transport.key_register import KeyRole
from matching.transport.signed_checkpoints import sign
from settlement.stores.base import Store, StoredRegister
from tests.settlement.commandline.conftest import CHAIN, ended, refused, run

LAST = CHAIN.blocks[-1].number
SAME = f"Signed checkpoints: 1 compared, the same up to block {LAST}.\n"


@pytest.fixture
def anchor(settled: Store) -> Path:
    """A file with settlement's checkpoint of the last block."""
    keys = key_folder()
    make_local_keys(keys)
    point: ChainPoint = BEFORE_FIRST_BLOCK
    for block in CHAIN.blocks:
        point = point.after(block)
    exchange = register_file().current().exchange
    file = keys.folder.parent / "settlement-local.jsonl"
    file.write_bytes(sign(keys.own_key(KeyRole.SETTLEMENT), exchange, point, 1) + b"\n")
    return file


def rewrite() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE engine_blocks SET hash = '00000000000000ff' WHERE number = %s", [LAST])


def test_the_stored_blocks_are_those_of_the_anchor(anchor: Path) -> None:
    text = run("verify_settlement", "--anchor", str(anchor))
    assert text.startswith(SAME + "No differences: blocks 1 to ")
    found = json.loads(run("verify_settlement", "--json", "--anchor", str(anchor)))
    assert (found["ok"], found["checkpoints"]) == (True, {"compared": 1, "last_block": LAST, "difference": None})


def test_without_an_anchor_the_stores_own_checkpoints_are_compared(anchor: Path) -> None:
    assert run("verify_settlement").startswith("Signed checkpoints: none to compare.\n")
    assert json.loads(run("verify_settlement", "--json"))["checkpoints"]["compared"] == 0


def test_without_keys_nothing_is_said_about_checkpoints(settled: Store) -> None:
    assert run("verify_settlement").startswith("No differences")
    assert json.loads(run("verify_settlement", "--json"))["checkpoints"] is None


def test_a_difference_is_the_last_word_and_exit_1(anchor: Path) -> None:
    rewrite()
    code, sentence, output = ended("verify_settlement", "--json", "--anchor", str(anchor))
    assert code == 1
    assert sentence.startswith(f"{anchor}, line 1: settlement local signed block {LAST} at 1970-01-01 00:00:00 UTC")
    found = json.loads(output)
    assert (found["ok"], found["checkpoints"]["difference"]) == (False, sentence)


def test_a_difference_is_told_also_if_the_rows_cannot_be_compared(anchor: Path) -> None:
    rewrite()
    code, sentence = refused("verify_settlement", "--from-block", "1000", "--anchor", str(anchor))
    assert (code, "was changed after it was signed" in sentence) == (1, True)


def test_a_checkpoint_after_the_compared_range_is_left_out(anchor: Path) -> None:
    rewrite()
    before = str(LAST - 1)
    assert "none to compare" in run("verify_settlement", "--to-block", before, "--anchor", str(anchor))


def test_an_anchor_that_cannot_be_used_is_exit_2(anchor: Path) -> None:
    assert refused("verify_settlement", "--anchor", f"{anchor}x") == (
        2,
        f"{anchor}x cannot be read: No such file or directory.",
    )
    anchor.write_bytes(b"{}\n")
    assert refused("verify_settlement", "--anchor", str(anchor)) == (
        2,
        f"{anchor}, line 1: The checkpoint is not complete.",
    )


def test_an_auditor_needs_the_public_root_key_only(anchor: Path, settled: Store, tmp_path: Path) -> None:
    keys = key_folder()
    root = shutil.copy(keys.root_public_path, tmp_path / "root.pub")
    document = keys.read_register()
    assert document is not None
    shutil.rmtree(keys.folder)
    arguments = ("verify_settlement", "--anchor", str(anchor), "--root", str(root))
    code, sentence = refused(*arguments)
    assert code == 2
    assert sentence.startswith(f"Neither the store nor {keys.folder} has a key register that the root key in {root}")
    settled.put_key_register(StoredRegister(1, document), replaces=None)
    assert run(*arguments).startswith(SAME)


def test_a_root_key_of_another_exchange_verifies_nothing(anchor: Path, tmp_path: Path) -> None:
    other = KeyFolder(tmp_path / "other")
    make_local_keys(other)
    code, sentence = refused("verify_settlement", "--anchor", str(anchor), "--root", str(other.root_public_path))
    assert code == 2
    assert "checkpoints cannot be verified" in sentence
    assert refused("verify_settlement", "--root", str(anchor)) == (
        2,
        f"{anchor} is not a public Ed25519 key: copy it from where make_keys runs.",
    )


def test_an_anchor_without_keys_is_exit_2(anchor: Path) -> None:
    shutil.rmtree(key_folder().folder)
    code, sentence = refused("verify_settlement", "--anchor", str(anchor))
    assert code == 2
    assert sentence.startswith(f"There is no {key_folder().root_public_path}")


class Evidence(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = Path(self.path)
        self.send_response(200 if content.is_file() else 404)
        self.end_headers()
        if content.is_file():
            self.wfile.write(content.read_bytes())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    """Of a web server that serves files by their path."""
    with HTTPServer(("127.0.0.1", 0), Evidence) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_anchor_is_read_from_a_url(anchor: Path, address: str) -> None:
    assert run("verify_settlement", "--anchor", f"{address}{anchor}").startswith(SAME)
    url = f"{address}/missing"
    assert refused("verify_settlement", "--anchor", url) == (
        2,
        f"{url} cannot be read: the server answered with status 404.",
    )
    code, sentence = refused("verify_settlement", "--anchor", "http://127.0.0.1:1/x")
    assert (code, sentence) == (2, "http://127.0.0.1:1/x cannot be read: Connection refused.")
    assert refused("verify_settlement", "--anchor", "http://host:port/")[0] == 2
    assert refused("verify_settlement", "--anchor", "http://")[0] == 2
