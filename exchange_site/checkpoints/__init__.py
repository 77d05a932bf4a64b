"""Signed checkpoints of an engine or settlement process: made in a thread of its own, written to several places."""
