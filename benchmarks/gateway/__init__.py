"""The benchmark of the traders' API: a real gateway beside a real engine, driven by native clients."""
