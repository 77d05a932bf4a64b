"""The block feed, the worker that makes it durable, the stores and their projections."""
