"""What the AWS client knows about the archive's bucket: whether it can be used, and how it protects what is written.

Region, credentials and endpoint are those of the AWS client, as for signed checkpoints (settlement.audit.bucket).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from archive.errors import ArchiveMisconfigured, ArchiveUnavailable
from settlement.audit.bucket_name import BucketName

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_OPTIONS = Config(connect_timeout=5, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
_AMAZON = ".amazonaws.com"
_DEFAULT_REGION = "us-east-1"
_MISSING = ("404", "NoSuchBucket")
_REFUSED = ("400", "401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden")
_UNKNOWN = "unknown"


class Protection(NamedTuple):
    """The defaults of the bucket, which apply to every file that is written to it."""

    lock: str  # as "compliance, 2555 days"; "none"; "unknown" if these credentials may not ask
    encryption: str  # as "AES256", "aws:kms"; "none"; "unknown"

    def __str__(self) -> str:
        return f"object lock {self.lock}, encryption {self.encryption}"


def protection_of(name: BucketName) -> Protection:
    """Raises ArchiveUnavailable; ArchiveMisconfigured if the bucket is missing or refuses the credentials."""
    with _telling(name):
        client = _client()
        client.head_bucket(Bucket=name.bucket)
        return Protection(_lock(client, name.bucket), _encryption(client, name.bucket))


def restore_hidden(name: BucketName) -> list[str]:
    """Removes the delete markers that hide files of the archive; returns the files' names below its place.

    A delete in a bucket with versions only hides a file, and the archive deletes none that it has committed. Raises
    what `protection_of` raises.
    """
    prefix = f"{name.prefix.rstrip('/')}/" if name.prefix else ""
    with _telling(name):
        client = _client()
        pages = client.get_paginator("list_object_versions").paginate(Bucket=name.bucket, Prefix=prefix)
        markers = [marker for page in pages for marker in page.get("DeleteMarkers", [])]
        for marker in markers:
            client.delete_object(Bucket=name.bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    return sorted({marker["Key"].removeprefix(prefix) for marker in markers})


def connection_of() -> dict[str, str]:
    """Options of Iceberg's file access. Temporary credentials are left to Arrow, which renews them."""
    session = Session()
    options = {"s3.region": session.region_name or _DEFAULT_REGION}
    endpoint = _client().meta.endpoint_url
    if not endpoint.rstrip("/").endswith(_AMAZON):
        options["s3.endpoint"] = endpoint
    found = session.get_credentials()
    keys = found and found.get_frozen_credentials()
    if keys and keys.access_key and keys.secret_key and not keys.token:
        options |= {"s3.access-key-id": keys.access_key, "s3.secret-access-key": keys.secret_key}
    return options


@contextmanager
def _telling(name: BucketName) -> Iterator[None]:
    """Translates the errors of the AWS client."""
    try:
        yield
    except ClientError as error:
        raise _told(name, error) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ArchiveMisconfigured(
            f"There are no credentials for the bucket {name.bucket}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from error
    except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError) as error:
        raise ArchiveUnavailable(
            f"The endpoint of the bucket {name.bucket} does not answer: check AWS_ENDPOINT_URL_S3 and the network, "
            "then run this again."
        ) from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is not a URL
        raise ArchiveMisconfigured(f"The bucket {name.bucket} cannot be used: {str(error).rstrip('.')}.") from error


def _client() -> "S3Client":
    return Session().client("s3", config=_OPTIONS)


def _lock(client: "S3Client", bucket: str) -> str:
    try:
        found = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError as error:
        return "none" if _code(error) == "ObjectLockConfigurationNotFoundError" else _UNKNOWN
    rule = found.get("Rule", {}).get("DefaultRetention", {})
    for unit in ("Days", "Years"):
        if unit in rule:
            return f"{rule['Mode'].lower()}, {rule[unit]} {unit.lower()}"
    return "none"


def _encryption(client: "S3Client", bucket: str) -> str:
    try:
        rules = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    except ClientError as error:
        return "none" if _code(error) == "ServerSideEncryptionConfigurationNotFoundError" else _UNKNOWN
    names = (rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules)
    return next((name for name in names if name), "none")


def _told(name: BucketName, error: ClientError) -> ArchiveMisconfigured | ArchiveUnavailable:
    code = _code(error)
    if code in _MISSING:
        return ArchiveMisconfigured(f"There is no bucket {name.bucket}: create it, or correct ARCHIVE.")
    if code in _REFUSED:
        return ArchiveMisconfigured(
            f"The bucket {name.bucket} refuses these credentials ({code}): check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and what they are allowed to do."
        )
    return ArchiveUnavailable(f"The bucket {name.bucket} answered with the error {code}: run this again later.")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", _UNKNOWN))
