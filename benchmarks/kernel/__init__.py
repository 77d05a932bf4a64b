"""Benchmarks of the kernel alone: commands a second of CPU time."""
