"""The deterministic core: record layout, blocks, registry, kernel, engine. Uses no clock, socket or driver."""
