"""Rows of a batch of blocks, computed on whole arrays. Each module has what one table needs."""
