"""Checkpoints in a bucket: written, locked, and found again whatever was written or deleted later."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from exchange_site.checkpoints.place_names import PlaceInvalid, place_names
from exchange_site.checkpoints.places import Place, PlaceUnavailable, places_of
from settlement.audit.bucket import Bucket
from settlement.audit.bucket_name import BucketName
from tests.exchange_site.checkpoints.test_places import checkpoint
from tests.s3 import BUCKET, s3_server

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = "venue/settlement-local/0000000000000000007.json"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    with s3_server(monkeypatch) as client:
        yield client


def place(text: str = f"s3://{BUCKET}/venue") -> Place:
    (made,) = places_of(place_names([text]))
    return made


def contents() -> list[tuple[str, bytes]]:
    bucket = Bucket(BucketName(BUCKET, "venue/"))
    return list(bucket.read_all(bucket.versions()))


def test_a_bucket_gets_an_object_for_each_checkpoint_of_each_signer(s3: "S3Client") -> None:
    for one in (checkpoint(7), checkpoint(10), checkpoint(7, "engine-local")):
        place().write(one)
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == [
        "venue/engine-local/0000000000000000007.json",
        KEY,
        "venue/settlement-local/0000000000000000010.json",
    ]
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b'{"block":7}'


def test_a_locked_checkpoint_cannot_be_deleted_and_is_found_after_it_was_hidden(s3: "S3Client") -> None:
    place(f"s3://{BUCKET}/venue?lock_days=30").write(checkpoint(7))
    (written,) = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    with pytest.raises(ClientError, match="Access Denied"):
        s3.delete_object(Bucket=BUCKET, Key=KEY, VersionId=written["VersionId"])
    until = s3.head_object(Bucket=BUCKET, Key=KEY)["ObjectLockRetainUntilDate"]
    assert abs(until - datetime.now(UTC) - timedelta(days=30)) < timedelta(hours=1)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"replaced")
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    assert sorted(contents()) == [(f"s3://{BUCKET}/{KEY}", b"replaced"), (f"s3://{BUCKET}/{KEY}", b'{"block":7}')]


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(PlaceUnavailable, match="The specified bucket does not exist"):
        place("s3://another/venue").write(checkpoint())


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
@pytest.mark.usefixtures("s3")
def test_a_server_that_cannot_be_reached_is_unavailable(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(PlaceUnavailable, match=endpoint):
        place().write(checkpoint())


def test_missing_credentials_are_named(s3: "S3Client", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PlaceUnavailable, match="credentials"):
        place().write(checkpoint())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://evidence", BucketName("evidence", "")),
        ("s3://evidence/", BucketName("evidence", "")),
        ("s3://evidence/a/b/", BucketName("evidence", "a/b/")),
        ("s3://my.evidence-1/a?lock_days=3650", BucketName("my.evidence-1", "a/", 3650)),
    ],
)
def test_the_forms_of_a_place_in_a_bucket(text: str, name: BucketName) -> None:
    assert place_names([text]) == [name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3:///a", "no valid name of a bucket"),
        ("s3://Evidence/a", "no valid name of a bucket"),
        ("s3://key:secret@evidence/a", "no valid name of a bucket"),
        ("s3://evidence/a b", "a character in its prefix"),
        ("s3://evidence/a?lock_days=0", "another option than lock_days=N"),
        ("s3://evidence/a?lock_days=1&lock_days=2", "another option than lock_days=N"),
        ("s3://evidence/a?region=x", "another option than lock_days=N"),
    ],
)
def test_another_form_of_a_place_in_a_bucket_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PlaceInvalid, match=f"^Place 1 has {reason}") as error:
        place_names([text])
    assert "secret" not in str(error.value)
