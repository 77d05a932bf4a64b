"""Benchmarks of kernel, pipeline, store, keys and floods.

Pipeline and ScyllaDB store are compared with bare sockets and the bare driver in the same run.
"""
