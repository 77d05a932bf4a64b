"""An S3 server on loopback, in memory, with versions and object lock."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from boto3.session import Session
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "evidence"


@contextmanager
def s3_server(environment: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    """A client of the server, which has BUCKET. The environment leads other clients of this process there too."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        # All servers of a process have one memory.
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
        environment.setenv("AWS_ACCESS_KEY_ID", "exchange-test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "exchange-test")
        environment.setenv("AWS_REGION", "us-east-1")
        client: S3Client = Session().client("s3")
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        yield client
    finally:
        server.stop()
