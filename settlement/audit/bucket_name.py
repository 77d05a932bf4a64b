"""The form `s3://BUCKET/PREFIX` for a place in a bucket, with `?lock_days=N` where objects are written."""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]*")
"""Characters that are safe in the key of an object, by the documentation of Amazon S3."""
_LOCK_DAYS = re.compile(r"[1-9][0-9]{0,4}")
SCHEME = "s3"


class BucketNameInvalid(Exception):
    """The text completes a sentence that begins with the name."""


class BucketName(NamedTuple):
    bucket: str
    prefix: str
    """Empty, or with a slash at its end."""
    lock_days: int | None = None
    """Days for which nobody may delete or replace what is written; None: as the bucket says."""

    def __str__(self) -> str:
        return f"{SCHEME}://{self.bucket}/{self.prefix}"


def bucket_name(text: str) -> BucketName:
    """Raises BucketNameInvalid, ValueError."""
    url = urlsplit(text)
    if not _BUCKET.fullmatch(url.netloc):
        raise BucketNameInvalid("has no valid name of a bucket: write s3://BUCKET/PREFIX")
    if not _PREFIX.fullmatch(url.path) or url.fragment:
        raise BucketNameInvalid("has a character in its prefix that the key of an object should not have")
    prefix = url.path.strip("/")
    return BucketName(url.netloc, f"{prefix}/" if prefix else "", _lock_days(url))


def _lock_days(url: SplitResult) -> int | None:
    if not url.query:
        return None
    options = parse_qsl(url.query, keep_blank_values=True)
    if len(options) != 1 or options[0][0] != "lock_days" or not _LOCK_DAYS.fullmatch(options[0][1]):
        raise BucketNameInvalid("has another option than lock_days=N, a number of days from 1 to 99999")
    return int(options[0][1])
