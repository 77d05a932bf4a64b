"""A bucket as a place of signed checkpoints."""

from datetime import UTC, datetime

from exchange_site.checkpoints.places import PlaceUnavailable
from settlement.audit.bucket import Bucket, BucketFailed
from settlement.audit.bucket_name import BucketName
from settlement.stores.base import StoredCheckpoint


class InBucket:
    def __init__(self, name: BucketName) -> None:
        self.name = str(name)
        self._bucket = Bucket(name)

    def write(self, checkpoint: StoredCheckpoint) -> None:
        # Zeros in front, so that a list of the bucket is in the order of the blocks.
        name = f"{checkpoint.signer}/{checkpoint.block_number:019}.json"
        try:
            self._bucket.put(name, checkpoint.document, datetime.now(UTC))
        except BucketFailed as error:
            raise PlaceUnavailable(str(error)) from error
