"""The deterministic core: record layout, blocks, registry, kernel, engine. Knows no clock, socket or driver."""
