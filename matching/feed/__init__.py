"""The reader's side of the block stream."""
