"""Benchmarks of kernel, pipeline and store, each compared with a bare reference in the same run."""
