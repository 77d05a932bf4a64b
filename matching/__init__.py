"""The deterministic core: codes, layout, kernel, engine, and the edges around them."""
