"""Signed checkpoints in an S3 bucket: one object for each, which object lock keeps from being deleted or replaced.

Region, credentials and endpoint are those of the AWS client, for example from the environment: `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL_S3`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from settlement.audit.bucket_name import SCHEME, BucketName

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONNECTIONS = 16
_OPTIONS = Config(
    connect_timeout=5,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=_CONNECTIONS,
)
Value = TypeVar("Value")


class BucketFailed(Exception):
    """The bucket did not do what was asked; the text is the reason."""


class Version(NamedTuple):
    """One version of an object. Replacing an object in a bucket with versions leaves the earlier ones."""

    key: str
    version: str
    size: int


class Bucket:
    """The client is made with the first request."""

    def __init__(self, name: BucketName) -> None:
        self._name = name

    @cached_property
    def _client(self) -> "S3Client":
        return Session().client("s3", config=_OPTIONS)

    def put(self, name: str, data: bytes, now: datetime) -> None:
        """Writes an object, locked if the place says so. Raises BucketFailed."""
        lock: dict[str, Any] = {}
        if self._name.lock_days is not None:
            until = now + timedelta(days=self._name.lock_days)
            lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        key = f"{self._name.prefix}{name}"
        _asked(lambda: self._client.put_object(Bucket=self._name.bucket, Key=key, Body=data, **lock))

    def versions(self) -> list[Version]:
        """All versions of all objects under the prefix, the replaced and the deleted ones too. Raises BucketFailed."""
        return _asked(lambda: list(self._listed()))

    def read_all(self, versions: list[Version]) -> Iterator[tuple[str, bytes]]:
        """(URL, content) of each, in their order. Raises BucketFailed."""
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for version, data in zip(versions, pool.map(self._read, versions), strict=True):
                yield f"{SCHEME}://{self._name.bucket}/{version.key}", data

    def _listed(self) -> Iterator[Version]:
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._name.bucket, Prefix=self._name.prefix):
            for found in page.get("Versions", ()):
                yield Version(found["Key"], found["VersionId"], found["Size"])

    def _read(self, one: Version) -> bytes:
        bucket = self._name.bucket
        return _asked(lambda: self._client.get_object(Bucket=bucket, Key=one.key, VersionId=one.version)["Body"].read())


def _asked(request: Callable[[], Value]) -> Value:
    try:
        return request()
    except ClientError as error:
        answer = error.response.get("Error", {})
        raise BucketFailed(answer.get("Message") or answer.get("Code") or str(error)) from error
    except (BotoCoreError, OSError, ValueError) as error:  # ValueError: an endpoint that is not a URL
        raise BucketFailed(str(error).rstrip(".")) from error
