"""The archive in a bucket of MinIO, a real S3 server: object lock, hidden files, and faults on the way to it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Literal

import pytest
from botocore.exceptions import ClientError
from pytest_django import Settings

from archive import verification, wiring
from archive.archiving import archive_days
from archive.errors import ArchiveDiffers, ArchiveMisconfigured, ArchiveUnavailable
from archive.reading.rows import released_rows
from archive.releasing import release_days
from archive.restoring import restore_blocks
from matching.core.engine import Engine
from scripts.services.service import Running
from settlement.stores.base import NOTHING_YET, Store, StoreUnavailable
from settlement.stores.released import reading_released
from tests.faulty_proxy import Choose, Fault, FaultyProxy, faulty_proxy
from tests.settlement.conftest import empty, tables

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.services("minio")


@pytest.fixture
def proxy(client: "S3Client", minio: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """On the way to the server, from now on."""
    with faulty_proxy(minio.address) as (url, made):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        yield made


def key_of(client: "S3Client", bucket: str, table: str) -> str:
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"exchange/{table}/data/")["Contents"]
    return found[0]["Key"]


def test_an_archive_under_object_lock_is_verified_released_and_restored(
    settled: Store, client: "S3Client", bucket: str
) -> None:
    assert wiring.archive().protection == f"Bucket {bucket}: object lock compliance, 1 days, encryption none."
    before = tables(settled)
    assert len(archive_days(settled, wiring.archive()).days) == 2
    assert archive_days(settled, wiring.archive()).days == []
    opened = wiring.archive(is_made=True)
    assert verification.verify(opened, settled, Engine()).ok
    assert release_days(settled, opened, Engine(), through=opened.complete()[-1].partition.day).blocks == 24
    whole = reading_released(settled, lambda anchor: released_rows(lambda: opened, anchor))
    assert tables(whole, is_restarted=False) == before
    empty(settled)
    assert restore_blocks(opened, settled, Engine()).last == 24


def test_a_locked_version_is_not_deleted_and_its_term_not_shortened(
    settled: Store, client: "S3Client", bucket: str
) -> None:
    archive_days(settled, wiring.archive())
    for prefix in ("exchange/trades/data/", "exchange/manifests/", "exchange/blocks/metadata/"):
        key = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"][0]["Key"]
        version = client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"][0]["VersionId"]
        until = client.get_object_retention(Bucket=bucket, Key=key)["Retention"]["RetainUntilDate"]
        with pytest.raises(ClientError, match=r"AccessDenied|WORM"):
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        shorter: list[tuple[Literal["COMPLIANCE", "GOVERNANCE"], datetime]] = [
            ("COMPLIANCE", until - timedelta(hours=1)),
            ("GOVERNANCE", until),
        ]
        for mode, earlier in shorter:
            with pytest.raises(ClientError, match=r"AccessDenied|WORM"):
                client.put_object_retention(
                    Bucket=bucket,
                    Key=key,
                    VersionId=version,
                    Retention={"Mode": mode, "RetainUntilDate": earlier},
                    BypassGovernanceRetention=True,
                )
        assert until > datetime.now(UTC)
        assert client.get_object_retention(Bucket=bucket, Key=key)["Retention"]["RetainUntilDate"] == until
    assert verification.verify(wiring.archive(is_made=True), settled, Engine()).ok


def test_a_file_under_a_delete_marker_is_told_and_comes_back(settled: Store, client: "S3Client", bucket: str) -> None:
    archive_days(settled, wiring.archive())
    key = key_of(client, bucket, "trades")
    client.delete_object(Bucket=bucket, Key=key)

    report = verification.verify(wiring.archive(is_made=True), settled, Engine())
    found = [(difference.what, difference.key, difference.found) for difference in report.differences]
    assert found == [("file", key.removeprefix("exchange/"), None)]
    with pytest.raises(ArchiveDiffers):
        release_days(settled, wiring.archive(), Engine(), through=wiring.archive().complete()[-1].partition.day)
    assert settled.released() == NOTHING_YET

    assert wiring.restore_hidden() == [key.removeprefix("exchange/")]
    assert verification.verify(wiring.archive(is_made=True), settled, Engine()).ok
    assert wiring.restore_hidden() == []


def test_wrong_credentials_are_told(client: "S3Client", monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        with monkeypatch.context() as changed:
            changed.setenv(name, "wrong-credentials")
            with pytest.raises(ArchiveMisconfigured, match=f"The bucket {bucket} refuses these credentials"):
                wiring.archive()


def test_a_missing_bucket_is_told(client: "S3Client", settings: Settings) -> None:
    settings.ARCHIVE = "s3://forgotten/exchange"
    with pytest.raises(ArchiveMisconfigured, match="There is no bucket forgotten: create it, or correct ARCHIVE"):
        wiring.archive()


# Faults on the way


def first_requests(fault: Fault, method: str, part: str, times: int) -> Choose:
    """The first requests with this method whose path has this part."""
    numbers = count(1)

    def choose(asked: str, path: str) -> Fault | None:
        return fault if asked == method and part in path and next(numbers) <= times else None

    return choose


def refused(run: Callable[[], object]) -> str:
    """The sentence with which it ended; empty if it was done."""
    try:
        run()
    except ArchiveUnavailable as error:
        return str(error)
    return ""


ONCE, ALWAYS = 1, 10**6


@pytest.mark.parametrize(
    ("times", "fault", "method", "part"),
    [
        (ONCE, Fault.BUSY, "GET", ".avro"),
        (ONCE, Fault.CUT_UPLOAD, "PUT", ".parquet"),
        (ONCE, Fault.CUT_ANSWER, "GET", ".parquet"),
        (ONCE, Fault.CUT_ANSWER, "PUT", ".metadata.json"),
        (ALWAYS, Fault.BUSY, "PUT", ".parquet"),
        (ALWAYS, Fault.CUT_UPLOAD, "PUT", "manifests/"),
        (ALWAYS, Fault.CUT_ANSWER, "GET", ".parquet"),
    ],
)
def test_a_fault_is_retried_or_told_and_the_next_run_completes_the_archive(
    settled: Store, proxy: FaultyProxy, times: int, fault: Fault, method: str, part: str
) -> None:
    opened = wiring.archive()
    proxy.choose = first_requests(fault, method, part, times)
    told = refused(lambda: archive_days(settled, opened))
    assert told or times == ONCE
    assert "\n" not in told
    assert told.endswith(".") == bool(told)
    assert proxy.faults > 0
    proxy.choose = lambda method, path: None

    archive_days(settled, wiring.archive())

    report = verification.verify(wiring.archive(is_made=True), settled, Engine())
    assert (report.ok, report.compared_with_store) == (True, 24), report.differences


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.CUT_ANSWER, Fault.SILENCE], ids=["busy", "cut", "silent"])
def test_a_store_releases_nothing_while_the_archive_cannot_be_read(
    settled: Store, proxy: FaultyProxy, fault: Fault
) -> None:
    before = tables(settled)
    archive_days(settled, wiring.archive())
    opened = wiring.archive(is_made=True)
    day = opened.complete()[0].partition.day
    proxy.choose = first_requests(fault, "GET", ".parquet", ALWAYS)

    with pytest.raises(ArchiveUnavailable):
        release_days(settled, opened, Engine(), through=day)

    assert (settled.released(), tables(settled)) == (NOTHING_YET, before)
    proxy.choose = lambda method, path: None
    assert release_days(settled, wiring.archive(), Engine(), through=day).blocks == 12
    whole = reading_released(settled, lambda anchor: released_rows(lambda: wiring.archive(is_made=True), anchor))
    proxy.choose = first_requests(fault, "GET", ".parquet", ALWAYS)
    with pytest.raises(StoreUnavailable, match="Rows that are released to the archive cannot be read"):
        whole.get_trades_by_sequence_range(1, 10**6, 10**6)
    proxy.choose = lambda method, path: None
    assert tables(whole, is_restarted=False) == before


def test_an_endpoint_that_is_away_is_told(client: "S3Client", bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(ArchiveUnavailable, match=f"The endpoint of the bucket {bucket} does not answer"):
        wiring.archive()
