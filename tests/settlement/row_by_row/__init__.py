"""The rows of blocks, computed row by row: the slow reference that judges the projection of whole arrays."""
