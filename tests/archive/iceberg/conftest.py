"""A bucket of MinIO as the place of the archive. Tests that use it are marked `services("minio")`."""

import uuid
from typing import TYPE_CHECKING

import pytest
from boto3.session import Session
from pytest_django import Settings

from scripts.services.minio import PASSWORD, USER
from scripts.services.service import Running

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3 import S3Client

LOCK_DAYS = 1


@pytest.fixture
def bucket() -> str:
    return f"archive-{uuid.uuid4()}"


@pytest.fixture
def client(
    minio: Running, bucket: str, monkeypatch: pytest.MonkeyPatch, data_dir: "Path", settings: Settings
) -> "S3Client":
    """A client of the server, which has the bucket; every file that is written to it is locked for LOCK_DAYS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{minio.address}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    settings.ARCHIVE = f"s3://{bucket}/exchange"
    made: S3Client = Session().client("s3")
    made.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    made.put_object_lock_configuration(
        Bucket=bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": LOCK_DAYS}},
        },
    )
    return made
