"""Where the archive is, as ARCHIVE names it: a folder, or a place in a bucket."""

from pathlib import Path

from archive.errors import ArchiveMisconfigured
from settlement.audit.bucket_name import SCHEME, BucketName, BucketNameInvalid, bucket_name

Location = Path | BucketName


def location_of(text: str) -> Location:
    """Raises ArchiveMisconfigured."""
    if text.startswith(f"{SCHEME}://"):
        try:
            found = bucket_name(text)
        except (BucketNameInvalid, ValueError) as error:
            raise ArchiveMisconfigured(f"ARCHIVE {error}.") from error
        if found.lock_days is not None:
            raise ArchiveMisconfigured(
                "ARCHIVE has the option lock_days: set a default retention of the bucket instead, which also locks the "
                "files that Iceberg writes."
            )
        return found
    if "://" not in text and Path(text).is_absolute() and not set(text) & set("?#%"):
        return Path(text)
    raise ArchiveMisconfigured("ARCHIVE is neither an absolute folder without ?, # and % nor s3://BUCKET/PREFIX.")


def url_of(location: Location) -> str:
    """Without a slash at its end."""
    return f"file://{location}" if isinstance(location, Path) else str(location).rstrip("/")
