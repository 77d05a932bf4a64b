"""The pictures of the documents are taken of a running exchange."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from scripts import pictures
from tests.gateway.running_gateway import RunningGateway, limit, running_gateway

pytestmark = pytest.mark.services("browser")


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as one:
        yield one


def test_each_picture_is_a_small_file_of_its_size(gateway: RunningGateway, tmp_path: Path) -> None:
    gateway.call(limit(1, "sell", "100.00"), limit(2, "buy", "100.00"))
    status = pictures.main(["--url", f"{gateway.url}/market/BTC-USD", "--folder", str(tmp_path)])
    assert status == 0
    for picture in pictures.PICTURES:
        taken = (tmp_path / picture.name).read_bytes()
        width, height = (int.from_bytes(taken[at : at + 4], "big") for at in (16, 20))
        assert (taken[1:4], width, height) == (b"PNG", picture.width, picture.height)
        assert len(taken) < pictures.MAX_BYTES


def test_without_an_exchange_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://{free_http_address()}/market/BTC-USD"
    assert pictures.main(["--url", url]) == 2
    assert capsys.readouterr().err == f"{url} cannot be shown: is the exchange running?\n"


def test_the_pictures_of_the_documents_are_small() -> None:
    for picture in pictures.PICTURES:
        assert 1000 < (pictures.FOLDER / picture.name).stat().st_size < pictures.MAX_BYTES
