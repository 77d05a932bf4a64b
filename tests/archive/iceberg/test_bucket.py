"""The archive in a bucket of a real S3 server, and what it says when the bucket cannot be used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

from archive import verification, wiring
from archive.archiving import archive_days
from archive.errors import ArchiveMisconfigured, ArchiveUnavailable
from archive.restoring import restore_blocks
from matching.core.engine import Engine
from settlement.stores.base import Store
from tests.s3 import BUCKET, s3_server
from tests.settlement.conftest import empty

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3 import S3Client


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, data_dir: "Path", settings: Settings) -> Iterator["S3Client"]:
    settings.ARCHIVE = f"s3://{BUCKET}/exchange"
    with s3_server(monkeypatch) as client:
        yield client


def test_an_archive_in_a_bucket_is_verified_and_restored(settled: Store, bucket: "S3Client") -> None:
    done = archive_days(settled, wiring.archive())
    assert len(done.days) == 2
    assert archive_days(settled, wiring.archive()).days == []
    assert verification.verify(wiring.archive(is_made=True), settled, Engine()).ok
    names = [found["Key"] for found in bucket.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert "exchange/manifests/shard-0/2026-01-31.json" in names

    empty(settled)
    assert restore_blocks(wiring.archive(is_made=True), settled, Engine()).last == 24


def test_the_protection_of_the_bucket_is_told(bucket: "S3Client") -> None:
    assert wiring.archive().protection == f"Bucket {BUCKET}: object lock none, encryption none."
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 2555}}
    bucket.put_object_lock_configuration(
        Bucket=BUCKET,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},  # type: ignore[typeddict-item]
    )
    assert "object lock compliance, 2555 days" in wiring.archive().protection


def test_a_bucket_that_is_missing_is_told(bucket: "S3Client", settings: Settings) -> None:
    settings.ARCHIVE = "s3://forgotten/exchange"
    with pytest.raises(ArchiveMisconfigured, match="There is no bucket forgotten: create it, or correct ARCHIVE"):
        wiring.archive()


def test_wrong_credentials_are_told(bucket: "S3Client", monkeypatch: pytest.MonkeyPatch) -> None:
    # From now on the server checks credentials, and it has given out none.
    monkeypatch.setattr("moto.core.responses.ActionAuthenticatorMixin.request_count", 0)
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    with pytest.raises(ArchiveMisconfigured, match=f"The bucket {BUCKET} refuses these credentials"):
        wiring.archive()


def test_missing_credentials_are_told(bucket: "S3Client", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ArchiveMisconfigured, match=f"There are no credentials for the bucket {BUCKET}"):
        wiring.archive()


def test_an_endpoint_that_is_away_is_told(bucket: "S3Client", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(ArchiveUnavailable, match=f"The endpoint of the bucket {BUCKET} does not answer"):
        wiring.archive()
