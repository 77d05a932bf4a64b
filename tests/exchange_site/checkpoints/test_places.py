"""Places of checkpoints: what is written there, and how a place is named."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from exchange_site.checkpoints.place_names import PlaceInvalid, SyslogAddress, place_names
from exchange_site.checkpoints.places import InFolder, InSyslog, PlaceUnavailable, Webhook, places_of
from settlement.stores.base import StoredCheckpoint


def checkpoint(number: int = 1, signer: str = "settlement-local") -> StoredCheckpoint:
    return StoredCheckpoint(number, signer, b'{"block":%d}' % number)


def test_a_folder_has_a_file_for_each_signer_with_a_checkpoint_a_line(tmp_path: Path) -> None:
    place = InFolder(tmp_path / "made" / "evidence")
    for one in (checkpoint(1), checkpoint(1, "engine-local"), checkpoint(2)):
        place.write(one)
    folder = tmp_path / "made" / "evidence"
    assert (folder / "settlement-local.jsonl").read_bytes() == b'{"block":1}\n{"block":2}\n'
    assert (folder / "engine-local.jsonl").read_bytes() == b'{"block":1}\n'
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}


def test_a_line_that_a_power_cut_has_torn_stays_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "settlement-local.jsonl").write_bytes(b'{"blo')
    InFolder(tmp_path).write(checkpoint(2))
    assert (tmp_path / "settlement-local.jsonl").read_bytes() == b'{"blo\n{"block":2}\n'


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlaceUnavailable, match="File exists"):
        InFolder(tmp_path / "file").write(checkpoint())


class HookServer(HTTPServer):
    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.status = status
        self.received: list[tuple[str, bytes]] = []


class Hook(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Address of a web server that answers POST with this status, and what it receives."""
    with HookServer(status) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.received
        finally:
            server.shutdown()
            thread.join()


def webhook(url: str) -> Webhook:
    (place,) = places_of(place_names([url]))
    assert isinstance(place, Webhook)
    return place


def test_a_webhook_gets_the_checkpoint_as_the_body_of_a_post() -> None:
    with serving(204) as (address, received):
        place = webhook(f"{address}/take?token=secret")
        place.write(checkpoint(7))
    assert received == [("/take?token=secret", b'{"block":7}')]
    assert place.name == address


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_answer_than_success_leaves_the_checkpoint_waiting(status: int) -> None:
    with serving(status) as (address, received), pytest.raises(PlaceUnavailable, match=f"status {status}"):
        webhook(address).write(checkpoint())
    assert len(received) == 1


def test_a_webhook_that_nobody_serves_is_unavailable() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(PlaceUnavailable, match="refused"):
            webhook(f"http://127.0.0.1:{unused.getsockname()[1]}").write(checkpoint())


def test_a_syslog_server_gets_the_checkpoint_in_one_message() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        host, port = server.getsockname()
        InSyslog(SyslogAddress((host, port))).write(checkpoint(7))
        message = server.recv(4096)
    assert json.loads(message[message.index(b"{") : message.rindex(b"}") + 1]) == {"block": 7}


def test_a_machine_without_the_syslog_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(PlaceUnavailable):
        InSyslog(SyslogAddress(str(tmp_path / "no-socket"))).write(checkpoint())


@pytest.mark.parametrize("text", ["checkpoints", "ftp://host/", "https://", "https://host:port/", "syslog://"])
def test_a_place_of_another_form_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(PlaceInvalid, match=r"^Place 2 is ") as error:
        place_names(["/evidence", text])
    assert text not in str(error.value)


@pytest.mark.parametrize("text", ["https://user:secret@host/", "https://host/a secret", "https://host/s\u00e9cret"])
def test_a_url_that_would_not_be_sent_as_it_is_written_is_refused(text: str) -> None:
    with pytest.raises(PlaceInvalid, match=r"^Place 1 has a user name, or a character") as error:
        place_names([text])
    assert "cret" not in str(error.value)


def test_the_forms_of_places() -> None:
    names = [
        "/evidence",
        "https://audit.example/take",
        "s3://evidence/venue?lock_days=365",
        "syslog",
        "syslog://10.0.0.1",
        "syslog://10.0.0.1:1514",
    ]
    assert [place.name for place in places_of(place_names(names))] == [
        "/evidence",
        "https://audit.example",
        "s3://evidence/venue/",
        "syslog",
        "syslog://10.0.0.1:514",
        "syslog://10.0.0.1:1514",
    ]
