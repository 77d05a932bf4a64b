"""Follows the engine: a thread reads blocks and heartbeats, the event loop applies them to the model."""
